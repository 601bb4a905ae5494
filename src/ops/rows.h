// Rows: operators that work along contiguous rows (softmax, the norms), in f32 or f64, staging narrower storage types.
#pragma once
#include <algorithm>

#include "ops/staging.h"

namespace outpost {

// Rows staged together, and rows that one thread takes at least.
inline int64_t staged_rows(int64_t columns) noexcept { return columns > 4096 || columns < 1 ? 1 : 4096 / columns; }
inline int64_t row_grain(int64_t columns) noexcept { return columns > 16384 || columns < 1 ? 1 : 16384 / columns; }

// One thread's staging for x and y rows of compute type f32 (none where both are stored so).
inline size_t row_stage_bytes(DType x, DType y, int64_t columns) noexcept {
  if (x == DType::f64 || (x == DType::f32 && y == DType::f32)) return 0;
  return 2 * slice_bytes(static_cast<size_t>(staged_rows(columns) * columns) * sizeof(float));
}

// body(const T* x, T* y, first_row, rows): x and y may be the same memory. `stages`: row_stage_bytes for each thread.
template <class T, class Body>
void for_rows(const RunContext& c, const View& x, const View& y, int64_t rows, int64_t columns, void* stages,
              Body&& body) {
  const bool direct = x.dtype == dtype_of<T>() && y.dtype == dtype_of<T>();
  const size_t half = slice_bytes(static_cast<size_t>(staged_rows(columns) * columns) * sizeof(T));
  c.parallel_ranges(rows, row_grain(columns), [&](int64_t begin, int64_t end) {
    if (direct) return body(x.as<const T>() + begin * columns, y.as<T>() + begin * columns, begin, end - begin);
    char* stage = static_cast<char*>(stages) + 2 * half * static_cast<size_t>(RunContext::worker());
    for (int64_t row = begin; row < end; row += staged_rows(columns)) {
      const int64_t n = std::min(end - row, staged_rows(columns));
      const T* from = read<T>(x, row * columns, n * columns, reinterpret_cast<T*>(stage));
      T* to = target<T>(y, row * columns, reinterpret_cast<T*>(stage + half));
      body(from, to, row, n);
      write<T>(y, row * columns, n * columns, to);
    }
  });
}

// Functions along one axis of (outer, length, inner). `columns` handles a panel of neighbouring lines: x and y share
// the stride and may be the same memory.
struct AxisFunction {
  void (*rows)(const float* x, float* y, int64_t rows, int64_t columns);
  void (*columns)(const float* x, float* y, int64_t length, int64_t columns, int64_t stride);
  void (*line)(const double* x, double* y, int64_t length, int64_t stride);
};
size_t axis_scratch_bytes(DType dtype, const AxisView&, int threads);
void run_along_axis(const RunContext&, const AxisFunction&, const View& x, const View& y, const AxisView&);

}  // namespace outpost
