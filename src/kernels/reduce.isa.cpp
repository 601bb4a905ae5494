// Reductions of f32 along contiguous rows or along strided columns, and the positions of extremes.
#include "kernels/reduce.h"

#include "kernels/table.h"

namespace outpost::kernels {
namespace {

using Map = F32 (*)(F32);

inline F32 same(F32 x) { return x; }
inline F32 squared(F32 x) { return x * x; }

template <Map map>
void sum_rows(const float* x, int64_t rows, int64_t columns, int64_t row_stride, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += row_stride)
    y[r] = float(blocked_sum(columns, [x](int64_t i, int64_t n) { return map(load_up_to(x + i, n)); }));
}

template <float (*fold)(const float*, int64_t)>
void fold_rows(const float* x, int64_t rows, int64_t columns, int64_t row_stride, float* y) {
  for (int64_t r = 0; r < rows; ++r) y[r] = fold(x + r * row_stride, columns);
}

inline F32 multiply(F32 a, F32 b) { return a * b; }
float row_product(const float* x, int64_t n) {
  return fold_lanes(fold_row(x, n, broadcast(1.0f), multiply), [](float a, float b) { return a * b; });
}

// Strips of four registers down the rows; `run(column, count, registers)` with `count` columns in the last register.
template <class Run>
inline void for_strips(int64_t columns, Run run) {
  int64_t c = 0;
  for (; c + 4 * lanes <= columns; c += 4 * lanes) run(c, lanes, [] { return 4; });
  for (; c < columns; c += lanes) run(c, columns - c < lanes ? columns - c : lanes, [] { return 1; });
}

// Runs of 32 rows in plain registers, their sums compensated.
template <Map map, int registers>
inline void sum_strip(const float* x, int64_t rows, int64_t count, int64_t row_stride, float* y) {
  Compensated total[registers];
  for (int64_t start = 0; start < rows; start += 32) {
    const int64_t end = rows - start < 32 ? rows : start + 32;
    F32 sum[registers] = {};
    for (int64_t r = start; r < end; ++r)
      for (int i = 0; i < registers; ++i) sum[i] += map(load_up_to(x + r * row_stride + i * lanes, count));
    for (int i = 0; i < registers; ++i) total[i].add(sum[i]);
  }
  for (int i = 0; i < registers; ++i) store_up_to(y + i * lanes, total[i].total(), count);
}

template <Map map>
void sum_columns(const float* x, int64_t rows, int64_t columns, int64_t row_stride, float* y) {
  for_strips(columns, [=](int64_t c, int64_t count, auto registers) {
    sum_strip<map, registers()>(x + c, rows, count, row_stride, y + c);
  });
}

template <F32 (*combine)(F32, F32), int registers>
inline void fold_strip(const float* x, int64_t rows, int64_t count, int64_t row_stride, float identity, float* y) {
  F32 all[registers];
  for (int i = 0; i < registers; ++i) all[i] = broadcast(identity);
  for (int64_t r = 0; r < rows; ++r)
    for (int i = 0; i < registers; ++i) all[i] = combine(all[i], load_up_to(x + r * row_stride + i * lanes, count));
  for (int i = 0; i < registers; ++i) store_up_to(y + i * lanes, all[i], count);
}

inline constexpr float identity_of(Reduce kind) {
  return kind == Reduce::prod ? 1 : kind == Reduce::max ? -infinity : infinity;
}

template <F32 (*combine)(F32, F32), Reduce kind>
void fold_columns(const float* x, int64_t rows, int64_t columns, int64_t row_stride, float* y) {
  for_strips(columns, [=](int64_t c, int64_t count, auto registers) {
    fold_strip<combine, registers()>(x + c, rows, count, row_stride, identity_of(kind), y + c);
  });
}

// The extreme first, then where it is: the search stops at the first hit.
template <float (*extreme)(const float*, int64_t)>
void extreme_rows(const float* x, int64_t rows, int64_t columns, int64_t row_stride, bool last, int64_t* y) {
  for (int64_t r = 0; r < rows; ++r, x += row_stride) {
    const float best = extreme(x, columns);
    const auto hit = [best](float v) { return best != best ? v != v : v == best; };
    int64_t i = last ? columns - 1 : 0;
    while (!hit(x[i])) i += last ? -1 : 1;
    y[r] = i;
  }
}

}  // namespace

void OUTPOST_ISA::fill_reduce(Kernels& table) {
  const auto set = [&table](Reduce kind, ReduceKernel rows, ReduceKernel columns) {
    table.reduce_rows[int(kind)] = rows;
    table.reduce_columns[int(kind)] = columns;
  };
  set(Reduce::sum, sum_rows<same>, sum_columns<same>);
  set(Reduce::sum_absolute, sum_rows<absolute>, sum_columns<absolute>);
  set(Reduce::sum_square, sum_rows<squared>, sum_columns<squared>);
  set(Reduce::prod, fold_rows<row_product>, fold_columns<multiply, Reduce::prod>);
  set(Reduce::max, fold_rows<row_max>, fold_columns<max_nan<F32>, Reduce::max>);
  set(Reduce::min, fold_rows<row_min>, fold_columns<min_nan<F32>, Reduce::min>);
  table.argmax_rows = extreme_rows<row_max>;
  table.argmin_rows = extreme_rows<row_min>;
}

}  // namespace outpost::kernels
