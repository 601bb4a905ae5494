// Conv in one to three spatial dimensions, with groups, dilations and automatic padding; outpost.FusedConv, the same with
// a residual of y's shape and an activation; and com.microsoft's FusedConv, which expands into Conv, Add and the
// activation. Constant weights are packed once. Source: ONNX Conv-22.
#include <algorithm>

#include "ops/convolution.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  WindowAttributes window;
  int64_t groups = 1;
  Tensor packed;
  FusedActivation activation;
};

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(0, 1);
  c.require_same_dtype(0, 2);
  const WindowAttributes w = WindowAttributes::of(c.node());
  const int64_t groups = c.attributes().integer("group", 1);
  c.require(groups >= 1, "group is ", groups, "; expected 1 or more");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  c.require(x.size() >= 3, "X must be (batch, channels, spatial...); found ", c.input(0));
  Dims weight = c.ranked(1) ? c.dims(1) : Dims(x.size());
  c.require(weight.size() == x.size(), "W has rank ", weight.size(), " but X has rank ", x.size());
  const Dim in = weight[1];  // channels of one group
  c.require(!x[1].known() || !in.known() || (in.size <= x[1].size && groups <= std::max<int64_t>(1, x[1].size) && groups * in.size == x[1].size), "X has ",
            x[1].size, " channels; W ", c.input(1), " with group ", groups, " expects another number");
  c.require(!weight[0].known() || weight[0].size % groups == 0, "W has ", weight[0].size,
            " output channels; they do not divide into ", groups, " groups");
  if (c.has(2) && c.ranked(2)) {
    c.require(c.rank(2) == 1 && (!weight[0].known() || !c.dims(2)[0].known() || c.dims(2)[0].size == weight[0].size),
              "B must have one value per output channel; found ", c.input(2));
  }
  std::span<const Dim> kernel(weight);
  Dims out{x[0], weight[0]};
  for (const Dim& d : window_dims(c, w, std::span(x).subspan(2), kernel.subspan(2))) out.push_back(d);
  c.output(0, c.dtype(0), std::move(out));
}

void infer_fused(InferContext& c) {
  infer(c);
  FusedActivation::of(c.node());
  if (!c.has(3)) return;
  c.require_same_dtype(0, 3);
  if (!c.ranked(3) || !c.ranked(0)) return;
  c.require(c.rank(3) == c.rank(0), "the residual ", c.input(3), " must have the output's shape");
}

// What is known from the weight's shape alone.
Convolution with_weights(const Shape& weight, int64_t groups) {
  Convolution c;
  c.shape.groups = groups;
  c.shape.out_channels = weight[0];
  c.shape.in_channels = weight[1] * groups;
  return c;
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->window = WindowAttributes::of(c.node);
  p->groups = c.attributes().integer("group", 1);
  p->activation = FusedActivation::of(c.node);
  const Tensor* weight = c.constant(1);
  // With several outputs for one input channel the kernel's form, and so its packing, depends on X's size. It is small.
  if (weight && (weight->shape()[1] != 1 || weight->shape()[0] == p->groups)) {
    const int64_t ones[3] = {1, 1, 1};
    Convolution conv = with_weights(weight->shape(), p->groups);
    conv.shape.window = resolve_window(p->window, weight->rank() - 2, ones, weight->shape().data() + 2);
    p->packed = pack_weights(c, conv, *weight);
    if (p->packed.defined()) c.consumed(1);
  }
  return p;
}

Convolution convolution(const View& x, const View& weight, const Prepared& p) {
  Convolution c = with_weights(weight.shape(), p.groups);
  c.shape.batch = x.dim(0);
  c.shape.window = resolve_window(p.window, x.rank() - 2, x.shape().data() + 2, weight.shape().data() + 2);
  c.dtype = x.dtype;
  c.packed = p.packed.raw();
  return c;
}

size_t scratch(const ScratchContext& c) {
  return convolution_scratch_bytes(convolution(c.in(0), c.in(1), *static_cast<const Prepared*>(c.prepared)), c.threads);
}

void run(RunContext& c) {
  Convolution conv = convolution(c.in(0), c.in(1), c.prepared<Prepared>());
  conv.x = c.in(0).data, conv.weights = c.in(1).data, conv.y = c.out(0).data;
  if (c.has(2)) conv.bias = c.in(2).data;
  conv.activation = c.prepared<Prepared>().activation;
  if (c.has(3)) {
    if (!(c.in(3).shape() == c.out(0).shape())) c.fail("the residual is ", c.in(3).shape(), "; expected ", c.out(0).shape());
    conv.residual = c.in(3).data;
  }
  run_convolution(c, conv, c.scratch());
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(0), &w = *c.in(1), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(y) * c.count(w) / static_cast<double>(w.dims[0].size),
          (c.count(x) + c.count(w) + c.count(y)) * bits(y.dtype) / 8};
}

