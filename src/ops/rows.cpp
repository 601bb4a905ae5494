// Functions along an axis: contiguous rows, panels of strided lines, and their staging.
#include "ops/rows.h"

namespace outpost {
namespace {

// Lines of a panel: enough for whole cache lines, few enough that a panel stays in the core's cache.
int64_t panel_width(const AxisView& a) noexcept {
  return std::min(a.inner, std::clamp<int64_t>((1 << 14) / std::max<int64_t>(1, a.length), 64, 1024));
}

void run_panels(const RunContext& c, const AxisFunction& f, const View& x, const View& y, const AxisView& a) {
  const int64_t width = panel_width(a), panels = (a.inner + width - 1) / width;
  const bool direct = x.dtype == DType::f32;
  c.parallel_ranges(a.outer * panels, row_grain(a.length * width), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t column = t % panels * width, n = std::min(width, a.inner - column);
      const int64_t first = t / panels * a.length * a.inner + column;
      if (direct) {
        f.columns(x.as<const float>() + first, y.as<float>() + first, a.length, n, a.inner);
        continue;
      }
      auto* stage = worker_slice<float>(c, static_cast<size_t>(a.length * width) * sizeof(float));
      for (int64_t i = 0; i < a.length; ++i) widen(x.dtype, x.data, first + i * a.inner, n, stage + i * n);
      f.columns(stage, stage, a.length, n, n);
      for (int64_t i = 0; i < a.length; ++i) narrow(y.dtype, stage + i * n, n, y.data, first + i * a.inner);
    }
  });
}

}  // namespace

size_t axis_scratch_bytes(DType dtype, const AxisView& a, int threads) {
  if (dtype == DType::f64 || dtype == DType::f32) return 0;
  if (a.inner == 1) return row_stage_bytes(dtype, dtype, a.length) * static_cast<size_t>(threads);
  return slice_bytes(static_cast<size_t>(a.length * panel_width(a)) * sizeof(float)) * static_cast<size_t>(threads);
}

void run_along_axis(const RunContext& c, const AxisFunction& f, const View& x, const View& y, const AxisView& a) {
  if (x.count() == 0) return;
  if (x.dtype == DType::f64) {
    c.parallel_ranges(a.outer * a.inner, row_grain(a.length), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / a.inner * a.length * a.inner + i % a.inner;
        f.line(x.as<const double>() + first, y.as<double>() + first, a.length, a.inner);
      }
    });
    return;
  }
  if (a.inner != 1) return run_panels(c, f, x, y, a);
  for_rows<float>(c, x, y, a.outer, a.length, c.scratch(), [&](const float* from, float* to, int64_t, int64_t rows) {
    f.rows(from, to, rows, a.length);
  });
}

}  // namespace outpost
