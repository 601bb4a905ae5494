// The gradients of a convolution, as operators: ConvInputGrad (dY, W, shape of X) and ConvWeightGrad (X, dY, shape of
// W), with Conv's window attributes. With Conv they are closed under differentiation: each is linear in both operands
// and its gradients are the other two.
//   dX = transposed convolution of dY with W        dW(o, k) = sum over (n, p) of dY(n, o, p) unfolded(X)(n, k, p)
#include <algorithm>

#include "ops/convolution.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  WindowAttributes window;
  int64_t groups = 1;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{WindowAttributes::of(c.node), c.attributes().integer("group", 1)});
}

// Output 0 has the shape that input 2 holds.
void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(0, 1);
  c.require_dtype(2, {DType::i64});
  WindowAttributes::of(c.node());
  c.require(c.attributes().integer("group", 1) >= 1, "group must be 1 or more");
  std::vector<int64_t> shape;
  if (c.integers(2, shape)) {
    c.require(shape.size() >= 3 && shape.size() <= 5, "the shape has ", shape.size(), " axes; expected 3 to 5");
    c.output(0, c.dtype(0), Dims(shape.begin(), shape.end()));
  } else if (c.ranked(0)) {
    c.output(0, c.dtype(0), Dims(c.dims(0).size()));
  } else {
    c.output(0, c.dtype(0));
  }
}

// The window of Conv(x, weight); checks that y is what it makes of them.
Convolution forward(const Node& node, const Shape& x, const Shape& weight, const Shape& y, const Prepared& p) {
  Convolution c;
  c.shape.batch = x[0], c.shape.groups = p.groups;
  c.shape.in_channels = x[1], c.shape.out_channels = weight[0];
  c.shape.window = resolve_window(p.window, x.rank() - 2, x.data() + 2, weight.data() + 2);
  bool fits = p.groups <= std::max<int64_t>(1, x[1]) && weight[1] * p.groups == x[1] && weight[0] % p.groups == 0 && y[0] == x[0] && y[1] == weight[0];
  for (int i = 2; i < x.rank(); ++i) fits = fits && y[i] == c.shape.window.out[3 - x.rank() + i] && weight[i] >= 1;
  if (!fits)
    fail(ErrorCode::invalid_data, node.label(), ": a convolution of ", x, " with ", weight, " does not give ", y);
  return c;
}

bool ranks_match(const Shape& a, const Shape& b, const Shape& c) {
  return a.rank() >= 3 && a.rank() <= 5 && a.rank() == b.rank() && b.rank() == c.rank();
}

View& shaped_output(RunContext& c) {
  if (!c.out(0).defined()) {
    const View& s = c.in(2);
    c.allocate(0, Shape(s.as<const int64_t>(), static_cast<size_t>(s.count())));
  }
  c.require(ranks_match(c.in(0).shape(), c.in(1).shape(), c.out(0).shape()), "ranks differ");
  return c.out(0);
}

Convolution input_gradient(const Node& node, const Shape& dy, const Shape& weight, const Shape& x, const Prepared& p) {
  Convolution c = forward(node, x, weight, dy, p);
  c.transposed = true;
  std::swap(c.shape.in_channels, c.shape.out_channels);
  std::swap(c.shape.window.in, c.shape.window.out);
  return c;
}

size_t scratch_input(const ScratchContext& c) {
  if (!c.out(0).defined() || !ranks_match(c.in(0).shape(), c.in(1).shape(), c.out(0).shape())) return 0;
  Convolution conv = input_gradient(c.node, c.in(0).shape(), c.in(1).shape(), c.out(0).shape(),
                                    *static_cast<const Prepared*>(c.prepared));
  conv.dtype = c.in(0).dtype;
  return convolution_scratch_bytes(conv, c.threads);
}

void run_input(RunContext& c) {
  const bool planned = c.out(0).defined();
  const View& x = shaped_output(c);
  Convolution conv = input_gradient(c.node(), c.in(0).shape(), c.in(1).shape(), x.shape(), c.prepared<Prepared>());
  conv.dtype = x.dtype;
  conv.x = c.in(0).data, conv.weights = c.in(1).data, conv.y = x.data;
  void* scratch = planned ? c.scratch() : c.temporary(convolution_scratch_bytes(conv, c.threads()));
  run_convolution(c, conv, scratch);
}

