// The ten Reduce operators: shape rule, axes from an input or (older opsets) an attribute, and gradients.
// Source: ONNX ReduceSum-13, ReduceMax-20, ReduceLogSum-28.
#include "ops/reduction.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  bool axes_known = false, noop = false;
  std::vector<int64_t> axes;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->noop = c.attributes().integer("noop_with_empty_axes", 0) != 0;
  const Tensor* axes = c.constant(1);
  p->axes_known = !c.node.input(1) || axes;
  if (axes) p->axes.assign(axes->data<int64_t>(), axes->data<int64_t>() + axes->count());
  return p;
}

void infer(InferContext& c) {
  const DType dtype = c.dtype(0);
  if (c.has(1)) c.require_dtype(1, {DType::i64});
  if (!c.ranked(0)) return c.output(0, dtype);
  const int rank = c.rank(0);
  const bool keep = c.attributes().integer("keepdims", 1) != 0;
  const bool noop = c.attributes().integer("noop_with_empty_axes", 0) != 0;
  std::vector<int64_t> axes;
  if (c.has(1) && !c.integers(1, axes)) {
    if (keep) return c.output(0, dtype, Dims(static_cast<size_t>(rank)));
    const Dim gone = c.ranked(1) && c.rank(1) == 1 ? c.dims(1)[0] : Dim();
    if (gone.known() && gone.size > 0 && gone.size <= rank)
      return c.output(0, dtype, Dims(static_cast<size_t>(rank - gone.size)));
    return c.output(0, dtype);
  }
  std::vector<bool> gone(static_cast<size_t>(rank), axes.empty() && !noop);
  for (int64_t a : axes) gone[static_cast<size_t>(c.axis(a, rank))] = true;
  Dims out;
  for (size_t i = 0; i < gone.size(); ++i) {
    if (!gone[i]) out.push_back(c.dims(0)[i]);
    else if (keep) out.emplace_back(1);
  }
  c.output(0, dtype, std::move(out));
}

AxisSet axis_set(std::span<const int64_t> axes, int rank, bool noop) {
  if (axes.empty()) return noop ? 0 : rank >= 64 ? ~AxisSet{0} : (AxisSet{1} << rank) - 1;
  AxisSet set = 0;
  for (int64_t a : axes) set |= AxisSet{1} << wrap_axis(a, rank);
  return set;
}

template <Reduction R>
size_t scratch(const ScratchContext& c) {
  const Prepared& p = *static_cast<const Prepared*>(c.prepared);
  if (!p.axes_known) return 0;
  const View& x = c.in(0);
  return reduction_scratch_bytes(R, x.dtype, x.shape(), axis_set(p.axes, x.rank(), p.noop), c.threads);
}

void allocate_output(RunContext& c, AxisSet set) {
  if (c.out(0).defined()) return;
  Shape shape;
  const bool keep = c.attributes().integer("keepdims", 1) != 0;
  for (int i = 0; i < c.in(0).rank(); ++i)
    if (!(set >> i & 1)) shape.push_back(c.in(0).dim(i));
    else if (keep) shape.push_back(1);
  c.allocate(0, shape);
}

template <Reduction R>
void run(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View& x = c.in(0);
  if (p.axes_known) return run_reduction(c, R, x, axis_set(p.axes, x.rank(), p.noop), c.out(0), c.scratch());
  const View& axes = c.in(1);
  const std::span<const int64_t> values(axes.as<const int64_t>(), static_cast<size_t>(axes.count()));
  for (int64_t a : values) c.require(a >= -x.rank() && a < x.rank(), "axis ", a, " is outside rank ", x.rank());
  const AxisSet set = axis_set(values, x.rank(), p.noop);
  allocate_output(c, set);
  run_reduction(c, R, x, set, c.out(0), c.temporary(reduction_scratch_bytes(R, x.dtype, x.shape(), set, c.threads())));
}

void upgrade(UpgradeContext& c) {
  if (c.node.attributes.has("axes")) c.integers_to_input("axes", 1);
}

Cost cost(const CostContext& c) {
  return {c.count(*c.in(0)), (c.count(*c.in(0)) + c.count(*c.out(0))) * bits(c.out(0)->dtype) / 8};
}

// v, shaped as the output, with the reduced axes put back as 1.
Value* restored(GradientContext& c, Value* v) {
  if (c.attributes().integer("keepdims", 1) || !c.has(1)) return v;  // a scalar broadcasts as it is
  if (c.in(1)->is_constant() && c.in(1)->constant().count() == 0) return v;
  return c.emit("Unsqueeze", {v, c.in(1)});
}

Value* spread(GradientContext& c, Value* v) { return c.emit("Expand", {v, c.emit("Shape", {c.in(0)})}); }

