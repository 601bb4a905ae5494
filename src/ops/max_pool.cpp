// MaxPool with optional indices of the maxima (row- or column-major). f32 runs on the kernels, f16 and bf16 through
// f32, f64 and the 8-bit integers in plain loops. Source: ONNX MaxPool-22.
#include "ops/pool.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::u8});
  infer_pool(c);
  if (!c.wants(1)) return;
  if (!c.ranked(0)) return c.output(1, DType::i64);
  const Dims& x = c.dims(0);
  Dims out{x[0], x[1]};
  for (const Dim& d : window_dims(c, pool_attributes(c.node()).window, std::span(x).subspan(2), {})) out.push_back(d);
  c.output(1, DType::i64, std::move(out));
}

size_t scratch(const ScratchContext& c) {
  const View& x = c.in(0);
  return pool_scratch_bytes(pool_shape(*static_cast<const PoolAttributes*>(c.prepared), x.shape()), x.dtype, c.threads);
}

// From a row-major position in a plane to a column-major one (the last axis slowest).
int64_t column_major(const kernels::Window& w, int64_t index) {
  const int64_t i = index % w.in[2], h = index / w.in[2] % w.in[1], d = index / w.in[2] / w.in[1];
  return d + w.in[0] * (h + w.in[1] * i);
}

template <class T>
void plane_of(const PoolShape& s, const T* x, T* y, int64_t* indices, int64_t offset) {
  using Limits = std::numeric_limits<T>;
  T best{};
  int64_t at = -1;
  walk_windows(
      s.window,
      [&](int64_t, const TapRange*) {
        at = -1;
        best = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
      },
      [&](int64_t i) {
        const T v = x[i];
        if (at < 0 || v > best || (v != v && best == best)) best = v, at = i;
      },
      [&](int64_t p) {
        y[p] = best;
        if (indices) indices[p] = at < 0 ? -1 : offset + at;
      });
}

template <class T>
void run_plain(const RunContext& c, const PoolShape& s, int64_t* indices) {
  const T* x = c.in(0).as<const T>();
  T* y = c.out(0).as<T>();
  c.parallel_ranges(s.planes, s.grain(), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      int64_t* positions = indices ? indices + plane * s.out_count() : nullptr;
      plane_of(s, x + plane * s.in_count(), y + plane * s.out_count(), positions, plane * s.in_count());
    }
  });
}

void run(RunContext& c) {
  const PoolAttributes& a = c.prepared<PoolAttributes>();
  const View &x = c.in(0), &y = c.out(0);
  const PoolShape s = pool_shape(a, x.shape());
  if (y.count() == 0) return;
  int64_t* indices = c.wants(1) ? c.out(1).as<int64_t>() : nullptr;
  const kernels::Kernels& kernel = kernels::kernels();
  kernels::Pool pool;
  pool.window = s.window;
  if (x.dtype == DType::f32) {
    pool.x = x.as<float>(), pool.y = y.as<float>(), pool.indices = indices;
    c.parallel_ranges(s.planes, s.grain(), [&](int64_t begin, int64_t end) { kernel.max_pool(pool, begin, end); });
  } else if (x.dtype == DType::f64) {
    run_plain<double>(c, s, indices);
  } else if (x.dtype == DType::i8) {
    run_plain<int8_t>(c, s, indices);
  } else if (x.dtype == DType::u8) {
    run_plain<uint8_t>(c, s, indices);
  } else {
    for_planes<float>(c, s, x, y, [&](const float* from, float* to, int64_t plane) {
      plane_of(s, from, to, indices ? indices + plane * s.out_count() : nullptr, plane * s.in_count());
    });
  }
  if (!indices || a.storage_order == 0) return;
  for (int64_t i = 0; i < y.count(); ++i) {
    const int64_t plane = i / s.out_count() * s.in_count();
    if (indices[i] >= 0) indices[i] = plane + column_major(s.window, indices[i] - plane);
  }
}

Cost cost(const CostContext& c) {
  double taps = 1;
  for (int64_t k : c.node.attributes.integers("kernel_shape")) taps *= static_cast<double>(k);
  return {c.count(*c.out(0)) * taps, (c.count(*c.in(0)) + c.count(*c.out(0))) * bits(c.out(0)->dtype) / 8};
}

// dY goes to where the maxima were: the pooling again with indices, then a scatter into zeros.
void gradient(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Attributes attributes = c.attributes();
  attributes.erase("storage_order");
  Value* indices = c.emit_node("MaxPool", {c.in(0)}, attributes, 2)->output(1);
  auto flat = [&](Value* v) { return c.emit("Reshape", {v, c.integers({-1})}); };
  Value* zero = c.like(c.in(0), 0);
  Value* zeros = c.emit("Expand", {zero, c.emit("Reshape", {c.emit("Size", {c.in(0)}), c.integers({1})})});
  Value* dx = c.emit("ScatterElements", {zeros, flat(indices), flat(c.grad())}, {{"reduction", std::string("add")}});
  c.set(0, c.emit("Reshape", {dx, c.emit("Shape", {c.in(0)})}, {{"allowzero", int64_t{1}}}));
}

}  // namespace

OUTPOST_DEFINE_OP(MaxPool, .name = "MaxPool", .since = 22, .max_outputs = 2, .doc = "Largest of each window",
                  .infer = infer, .run = run, .gradient = gradient, .cost = cost, .prepare = prepare_pool,
                  .scratch = scratch, .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | f32[2,3,7,8]
  kernel_shape=[2] ceil_mode=1 strides=[2] | f32[1,2,7]
  kernel_shape=[2,2] dilations=[2,2] | f32[1,2,5,6]
  kernel_shape=[2,2,2] auto_pad="SAME_LOWER" | f32[1,1,3,4,5]
  kernel_shape=[5,5] pads=[2,2,2,2] | f32[1,4,6,6]
  kernel_shape=[2,2] | u8[1,2,4,4]
  kernel_shape=[3,2] strides=[2,1] pads=[1,0,1,1] | f32[2,3,5,6] | 2
  kernel_shape=[2,2] storage_order=1 | f32[1,2,4,4] | 2
  kernel_shape=[2,2] | f32[0,2,4,4]
)");

}  // namespace outpost
