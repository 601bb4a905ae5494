// ConvTranspose: the adjoint of Conv with the same window, plus a bias. Padding follows from the attributes, or from
// the wanted output shape. Source: ONNX ConvTranspose-22.
#include "ops/convolution.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  WindowAttributes window;
  WindowAttributes::List output_padding, output_shape;
  int64_t groups = 1;
  Tensor packed;
};

constexpr int64_t largest = int64_t{1} << 30;

WindowAttributes::List list(const Node& node, std::string_view name, size_t skip_leading) {
  const std::vector<int64_t>& values = node.attributes.integers(name);
  WindowAttributes::List out;
  const size_t skip = values.size() > WindowAttributes::max_rank ? skip_leading : 0;  // (batch, channels, …) was given
  for (size_t i = skip; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] > largest || out.length == WindowAttributes::max_rank)
      fail(ErrorCode::invalid_model, node.label(), ": ", name, " holds ", values[i], " at ", i);
    out.value[out.length++] = values[i];
  }
  return out;
}

Prepared parse(const Node& node) {
  Prepared p;
  p.window = WindowAttributes::of(node);
  p.output_padding = list(node, "output_padding", 0);
  p.output_shape = list(node, "output_shape", 2);
  p.groups = node.attributes.integer("group", 1);
  return p;
}

// Axis i: `out` is the output's size, pads crop it on both sides.
AxisWindow resolve(const Prepared& p, int i, int rank, int64_t in, int64_t kernel) {
  AxisWindow a;
  a.kernel = kernel, a.stride = p.window.stride.at(i, 1), a.dilation = p.window.dilation.at(i, 1);
  const int64_t full = a.stride * (in - 1) + p.output_padding.at(i, 0) + a.extent();
  const bool same = p.window.auto_pad == AutoPad::same_upper || p.window.auto_pad == AutoPad::same_lower;
  if (p.output_shape.length > 0 || same) {
    const int shift = p.output_shape.length - rank;  // 0; output_shape may hold batch and channels in 1-D models
    a.out = p.output_shape.length > 0 ? p.output_shape.at(i + (shift > 0 ? shift : 0), 0) : in * a.stride;
    const int64_t total = std::max<int64_t>(0, full - a.out);
    a.pad_begin = p.window.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
    a.pad_end = total - a.pad_begin;
    return a;
  }
  if (p.window.auto_pad == AutoPad::none) a.pad_begin = p.window.pad.at(i, 0), a.pad_end = p.window.pad.at(i + rank, 0);
  a.out = std::max<int64_t>(0, full - a.pad_begin - a.pad_end);
  return a;
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(0, 1);
  c.require_same_dtype(0, 2);
  const Prepared p = parse(c.node());
  c.require(p.groups >= 1, "group is ", p.groups, "; expected 1 or more");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  const int rank = static_cast<int>(x.size()) - 2;
  c.require(rank >= 1 && rank <= 3, "X must be (batch, channels, 1 to 3 spatial axes); found ", c.input(0));
  const Dims weight = c.ranked(1) ? c.dims(1) : Dims(x.size());
  c.require(weight.size() == x.size(), "W has rank ", weight.size(), " but X has rank ", x.size());
  c.require(!x[1].known() || !weight[0].known() || x[1].size == weight[0].size, "X has ", x[1].size,
            " channels but W ", weight[0].size);
  c.require(!x[1].known() || x[1].size % p.groups == 0, "channels do not divide into ", p.groups, " groups");
  const Dim channels = weight[1] * Dim(p.groups);
  if (c.has(2) && c.ranked(2)) {
    const bool fits = c.rank(2) == 1 && (!channels.known() || !c.dims(2)[0].known() || c.dims(2)[0].size == channels.size);
    c.require(fits, "B must have one value per output channel; found ", c.input(2));
  }
  for (int length : {p.window.kernel.length, p.window.stride.length, p.window.dilation.length, p.output_padding.length,
                     p.output_shape.length})
    c.require(length == 0 || length == rank, "an attribute has ", length, " entries; expected ", rank);
  c.require(p.window.pad.length == 0 || p.window.pad.length == 2 * rank, "pads has ", p.window.pad.length, " entries");
  Dims out{x[0], channels};
  for (int i = 0; i < rank; ++i) {
    const Dim in = x[static_cast<size_t>(i) + 2];
    Dim k = weight[static_cast<size_t>(i) + 2];
    if (!k.known() && p.window.kernel.length) k = Dim(p.window.kernel.at(i, 1));
    c.require(!k.known() || (k.size >= 1 && k.size <= largest), "the kernel has size ", k.size);
    c.require(!k.known() || p.window.kernel.length == 0 || k.size == p.window.kernel.at(i, 1), "kernel_shape says ",
              p.window.kernel.at(i, 1), " but W has ", k.size);
    c.require(!in.known() || in.size <= largest, "spatial axis ", i, " has size ", in.size);
    if (!in.known() || !k.known()) {
      out.push_back(p.output_shape.length > 0 ? Dim(p.output_shape.at(i, 0)) : Dim());
      continue;
    }
    out.emplace_back(resolve(p, i, rank, in.size, k.size).out);
  }
  c.output(0, c.dtype(0), std::move(out));
}

Convolution with_weights(const Shape& weight, int64_t groups) {
  Convolution c;
  c.transposed = true;
  c.shape.groups = groups;
  c.shape.in_channels = weight[0];
  c.shape.out_channels = weight[1] * groups;
  return c;
}

