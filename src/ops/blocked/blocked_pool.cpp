// BlockedMaxPool, BlockedAveragePool, BlockedGlobalAveragePool: pooling on channel blocks. The kernels run f32 of their
// own block; other blocks and f64 run in plain loops. Made by the layout pass.
#include "kernels/kernels.h"
#include "ops/blocked/blocked.h"

namespace outpost {
namespace {

void require_blocked(const InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64});
  if (!c.ranked(0)) return;
  c.require(c.rank(0) == 5, "X must be (batch, blocks, height, width, block); found ", c.input(0));
  const Dim block = c.dims(0)[4];
  c.require(!block.known() || block.size == 4 || block.size == 8 || block.size == 16, "X has blocks of ", block.size,
            "; expected 4, 8 or 16");
}

void infer(InferContext& c) {
  require_blocked(c);
  const PoolAttributes a = pool_attributes(c.node());
  c.require(a.window.kernel.length > 0, "kernel_shape is missing");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  Dims out{x[0], x[1]};
  for (const Dim& d : window_dims(c, a.window, std::span(x).subspan(2, 2), {})) out.push_back(d);
  out.push_back(x[4]);
  c.output(0, c.dtype(0), std::move(out));
}

// Every window of T in plain loops: the largest, or the mean.
template <class T>
void run_plain(const RunContext& r, const PoolShape& s, int64_t block, bool mean, bool include_pad) {
  const kernels::Window& w = s.window;
  const auto counted = [&](int axis, const TapRange& t) {
    if (!include_pad) return t.last - t.first;
    const int64_t reach = w.in[axis] + s.pad_end[axis] - t.origin;
    return std::min(w.kernel[axis], (reach + w.dilation[axis] - 1) / w.dilation[axis]);
  };
  r.parallel(s.planes, [&](int64_t plane) {
    for (int64_t lane = 0; lane < block; ++lane) {
      const T* x = r.in(0).as<const T>() + plane * s.in_count() * block + lane;
      T* y = r.out(0).as<T>() + plane * s.out_count() * block + lane;
      T all = 0, divisor = 1;
      walk_windows(
          w,
          [&](int64_t, const TapRange* t) {
            all = mean ? T(0) : -std::numeric_limits<T>::infinity();
            divisor = static_cast<T>(counted(1, t[1]) * counted(2, t[2]));
          },
          [&](int64_t i) {
            const T v = x[i * block];
            if (mean) all += v;
            else if (v > all || v != v) all = v;
          },
          [&](int64_t p) { y[p * block] = mean ? all / divisor : all; });
    }
  });
}

template <bool mean>
void run(RunContext& r) {
  const auto& a = r.prepared<PoolAttributes>();
  const View &x = r.in(0), &y = r.out(0);
  if (y.count() == 0) return;
  PoolShape s;
  s.window = resolve_window(a.window, 2, x.shape().data() + 2, nullptr, s.pad_end);
  s.planes = x.dim(0) * x.dim(1);
  const int64_t block = x.dim(4);
  if (x.dtype == DType::f64) return run_plain<double>(r, s, block, mean, a.count_include_pad);
  if (block != native_block()) return run_plain<float>(r, s, block, mean, a.count_include_pad);
  kernels::Pool pool;
  pool.window = s.window, pool.x = x.as<const float>(), pool.y = y.as<float>();
  std::copy(std::begin(s.pad_end), std::end(s.pad_end), pool.pad_end);
  pool.count_include_pad = a.count_include_pad;
  const auto kernel = mean ? kernels::kernels().average_pool_blocked : kernels::kernels().max_pool_blocked;
  r.parallel_ranges(s.planes, s.grain(), [&](int64_t begin, int64_t end) { kernel(pool, begin, end); });
}