// Elements in the output over elements in the input.
Value* share(GradientContext& c) {
  Value *x = c.in(0), *y = c.out(0);
  if (x->type.is_static() && y->type.is_static() && x->type.shape().count() > 0)
    return c.like(x, static_cast<double>(y->type.shape().count()) / static_cast<double>(x->type.shape().count()));
  const Attributes to{{"to", static_cast<int64_t>(x->type.dtype)}};
  return c.div(c.emit("Cast", {c.emit("Size", {y})}, to), c.emit("Cast", {c.emit("Size", {x})}, to));
}

template <Reduction R>
void gradient(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value *x = c.in(0), *dy = restored(c, c.grad());
  auto y = [&] { return restored(c, c.out(0)); };
  const Attributes to_x{{"to", static_cast<int64_t>(x->type.dtype)}};
  switch (R) {
    case Reduction::sum: return c.set(0, spread(c, dy));
    case Reduction::mean: return c.set(0, spread(c, c.mul(dy, share(c))));
    case Reduction::l1: return c.set(0, c.mul(c.emit("Sign", {x}), dy));
    case Reduction::sum_square: return c.set(0, c.mul(c.mul(x, c.like(x, 2)), dy));
    case Reduction::log_sum: return c.set(0, spread(c, c.div(dy, c.emit("Exp", {y()}))));
    case Reduction::log_sum_exp: return c.set(0, c.mul(c.emit("Exp", {c.sub(x, y())}), dy));
    case Reduction::l2: {  // x / y, 0 where all is 0
      Value* at_zero = c.emit("Equal", {y(), c.like(x, 0)});
      return c.set(0, c.mul(x, c.emit("Where", {at_zero, c.like(x, 0), c.div(dy, y())})));
    }
    default: {  // max, min: the extremes share
      Value* mask = c.emit("Cast", {c.emit("Equal", {x, y()})}, to_x);
      const Attributes keep{{"noop_with_empty_axes", c.attributes().integer("noop_with_empty_axes", 0)}};
      Value* ties = c.emit("ReduceSum", {mask, c.in(1)}, keep);
      return c.set(0, c.mul(mask, c.div(dy, ties)));
    }
  }
}

constexpr std::string_view float_cases = R"(
  keepdims=0 | f32[3,4,5] i64[1]={1}
  | f32[3,4,5] i64[2]={-1,0}
  | f32[2,3]
  keepdims=0 | f32[2,3,40] i64[1]={-1}
  noop_with_empty_axes=1 | f32[2,3] i64[0]={}
  | f32[2,0,3] i64[1]={1}
  | f32[2,2,2,2,2] i64[2]={1,3}
)";
constexpr std::string_view positive_cases = R"(
  keepdims=0 | f32[3,4,5](0.5,2) i64[1]={1}
  | f32[3,4,5](0.5,2) i64[2]={-1,0}
  | f32[2,3](0.5,2)
  noop_with_empty_axes=1 | f32[2,3](0.5,2) i64[0]={}
)";
constexpr std::string_view product_gradient = "dividing by a value that may be 0";

}  // namespace

#define DEFINE_REDUCE(id, since_, what, about, cases_, ...)                                                          \
  OUTPOST_DEFINE_OP(id, .name = #id, .since = since_, .min_inputs = 1, .max_inputs = 2, .doc = about, .infer = infer, \
                    .run = run<Reduction::what>, .upgrade = upgrade, __VA_ARGS__, .cost = cost, .prepare = prepare,  \
                    .scratch = scratch<Reduction::what>, .cases = cases_)

DEFINE_REDUCE(ReduceSum, 13, sum, "Sum over axes", float_cases, .gradient = gradient<Reduction::sum>);
DEFINE_REDUCE(ReduceMean, 18, mean, "Mean over axes", float_cases, .gradient = gradient<Reduction::mean>);
DEFINE_REDUCE(ReduceProd, 18, prod, "Product over axes", float_cases, .no_gradient = product_gradient);
DEFINE_REDUCE(ReduceMax, 20, max, "Largest over axes", float_cases, .gradient = gradient<Reduction::max>);
DEFINE_REDUCE(ReduceMin, 20, min, "Smallest over axes", float_cases, .gradient = gradient<Reduction::min>);
DEFINE_REDUCE(ReduceL1, 18, l1, "Sum of absolute values over axes", float_cases, .gradient = gradient<Reduction::l1>);
DEFINE_REDUCE(ReduceL2, 18, l2, "Root of the sum of squares over axes", float_cases,
              .gradient = gradient<Reduction::l2>);
DEFINE_REDUCE(ReduceSumSquare, 18, sum_square, "Sum of squares over axes", float_cases,
              .gradient = gradient<Reduction::sum_square>);
DEFINE_REDUCE(ReduceLogSum, 28, log_sum, "Logarithm of the sum over axes", positive_cases,
              .gradient = gradient<Reduction::log_sum>);
DEFINE_REDUCE(ReduceLogSumExp, 28, log_sum_exp, "log(sum(exp(x))) over axes", float_cases,
              .gradient = gradient<Reduction::log_sum_exp>);

}  // namespace outpost