// One image, one group: dW(m, k) += dY(m, p) columns(k, p)ᵀ.
kernels::Gemm weight_gemm(const Convolution& c) {
  kernels::Gemm g;
  const int64_t positions = volume(c.shape.window.out);
  g.m = c.shape.out_channels / c.shape.groups;
  g.n = c.shape.in_channels / c.shape.groups * volume(c.shape.window.kernel);
  g.k = positions;
  g.a_row_stride = positions;
  g.b_row_stride = 1, g.b_column_stride = positions;
  g.c_row_stride = g.n;
  g.epilogue.residual_row_stride = g.n;
  g.a_type = g.b_type = g.c_type = c.dtype == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  return g;
}

// Scratch: unfolded columns of one group | narrow floats: dW, one image of X, one of dY | per-thread product memory.
struct Layout {
  size_t columns, dw, x, dy, slice;
  Layout(const Convolution& c, const kernels::Gemm& g) {
    const size_t element = c.dtype == DType::f64 ? 8 : 4;
    const bool narrow = c.dtype == DType::f16 || c.dtype == DType::bf16;
    columns = slice_bytes(static_cast<size_t>(g.n * g.k) * element);
    dw = narrow ? slice_bytes(static_cast<size_t>(c.weight_count()) * element) : 0;
    x = narrow ? slice_bytes(static_cast<size_t>(c.x_image()) * element) : 0;
    dy = narrow ? slice_bytes(static_cast<size_t>(c.y_image()) * element) : 0;
    slice = slice_bytes(kernels::kernels().gemm_scratch_bytes(g));
  }
  size_t total(int threads) const { return columns + dw + x + dy + slice * static_cast<size_t>(threads); }
};

template <class T>
void add_group(const RunContext& r, const Convolution& c, const T* x, const T* dy, T* dw, T* columns, char* slices,
               bool first) {
  const kernels::Kernels& kernel = kernels::kernels();
  const kernels::Window& w = c.shape.window;
  kernels::Gemm g = weight_gemm(c);
  const int64_t taps = volume(w.kernel), channels = g.n / taps;
  r.parallel(channels, [&](int64_t channel) {
    const T zero = 0;
    unfold(w, sizeof(T), 1, x + channel * volume(w.in), 0, g.k, &zero, columns + channel * taps * g.k);
  });
  g.a = dy, g.b = columns, g.c = dw;
  if (!first) g.epilogue.residual = dw;
  const int64_t tiles = kernel.gemm_tiles(g);
  const size_t slice = slice_bytes(kernel.gemm_scratch_bytes(g));
  r.parallel_ranges(tiles, 1, [&](int64_t begin, int64_t end) {
    kernel.gemm(g, begin, end, slices + slice * static_cast<size_t>(RunContext::worker()));
  });
}

template <class T>
void run_weight_as(RunContext& r, const Convolution& c, const View& x, const View& dy, const View& out, char* scratch) {
  const kernels::Gemm g = weight_gemm(c);
  const Layout l(c, g);
  T* columns = reinterpret_cast<T*>(scratch);
  T* dw = target<T>(out, 0, reinterpret_cast<T*>(scratch + l.columns));
  if (c.shape.batch == 0 || g.k == 0) std::fill(dw, dw + out.count(), T{0});
  for (int64_t n = 0; n < c.shape.batch && g.k > 0 && out.count() > 0; ++n) {
    const T* image = read<T>(x, n * c.x_image(), c.x_image(), reinterpret_cast<T*>(scratch + l.columns + l.dw));
    const T* grad = read<T>(dy, n * c.y_image(), c.y_image(), reinterpret_cast<T*>(scratch + l.columns + l.dw + l.x));
    const int64_t x_group = c.x_image() / c.shape.groups;
    char* slices = scratch + l.columns + l.dw + l.x + l.dy;
    for (int64_t i = 0; i < c.shape.groups; ++i)
      add_group<T>(r, c, image + i * x_group, grad + i * g.m * g.k, dw + i * g.m * g.n, columns, slices, n == 0);
  }
  write<T>(out, 0, out.count(), dw);
}