// The mean over whole planes is an average pool of one window.
void run_global(RunContext& r) {
  const View &x = r.in(0), &y = r.out(0);
  if (y.count() == 0) return;
  PoolShape s;
  for (int axis = 1; axis < 3; ++axis) s.window.in[axis] = s.window.kernel[axis] = x.dim(axis + 1);
  s.planes = x.dim(0) * x.dim(1);
  if (x.dtype == DType::f64) return run_plain<double>(r, s, x.dim(4), true, false);
  if (x.dim(4) != native_block()) return run_plain<float>(r, s, x.dim(4), true, false);
  kernels::Pool pool;
  pool.window = s.window, pool.x = x.as<const float>(), pool.y = y.as<float>();
  r.parallel_ranges(s.planes, s.grain(), [&](int64_t begin, int64_t end) {
    kernels::kernels().average_pool_blocked(pool, begin, end);
  });
}

void infer_global(InferContext& c) {
  require_blocked(c);
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  c.output(0, c.dtype(0), Dims{x[0], x[1], Dim(1), Dim(1), x[4]});
}

// With the lanes as a third spatial axis of windows of one.
template <bool mean>
void expand(ExpandContext& c) {
  Attributes attributes = c.attributes();
  for (const auto& [name, one] : {std::pair{"kernel_shape", 1}, {"strides", 1}, {"dilations", 1}, {"pads", 0}}) {
    std::vector<int64_t> values = attributes.integers(name);
    if (values.empty()) continue;
    if (std::string_view(name) == "pads" && values.size() == 4) values.insert(values.begin() + 2, 0);
    values.insert(values.begin(), one);
    attributes.set(name, values);
  }
  c.replace(0, lanes_last(c, c.emit(mean ? "AveragePool" : "MaxPool", {lanes_first(c, c.in(0))}, attributes)));
}

void expand_global(ExpandContext& c) {
  c.replace(0, c.emit("ReduceMean", {c.in(0), c.integers({2, 3})}, {{"keepdims", int64_t{1}}}));
}

Cost cost(const CostContext& c) {
  double taps = 1;
  for (int64_t k : c.node.attributes.integers("kernel_shape")) taps *= static_cast<double>(k);
  return {c.count(*c.out(0)) * taps, (c.count(*c.in(0)) + c.count(*c.out(0))) * bits(c.out(0)->dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_BlockedMaxPool, .name = "BlockedMaxPool", .domain = "outpost",
                  .doc = "MaxPool on channel blocks", .infer = infer, .run = run<false>, .expand = expand<false>,
                  .no_gradient = "made for inference, after gradients", .cost = cost, .prepare = prepare_pool, .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | f32[2,3,7,8,16]
  kernel_shape=[5,5] pads=[2,2,2,2] | f32[1,2,6,6,8]
  kernel_shape=[2,2] dilations=[2,2] ceil_mode=1 strides=[2,1] | f32[1,2,5,6,4]
  kernel_shape=[3,2] auto_pad="SAME_LOWER" | f32[0,2,5,6,16]
)");

OUTPOST_DEFINE_OP(outpost_BlockedAveragePool, .name = "BlockedAveragePool", .domain = "outpost",
                  .doc = "AveragePool on channel blocks", .infer = infer, .run = run<true>, .expand = expand<true>,
                  .no_gradient = "made for inference, after gradients", .cost = cost, .prepare = prepare_pool, .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | f32[2,3,7,8,16]
  kernel_shape=[3,3] pads=[1,1,1,1] count_include_pad=1 | f32[1,2,5,6,8]
  kernel_shape=[2,2] dilations=[2,1] | f32[1,2,5,6,4]
)");

OUTPOST_DEFINE_OP(outpost_BlockedGlobalAveragePool, .name = "BlockedGlobalAveragePool", .domain = "outpost",
                  .doc = "GlobalAveragePool on channel blocks", .infer = infer_global, .run = run_global,
                  .expand = expand_global, .no_gradient = "made for inference, after gradients", .cases = R"(
  | f32[2,3,4,5,16]
  | f32[1,1,7,7,8]
  | f32[0,2,3,3,4]
)");

}  // namespace outpost
