// Bringing operands of a product into the compute type and into reach: a block of A copied compactly, B into panels.
#pragma once

#include "kernels/gemm_micro.h"
#include "kernels/half.h"
#include "kernels/shuffle.h"

namespace outpost::kernels {
namespace {

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
inline int64_t ceil_divide(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Part `i` of `parts` of n things, dealt evenly.
struct Part {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};
inline Part part_of(int64_t n, int64_t parts, int64_t i) {
  const int64_t base = n / parts, extra = n % parts;
  const int64_t begin = i * base + smaller(i, extra);
  return {begin, begin + base + (i < extra ? 1 : 0)};
}

inline int64_t element_bytes(FloatType type) {
  return type == FloatType::f32 ? 4 : type == FloatType::f64 ? 8 : 2;
}

// Reads storage type `S` as the compute type.
struct ReadF32 {
  using Compute = float;
  const float* p;
  ReadF32 at(int64_t i) const { return {p + i}; }
  F32 vector() const { return load(p); }
  F32 part(int64_t n) const { return load_part(p, n); }
  float one() const { return *p; }
};
struct ReadF64 {
  using Compute = double;
  const double* p;
  ReadF64 at(int64_t i) const { return {p + i}; }
  F64 vector() const { return load(p); }
  F64 part(int64_t n) const { return load_part(p, n); }
  double one() const { return *p; }
};
template <F32 (*convert)(Half)>
struct ReadHalf {
  using Compute = float;
  const uint16_t* p;
  ReadHalf at(int64_t i) const { return {p + i}; }
  F32 vector() const { return convert(load_half(p)); }
  F32 part(int64_t n) const { return convert(load_half_part(p, n)); }
  float one() const { return part(1)[0]; }
};

// Calls body(reader) for the storage type; T is the compute type.
template <class T, class Body>
inline void with_reader(const void* p, FloatType type, Body body) {
  if constexpr (sizeof(T) == 8) {
    body(ReadF64{static_cast<const double*>(p)});
  } else {
    if (type == FloatType::f16) return body(ReadHalf<from_f16>{static_cast<const uint16_t*>(p)});
    if (type == FloatType::bf16) return body(ReadHalf<from_bf16>{static_cast<const uint16_t*>(p)});
    body(ReadF32{static_cast<const float*>(p)});
  }
}

// y[i * y_outer + j] = x[i * x_outer + j * x_inner]
template <class T, class Reader>
inline void copy_block(Reader x, int64_t x_outer, int64_t x_inner, T* y, int64_t y_outer, int64_t outer,
                       int64_t inner) {
  constexpr int step = vector_lanes<T>;
  for (int64_t i = 0; i < outer; ++i) {
    const Reader row = x.at(i * x_outer);
    T* to = y + i * y_outer;
    int64_t j = 0;
    if (x_inner == 1) {
      for (; j + step <= inner; j += step) store(to + j, row.at(j).vector());
      if (j < inner) store_part(to + j, row.at(j).part(inner - j), inner - j);
    } else {
      for (; j < inner; ++j) to[j] = row.at(j * x_inner).one();
    }
  }
}

// One panel: `columns` <= panel_columns columns of `k` steps; the rest of the panel reads zero.
template <class T, class Reader>
inline void pack_panel(Reader b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t columns, T* panel) {
  constexpr int width = panel_columns<T>, step = vector_lanes<T>;
  if (column_stride == 1 && columns == width) {
    for (int64_t p = 0; p < k; ++p, panel += width) {
      const Reader row = b.at(p * row_stride);
      store(panel, row.vector());
      store(panel + step, row.at(step).vector());
    }
    return;
  }
  if (column_stride == 1) {
    const int64_t first = smaller(columns, step), second = columns - first;
    for (int64_t p = 0; p < k; ++p, panel += width) {
      const Reader row = b.at(p * row_stride);
      store(panel, row.part(first));
      store(panel + step, second ? row.at(step).part(second) : Vector<T>{});
    }
    return;
  }
  int64_t p = 0;
  if (row_stride == 1) {  // columns run along k: transpose squares of registers
    for (; p + step <= k; p += step)
      for (int half = 0; half < 2; ++half) {
        Vector<T> square[step];
        for (int i = 0; i < step; ++i) {
          const int64_t column = half * step + i;
          square[i] = column < columns ? b.at(p + column * column_stride).vector() : Vector<T>{};
        }
        transpose_square(square);
        for (int i = 0; i < step; ++i) store(panel + (p + i) * width + half * step, square[i]);
      }
  }
  for (; p < k; ++p)
    for (int64_t j = 0; j < width; ++j)
      panel[p * width + j] = j < columns ? b.at(p * row_stride + j * column_stride).one() : T(0);
}

// Panels of a (k, columns) block of B; the first panel at `panels`, the next `panel_stride` elements on.
template <class T, class Reader>
inline void pack_panels(Reader b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t columns, T* panels,
                        int64_t panel_stride) {
  constexpr int width = panel_columns<T>, step = vector_lanes<T>, together = 4;
  int64_t j = 0;
  if (column_stride == 1) {  // several panels at once: a whole stretch of every row, as the prefetchers like it
    for (; j + together * width <= columns; j += together * width, panels += together * panel_stride)
      for (int64_t p = 0; p < k; ++p) {
        const Reader row = b.at(p * row_stride + j);
#pragma GCC unroll 4
        for (int i = 0; i < together; ++i) {
          store(panels + i * panel_stride + p * width, row.at(i * width).vector());
          store(panels + i * panel_stride + p * width + step, row.at(i * width + step).vector());
        }
      }
  }
  for (; j < columns; j += width, panels += panel_stride)
    pack_panel(b.at(j * column_stride), row_stride, column_stride, k, smaller(width, columns - j), panels);
}

}  // namespace
}  // namespace outpost::kernels