size_t scratch_weight(const ScratchContext& c) {
  if (!c.out(0).defined() || !ranks_match(c.in(0).shape(), c.in(1).shape(), c.out(0).shape())) return 0;
  Convolution conv = forward(c.node, c.in(0).shape(), c.out(0).shape(), c.in(1).shape(),
                             *static_cast<const Prepared*>(c.prepared));
  conv.dtype = c.in(0).dtype;
  return Layout(conv, weight_gemm(conv)).total(c.threads);
}

void run_weight(RunContext& c) {
  const bool planned = c.out(0).defined();
  const View& dw = shaped_output(c);
  const View &x = c.in(0), &dy = c.in(1);
  Convolution conv = forward(c.node(), x.shape(), dw.shape(), dy.shape(), c.prepared<Prepared>());
  conv.dtype = x.dtype;
  char* scratch = c.scratch<char>();
  if (!planned) scratch = static_cast<char*>(c.temporary(Layout(conv, weight_gemm(conv)).total(c.threads())));
  if (x.dtype == DType::f64) run_weight_as<double>(c, conv, x, dy, dw, scratch);
  else run_weight_as<float>(c, conv, x, dy, dw, scratch);
}

// (dY, W) -> dX: with G the gradient of dX, dY's is Conv(G, W) and W's correlates G with dY.
void gradient_input(GradientContext& c) {
  if (!c.grad()) return;
  if (c.wants(0)) c.set(0, c.emit("Conv", {c.grad(), c.in(1)}, c.attributes()));
  if (c.wants(1))
    c.set(1, c.emit("ConvWeightGrad", {c.grad(), c.in(0), c.emit("Shape", {c.in(1)})}, c.attributes(), "outpost"));
}

// (X, dY) -> dW: with G the gradient of dW, X's is the input gradient through G and dY's is Conv(X, G).
void gradient_weight(GradientContext& c) {
  if (!c.grad()) return;
  if (c.wants(0))
    c.set(0, c.emit("ConvInputGrad", {c.in(1), c.grad(), c.emit("Shape", {c.in(0)})}, c.attributes(), "outpost"));
  if (c.wants(1)) c.set(1, c.emit("Conv", {c.in(0), c.grad()}, c.attributes()));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_ConvInputGrad, .name = "ConvInputGrad", .domain = "outpost", .min_inputs = 3, .max_inputs = 3,
                  .doc = "Gradient of Conv to its input: (dY, W, shape of X)", .infer = infer, .run = run_input,
                  .gradient = gradient_input, .prepare = prepare, .scratch = scratch_input, .cases = R"(
  pads=[1,1,1,1] | f32[2,4,5,6] f32[4,3,3,3] i64[4]={2,3,5,6}
  strides=[2,2] group=2 | f32[1,4,2,2] f32[4,2,2,2] i64[4]={1,4,5,4}
  strides=[2] dilations=[2] pads=[1,0] | f32[1,3,3] f32[3,2,2] i64[3]={1,2,7}
)");

OUTPOST_DEFINE_OP(outpost_ConvWeightGrad, .name = "ConvWeightGrad", .domain = "outpost", .min_inputs = 3,
                  .max_inputs = 3, .doc = "Gradient of Conv to its weight: (X, dY, shape of W)", .infer = infer,
                  .run = run_weight, .gradient = gradient_weight, .prepare = prepare, .scratch = scratch_weight,
                  .cases = R"(
  pads=[1,1,1,1] | f32[2,3,5,6] f32[2,4,5,6] i64[4]={4,3,3,3}
  strides=[2,2] group=2 | f32[1,4,5,4] f32[1,4,2,2] i64[4]={4,2,2,2}
  strides=[2] dilations=[2] pads=[1,0] | f32[1,2,7] f32[1,3,3] i64[3]={3,2,2}
)");

}  // namespace outpost
