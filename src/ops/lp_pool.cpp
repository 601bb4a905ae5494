// LpPool: the p-norm of each window. Source: ONNX LpPool-22.
#include <cmath>

#include "ops/pool.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  infer_pool(c);
}

// p was a real number in opset 1.
void upgrade(UpgradeContext& c) {
  const Attribute* p = c.node.attributes.find("p");
  if (!p || !std::holds_alternative<float>(*p)) return;
  const float value = std::get<float>(*p);
  if (value < 1 || value > 1e6f || value != std::floor(value))
    fail(ErrorCode::unsupported, c.node.label(), ": p is ", value, "; only whole numbers are supported");
  c.node.attributes.set("p", static_cast<int64_t>(value));
}

size_t scratch(const ScratchContext& c) {
  const View& x = c.in(0);
  return pool_scratch_bytes(pool_shape(*static_cast<const PoolAttributes*>(c.prepared), x.shape()), x.dtype, c.threads);
}

template <class T>
void plane_of(const PoolShape& s, int64_t p, const T* x, T* y) {
  T total = 0;
  auto begin = [&](int64_t, const TapRange*) { total = 0; };
  const T power = static_cast<T>(p);
  auto walk = [&](auto&& tap, auto&& end) { walk_windows(s.window, begin, tap, end); };
  if (p == 1) walk([&](int64_t i) { total += std::fabs(x[i]); }, [&](int64_t o) { y[o] = total; });
  else if (p == 2) walk([&](int64_t i) { total += x[i] * x[i]; }, [&](int64_t o) { y[o] = std::sqrt(total); });
  else
    walk([&](int64_t i) { total += std::pow(std::fabs(x[i]), power); },
         [&](int64_t o) { y[o] = std::pow(total, 1 / power); });
}

void run(RunContext& c) {
  const PoolAttributes& a = c.prepared<PoolAttributes>();
  const View &x = c.in(0), &y = c.out(0);
  const PoolShape s = pool_shape(a, x.shape());
  if (y.count() == 0) return;
  if (x.dtype == DType::f64)
    for_planes<double>(c, s, x, y, [&](const double* from, double* to, int64_t) { plane_of(s, a.p, from, to); });
  else for_planes<float>(c, s, x, y, [&](const float* from, float* to, int64_t) { plane_of(s, a.p, from, to); });
}

}  // namespace

OUTPOST_DEFINE_OP(LpPool, .name = "LpPool", .since = 22, .doc = "p-norm of each window", .infer = infer, .run = run,
                  .upgrade = upgrade, .prepare = prepare_pool, .scratch = scratch, .cases = R"(
  kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] | f32[2,3,7,8]
  kernel_shape=[2] p=1 | f32[1,2,7]
  kernel_shape=[2,2] p=3 auto_pad="SAME_UPPER" | f32[1,2,5,6]
)");

}  // namespace outpost
