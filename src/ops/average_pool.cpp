// AveragePool. The divisor counts the taps inside the input, or with count_include_pad those inside the padded input.
// Source: ONNX AveragePool-22.
#include "ops/pool.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  infer_pool(c);
}

size_t scratch(const ScratchContext& c) {
  const View& x = c.in(0);
  return pool_scratch_bytes(pool_shape(*static_cast<const PoolAttributes*>(c.prepared), x.shape()), x.dtype, c.threads);
}

// Taps of one axis that the divisor counts when padding is included.
int64_t padded_taps(const PoolShape& s, int axis, int64_t origin) {
  const int64_t room = s.window.in[axis] + s.pad_end[axis] - origin, dilation = s.window.dilation[axis];
  return std::clamp<int64_t>((room + dilation - 1) / dilation, 0, s.window.kernel[axis]);
}

template <class T>
void plane_of(const PoolShape& s, bool include_pad, const T* x, T* y) {
  T total = 0;
  int64_t divisor = 1;
  walk_windows(
      s.window,
      [&](int64_t, const TapRange* r) {
        total = 0, divisor = 1;
        for (int i = 0; i < 3; ++i) divisor *= include_pad ? padded_taps(s, i, r[i].origin) : r[i].last - r[i].first;
      },
      [&](int64_t i) { total += x[i]; },
      [&](int64_t p) { y[p] = divisor > 0 ? total / static_cast<T>(divisor) : T{0}; });
}

void run(RunContext& c) {
  const PoolAttributes& a = c.prepared<PoolAttributes>();
  const View &x = c.in(0), &y = c.out(0);
  const PoolShape s = pool_shape(a, x.shape());
  if (y.count() == 0) return;
  kernels::Pool pool;
  pool.window = s.window;
  pool.count_include_pad = a.count_include_pad;
  std::copy(s.pad_end, s.pad_end + 3, pool.pad_end);
  if (x.dtype == DType::f64)
    return for_planes<double>(c, s, x, y, [&](const double* from, double* to, int64_t) {
      plane_of(s, a.count_include_pad, from, to);
    });
  if (x.dtype == DType::f32) {
    pool.x = x.as<float>(), pool.y = y.as<float>();
    c.parallel_ranges(s.planes, s.grain(), [&](int64_t begin, int64_t end) {
      kernels::kernels().average_pool(pool, begin, end);
    });
    return;
  }
  for_planes<float>(c, s, x, y, [&](const float* from, float* to, int64_t) {
    kernels::Pool one = pool;
    one.x = from, one.y = to;
    kernels::kernels().average_pool(one, 0, 1);
  });
}

// Pooling is linear: dX(i) = sum over windows p that hold i of dY(p) / divisor(p): the gradient of a convolution with
// ones on single planes. 1 / divisor = (pooling of ones) / (convolution of ones).
void gradient(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value *x = c.in(0), *dy = c.grad();
  if (c.attributes().integer("ceil_mode", 0) || !x->type.ranked)
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank and ceil_mode 0");
  Attributes window, pooling = c.attributes();
  for (const char* name : {"kernel_shape", "strides", "dilations", "pads", "auto_pad"})
    if (const Attribute* a = c.attributes().find(name)) window.set(name, *a);
  std::vector<int64_t> kernel = c.attributes().integers("kernel_shape");
  kernel.insert(kernel.begin(), {1, 1});
  Tensor ones(x->type.dtype, Shape(kernel));
  const std::vector<double> values(static_cast<size_t>(ones.count()), 1.0);
  convert(DType::f64, values.data(), ones.dtype(), ones.raw(), ones.count());
  Value* weight = c.constant(ones);
  auto planes = [&](Value* v) {  // (batch * channels, 1, spatial...)
    Value* rest = c.emit("Shape", {v}, {{"start", int64_t{2}}});
    Value* shape = c.emit("Concat", {c.integers({-1, 1}), rest}, {{"axis", int64_t{0}}});
    return c.emit("Reshape", {v, shape});
  };
  Value* spatial = c.emit("Shape", {x}, {{"start", int64_t{2}}});
  Value* unit = c.emit("Concat", {c.integers({1, 1}), spatial}, {{"axis", int64_t{0}}});
  Value* field = c.emit("Expand", {c.like(x, 1), unit});
  Value* taps = c.emit("Max", {c.emit("Conv", {field, weight}, window), c.like(x, 1)});
  Value* inverse = c.div(c.emit("AveragePool", {field}, pooling), taps);
  Value* scaled = planes(c.mul(dy, inverse));
  Value* flat = planes(x);
  Value* dx = c.emit("ConvInputGrad", {scaled, weight, c.emit("Shape", {flat})}, window, "outpost");
  c.set(0, c.emit("Reshape", {dx, c.emit("Shape", {x})}, {{"allowzero", int64_t{1}}}));
}

Cost cost(const CostContext& c) {
  double taps = 1;
  for (int64_t k : c.node.attributes.integers("kernel_shape")) taps *= static_cast<double>(k);
  return {c.count(*c.out(0)) * taps, (c.count(*c.in(0)) + c.count(*c.out(0))) * bits(c.out(0)->dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(AveragePool, .name = "AveragePool", .since = 22, .doc = "Mean of each window", .infer = infer,
                  .run = run, .gradient = gradient, .cost = cost, .prepare = prepare_pool, .scratch = scratch,
                  .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | f32[2,3,7,8]
  kernel_shape=[3,3] pads=[1,1,1,1] count_include_pad=1 | f32[1,2,5,6]
  kernel_shape=[2] strides=[2] auto_pad="SAME_UPPER" | f32[1,2,7]
  kernel_shape=[2,2] dilations=[2,1] | f32[1,2,5,6]
  kernel_shape=[2,2,2] | f32[1,1,3,4,5]
)");

}  // namespace outpost