// X's gradient is the transposed convolution with the same window; W's correlates X with dY.
void gradient(GradientContext& c) {
  Value* dy = c.grad();
  if (!dy) return;
  Attributes window = c.attributes();
  if (c.wants(0)) c.set(0, c.emit("ConvInputGrad", {dy, c.in(1), c.emit("Shape", {c.in(0)})}, window, "outpost"));
  if (c.wants(1)) c.set(1, c.emit("ConvWeightGrad", {c.in(0), dy, c.emit("Shape", {c.in(1)})}, window, "outpost"));
  if (c.wants(2)) {
    if (!dy->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
    std::vector<int64_t> axes{0};
    for (int64_t i = 2; i < dy->type.rank(); ++i) axes.push_back(i);
    c.set(2, c.emit("ReduceSum", {dy, c.integers(axes)}, {{"keepdims", int64_t{0}}}));
  }
}

void expand_with_epilogue(ExpandContext& c) {
  Attributes window;
  for (const auto& [name, value] : c.attributes())
    if (!name.starts_with("activation")) window.set(name, value);
  Value* y = c.emit("Conv", {c.in(0), c.in(1), c.in(2)}, window);
  if (c.has(3)) y = c.add(y, c.in(3));
  c.replace(0, expand_activation(c, y, c.attributes()));
}

void expand_fused(ExpandContext& c) {
  Attributes window;
  for (const auto& [name, value] : c.attributes())
    if (name != "activation" && name != "activation_params") window.set(name, value);
  Value* y = c.emit("Conv", {c.in(0), c.in(1), c.in(2)}, window);
  if (c.has(3)) y = c.add(y, c.in(3));
  const std::string activation(c.attributes().string("activation", ""));
  const std::vector<float>& p = c.attributes().reals("activation_params");
  auto parameter = [&](size_t i, float fallback) { return i < p.size() ? p[i] : fallback; };
  if (activation == "LeakyRelu") y = c.emit(activation, {y}, {{"alpha", parameter(0, 0.01f)}});
  else if (activation == "HardSigmoid")
    y = c.emit(activation, {y}, {{"alpha", parameter(0, 0.2f)}, {"beta", parameter(1, 0.5f)}});
  else if (activation == "Clip") y = c.emit(activation, {y, c.like(y, parameter(0, 0)), c.like(y, parameter(1, 6))});
  else if (activation == "Relu" || activation == "Tanh" || activation == "Sigmoid") y = c.emit(activation, {y});
  else if (!activation.empty())
    fail(ErrorCode::unsupported, c.node.label(), ": activation '", activation, "' is not known");
  c.replace(0, y);
}

}  // namespace

OUTPOST_DEFINE_OP(Conv, .name = "Conv", .since = 22, .min_inputs = 2, .max_inputs = 3, .doc = "Convolution, 1-D to 3-D",
                  .infer = infer, .run = run, .gradient = gradient, .cost = cost, .prepare = prepare,
                  .scratch = scratch, .cases = R"(
  pads=[1,1,1,1] | f32[2,3,5,6] f32[4,3,3,3] f32[4]
  strides=[2,2] auto_pad="SAME_UPPER" | f32[1,2,7,6] f32[3,2,3,3]
  strides=[2,1] auto_pad="SAME_LOWER" group=2 | f32[1,4,5,5] f32[6,2,2,2] f32[6]
  dilations=[2] pads=[2,1] | f32[2,3,9] f32[4,3,3]
  group=8 pads=[1,1,1,1] | f32[1,8,6,6] f32[8,1,3,3] f32[8]
  strides=[1,2,1] pads=[0,1,1,1,0,1] | f32[1,2,4,5,6] f32[3,2,2,3,3]
  | f32[2,33,4,4] f32[17,33,1,1] f32[17]
  | f32[0,3,5,5] f32[4,3,3,3]
)");

OUTPOST_DEFINE_OP(outpost_FusedConv, .name = "FusedConv", .domain = "outpost", .min_inputs = 2, .max_inputs = 4,
                  .doc = "activation(Conv + residual)", .infer = infer_fused, .run = run, .expand = expand_with_epilogue,
                  .cost = cost, .prepare = prepare, .scratch = scratch, .in_place = {{3, 0}}, .cases = R"(
  pads=[1,1,1,1] activation="relu" | f32[2,3,5,6] f32[4,3,3,3] f32[4] f32[2,4,5,6]
  strides=[2,2] pads=[1,1,1,1] activation="silu" | f32[1,2,7,6] f32[3,2,3,3] f32[3]
  group=8 pads=[1,1,1,1] activation="clip" activation_low=0.0 activation_high=6.0 | f32[1,8,6,6] f32[8,1,3,3] f32[8]
  activation="gelu_erf" | f32[2,33,4,4] f32[17,33,1,1] - f32[2,17,4,4]
  dilations=[2] pads=[2,1] activation="hardswish" | f32[2,3,9] f32[4,3,3] f32[4] f32[2,4,8]
  group=2 activation="leaky" activation_low=0.2 | f16[2,4,5,5] f16[6,2,2,2] f16[6] f16[2,6,4,4]
  activation="sigmoid" | bf16[1,2,4,4] bf16[3,2,1,1] bf16[3]
  activation="tanh" | f32[1,2,3,4,4] f32[3,2,2,2,2] - f32[1,3,2,3,3]
  activation="relu" | f32[0,3,5,5] f32[4,3,3,3]
)");

OUTPOST_DEFINE_OP(ms_FusedConv, .name = "FusedConv", .domain = "com.microsoft", .min_inputs = 2, .max_inputs = 4,
                  .doc = "Conv, a residual and an activation", .infer = infer, .expand = expand_fused, .cases = R"(
  pads=[1,1,1,1] activation="Relu" | f32[1,3,5,5] f32[4,3,3,3] f32[4] f32[1,4,5,5]
  activation="LeakyRelu" activation_params=[0.1] | f32[1,3,5,5] f32[4,3,3,3]
)");

}  // namespace outpost
