// Products of few rows with B's columns contiguous along k (a query against cached keys, an unpacked transposed
// weight): every element is a dot product, so that B streams through once and is never copied.
#pragma once

#include "kernels/gemm_pack.h"

namespace outpost::kernels {
namespace {

constexpr int dot_rows = 3, dot_columns = 4;

template <class T>
inline T sum_lanes(Vector<T> v) {
  constexpr int n = vector_lanes<T>;
  T part[n];
  store(part, v);
  for (int width = n / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  return part[0];
}

// sums[r * panel_columns + c] = A(r, :) . B(:, c)
template <class T, int rows>
void dot_block(const T* a, int64_t a_row, const T* b, int64_t b_column, int64_t k, int columns,
               T* sums) {
  constexpr int step = vector_lanes<T>;
  Vector<T> sum[rows][dot_columns] = {};
  const auto add = [&](auto read, int64_t p) {
    Vector<T> x[rows];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) x[r] = read(a + r * a_row + p);
#pragma GCC unroll 4
    for (int c = 0; c < dot_columns; ++c) {
      const Vector<T> y = read(b + c * b_column + p);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) sum[r][c] += x[r] * y;
    }
  };
  int64_t p = 0;
  for (; p + step <= k; p += step) add([](const T* from) { return load(from); }, p);
  if (p < k) add([n = k - p](const T* from) { return load_part(from, n); }, p);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) sums[r * panel_columns<T> + c] = sum_lanes<T>(sum[r][c]);
}

// `p` describes all of a tile, B's columns b_step apart. At most dot_rows rows.
template <class T>
void multiply_dots(MicroBlock<T> p, int rows, int64_t columns) {
  constexpr int width = panel_columns<T>;
  const auto block = rows == 1 ? dot_block<T, 1> : rows == 2 ? dot_block<T, 2> : dot_block<T, 3>;
  for (int64_t j = 0; j < columns; j += width) {
    T sums[dot_rows * width] = {};
    p.columns = int(smaller(width, columns - j));
    int c = 0;
    for (; c + dot_columns <= p.columns; c += dot_columns)
      block(p.a, p.a_row, p.b + (j + c) * p.b_step, p.b_step, p.k, dot_columns, sums + c);
    // At the edge one column, four times over.
    for (; c < p.columns; ++c) block(p.a, p.a_row, p.b + (j + c) * p.b_step, 0, p.k, 1, sums + c);
    finish(p, sums, rows, width);
    p.c += width;
    if (p.column_bias) p.column_bias += width;
    if (p.residual) p.residual += width;
  }
}

}  // namespace
}  // namespace outpost::kernels