void set_window(kernels::Window& w, const Prepared& p, int rank, const int64_t* in, const int64_t* kernel) {
  for (int i = 0; i < rank; ++i) {
    const AxisWindow a = resolve(p, i, rank, in[i], kernel[i]);
    const int at = 3 - rank + i;
    w.in[at] = in[i], w.out[at] = a.out, w.kernel[at] = a.kernel, w.stride[at] = a.stride, w.dilation[at] = a.dilation;
    w.pad[at] = a.pad_begin;
  }
}

bool every_phase_has_outputs(const kernels::Window& w) {
  for (int i = 0; i < 3; ++i)
    if (w.out[i] < w.stride[i]) return false;
  return true;
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>(parse(c.node));
  // The packed form follows the padding and the phases of the stride that have outputs: certain when X's size says nothing
  // about the padding and, checked by each run, every phase has some.
  const Tensor* weight = c.constant(1);
  if (weight && p->window.auto_pad == AutoPad::none && p->output_shape.length == 0) {
    const int rank = weight->rank() - 2;
    const int64_t* kernel = weight->shape().data() + 2;
    int64_t in[3];
    for (int i = 0; i < rank; ++i) {
      const AxisWindow a = resolve(*p, i, rank, 1, kernel[i]);
      in[i] = 2 + (a.pad_begin + a.pad_end) / a.stride + 1;
    }
    Convolution conv = with_weights(weight->shape(), p->groups);
    set_window(conv.shape.window, *p, rank, in, kernel);
    if (every_phase_has_outputs(conv.shape.window)) p->packed = pack_weights(c, conv, *weight);
  }
  return p;
}

Convolution convolution(const View& x, const View& weight, const Prepared& p) {
  Convolution c = with_weights(weight.shape(), p.groups);
  c.shape.batch = x.dim(0);
  set_window(c.shape.window, p, x.rank() - 2, x.shape().data() + 2, weight.shape().data() + 2);
  c.dtype = x.dtype;
  if (every_phase_has_outputs(c.shape.window)) c.packed = p.packed.raw();
  return c;
}

size_t scratch(const ScratchContext& c) {
  return convolution_scratch_bytes(convolution(c.in(0), c.in(1), *static_cast<const Prepared*>(c.prepared)), c.threads);
}

void run(RunContext& c) {
  Convolution conv = convolution(c.in(0), c.in(1), c.prepared<Prepared>());
  conv.x = c.in(0).data, conv.weights = c.in(1).data, conv.y = c.out(0).data;
  if (c.has(2)) conv.bias = c.in(2).data;
  run_convolution(c, conv, c.scratch());
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(0), &w = *c.in(1), &y = *c.out(0);
  if (!w.is_static() || w.dims[0].size == 0) return {};
  return {2 * c.count(x) * c.count(w) / static_cast<double>(w.dims[0].size),
          (c.count(x) + c.count(w) + c.count(y)) * bits(y.dtype) / 8};
}

// The adjoint of an adjoint: X's gradient is the plain convolution of dY with the padding that was used.
void gradient(GradientContext& c) {
  Value *x = c.in(0), *w = c.in(1), *dy = c.grad();
  if (!dy) return;
  const Prepared p = parse(c.node);
  const int rank = x->type.rank() - 2;
  const bool fixed = p.window.auto_pad == AutoPad::none && p.output_shape.length == 0;
  if (!w->type.is_static() || (!fixed && !x->type.is_static()))
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs known shapes");
  std::vector<int64_t> begin, end, strides, dilations;
  for (int i = 0; i < rank; ++i) {
    const size_t at = static_cast<size_t>(i) + 2;
    const int64_t in = x->type.dims[at].known() ? x->type.dims[at].size : 1;
    const AxisWindow a = resolve(p, i, rank, in, w->type.dims[at].size);
    // What output_padding added at the end is read by no window of the plain convolution while it is below the stride.
    if (p.output_padding.at(i, 0) >= a.stride)
      fail(ErrorCode::unsupported, c.node.label(), ": no gradient for output_padding >= stride");
    begin.push_back(a.pad_begin), end.push_back(a.pad_end);
    strides.push_back(a.stride), dilations.push_back(a.dilation);
  }
  begin.insert(begin.end(), end.begin(), end.end());
  const Attributes window{{"group", p.groups}, {"pads", begin}, {"strides", strides}, {"dilations", dilations}};
  if (c.wants(0)) c.set(0, c.emit("Conv", {dy, w}, window));
  if (c.wants(1)) c.set(1, c.emit("ConvWeightGrad", {dy, x, c.emit("Shape", {w})}, window, "outpost"));
  if (c.wants(2)) {
    std::vector<int64_t> axes{0};
    for (int64_t i = 2; i < dy->type.rank(); ++i) axes.push_back(i);
    c.set(2, c.emit("ReduceSum", {dy, c.integers(axes)}, {{"keepdims", int64_t{0}}}));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ConvTranspose, .name = "ConvTranspose", .since = 22, .min_inputs = 2, .max_inputs = 3,
                  .doc = "Transposed convolution, 1-D to 3-D", .infer = infer, .run = run, .gradient = gradient,
                  .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  | f32[1,2,3,3] f32[2,3,3,3] f32[3]
  strides=[2,3] pads=[1,0,0,1] output_padding=[1,0] | f32[2,2,4,3] f32[2,2,3,3]
  strides=[2,2] auto_pad="SAME_UPPER" | f32[1,2,3,3] f32[2,2,3,3]
  strides=[3] output_shape=[10] | f32[1,2,3] f32[2,2,3]
  group=2 dilations=[2,2] | f32[1,4,3,3] f32[4,2,2,2] f32[4]
  | f32[1,2,2,3,2] f32[2,2,2,2,2]
)");

}  // namespace outpost
