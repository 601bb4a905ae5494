// GlobalAveragePool, GlobalMaxPool, GlobalLpPool: reductions over all spatial axes that keep the rank.
// Source: ONNX GlobalAveragePool-22, GlobalMaxPool-22, GlobalLpPool-22.
#include <cmath>

#include "ops/reduction.h"
#include "ops/staging.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  c.require(c.rank(0) >= 2, "X must be (batch, channels, spatial...); found ", c.input(0));
  Dims out = c.dims(0);
  for (size_t i = 2; i < out.size(); ++i) out[i] = Dim(1);
  c.output(0, c.dtype(0), std::move(out));
}

AxisSet spatial(const View& x) { return ((x.rank() >= 64 ? 0 : AxisSet{1} << x.rank()) - 1) & ~AxisSet{3}; }

template <Reduction R>
size_t scratch(const ScratchContext& c) {
  return reduction_scratch_bytes(R, c.in(0).dtype, c.in(0).shape(), spatial(c.in(0)), c.threads);
}

template <Reduction R>
void run(RunContext& c) { run_reduction(c, R, c.in(0), spatial(c.in(0)), c.out(0), c.scratch()); }

void gradient_average(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  const Attributes to{{"to", static_cast<int64_t>(c.in(0)->type.dtype)}};
  Value* sizes = c.emit("Shape", {c.in(0)}, {{"start", int64_t{2}}});
  Value* spatial_count = c.emit("ReduceProd", {sizes}, {{"keepdims", int64_t{0}}});
  Value* each = c.div(c.grad(), c.emit("Cast", {spatial_count}, to));
  c.set(0, c.emit("Expand", {each, c.emit("Shape", {c.in(0)})}));
}

void gradient_max(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value* x = c.in(0);
  if (!x->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
  std::vector<int64_t> axes;
  for (int64_t i = 2; i < x->type.rank(); ++i) axes.push_back(i);
  Value* mask = c.emit("Cast", {c.emit("Equal", {x, c.out(0)})}, {{"to", static_cast<int64_t>(x->type.dtype)}});
  Value* ties = c.emit("ReduceSum", {mask, c.integers(axes)}, {{"noop_with_empty_axes", int64_t{1}}});
  c.set(0, c.mul(mask, c.div(c.grad(), ties)));
}

// GlobalLpPool is ReduceL1 or ReduceL2, or written out.
void expand_lp(ExpandContext& c) {
  Value* x = c.in(0);
  const int64_t p = c.attributes().integer("p", 2);
  if (!x->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the rank must be known");
  std::vector<int64_t> axes;
  for (int64_t i = 2; i < x->type.rank(); ++i) axes.push_back(i);
  const Attributes keep{{"noop_with_empty_axes", int64_t{1}}};
  if (p == 1 || p == 2) return c.replace(0, c.emit(p == 1 ? "ReduceL1" : "ReduceL2", {x, c.integers(axes)}, keep));
  const double power = static_cast<double>(p);
  Value* powers = c.emit("Pow", {c.emit("Abs", {x}), c.like(x, power)});
  c.replace(0, c.emit("Pow", {c.emit("ReduceSum", {powers, c.integers(axes)}, keep), c.like(x, 1 / power)}));
}

void infer_lp(InferContext& c) {
  c.require(c.attributes().integer("p", 2) >= 1, "p must be 1 or more");
  infer(c);
}

void upgrade_lp(UpgradeContext& c) {
  const Attribute* p = c.node.attributes.find("p");
  if (!p || !std::holds_alternative<float>(*p)) return;
  const float value = std::get<float>(*p);
  if (value < 1 || value > 1e6f || value != std::floor(value))
    fail(ErrorCode::unsupported, c.node.label(), ": p is ", value, "; only whole numbers are supported");
  c.node.attributes.set("p", static_cast<int64_t>(value));
}

constexpr std::string_view pool_cases = R"(
  | f32[2,3,4,5]
  | f32[1,2,37]
  | f32[2,2,2,3,2]
  | f32[0,2,3,3]
)";

}  // namespace

OUTPOST_DEFINE_OP(GlobalAveragePool, .name = "GlobalAveragePool", .since = 22, .doc = "Mean over the spatial axes",
                  .infer = infer, .run = run<Reduction::mean>, .gradient = gradient_average,
                  .scratch = scratch<Reduction::mean>, .cases = pool_cases);
OUTPOST_DEFINE_OP(GlobalMaxPool, .name = "GlobalMaxPool", .since = 22, .doc = "Largest over the spatial axes",
                  .infer = infer, .run = run<Reduction::max>, .gradient = gradient_max,
                  .scratch = scratch<Reduction::max>, .cases = pool_cases);
OUTPOST_DEFINE_OP(GlobalLpPool, .name = "GlobalLpPool", .since = 22, .doc = "p-norm over the spatial axes",
                  .infer = infer_lp, .expand = expand_lp, .upgrade = upgrade_lp, .cases = R"(
  | f32[2,3,4,5]
  p=1 | f32[1,2,7]
  p=3 | f32[1,2,3,3](0.5,2)
)");

}  // namespace outpost
