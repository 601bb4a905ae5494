// DynamicQuantizeLinear: u8 codes with the scale and zero point that the values at hand need, 0 included in their
// range.
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"

namespace outpost {

namespace {

constexpr int64_t extreme_tile = 65536;

size_t scratch_dynamic(const ScratchContext& c) {
  return 2 * sizeof(float) * static_cast<size_t>(c.in(0).count() / extreme_tile + 1);
}

void run_dynamic(RunContext& c) {
  const View& x = c.in(0);
  const auto& table = kernels::kernels();
  const int64_t count = x.count(), tiles = (count + extreme_tile - 1) / extreme_tile;
  float* extremes = c.scratch<float>();
  c.parallel(tiles, [&](int64_t t) {
    const int64_t first = t * extreme_tile, n = std::min(extreme_tile, count - first);
    table.reduce_rows[int(kernels::Reduce::min)](x.as<float>() + first, 1, n, n, extremes + 2 * t);
    table.reduce_rows[int(kernels::Reduce::max)](x.as<float>() + first, 1, n, n, extremes + 2 * t + 1);
  });
  float low = 0, high = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    low = std::min(low, extremes[2 * t]);
    high = std::max(high, extremes[2 * t + 1]);
  }
  const float range = high - low, scale = range == 0 ? 1 : range / 255.0f;  // all zero: any scale does
  const float raw = std::nearbyint(-low / scale);
  const int32_t zero = raw >= 0 && raw <= 255 ? static_cast<int32_t>(raw) : raw > 255 ? 255 : 0;
  *c.out(1).as<float>() = scale;
  *c.out(2).as<uint8_t>() = static_cast<uint8_t>(zero);
  c.parallel_ranges(count, elementwise_grain, [&](int64_t begin, int64_t end) {
    table.quantize_u8(x.as<float>() + begin, scale, zero, c.out(0).as<uint8_t>() + begin, end - begin);
  });
}

void infer_dynamic(InferContext& c) {
  c.require_dtype(0, {DType::f32});
  Type t = c.input(0);
  t.dtype = DType::u8;
  c.output(0, std::move(t));
  c.output(1, DType::f32, Dims{});
  c.output(2, DType::u8, Dims{});
}

}  // namespace

OUTPOST_DEFINE_OP(DynamicQuantizeLinear, .name = "DynamicQuantizeLinear", .since = 11, .first = 11, .min_outputs = 3,
                  .max_outputs = 3, .doc = "u8 with the scale and zero point of the values at hand",
                  .infer = infer_dynamic, .run = run_dynamic,
                  .no_gradient = "piecewise constant: zero wherever it exists", .scratch = scratch_dynamic,
                  .cases = "| f32[2,3,4](-3,5) | 3\n| f32[7](0.5,2) | 3\n| f32[](-1,1) | 3\n| f32[0] | 3");

}  // namespace outpost
