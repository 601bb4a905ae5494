// The end of a register block of C: times alpha, everything added, activated, stored. Shared by the files that multiply.
#pragma once

#include "kernels/activate.h"
#include "kernels/gemm_micro.h"

namespace outpost::kernels {
namespace {

inline F64 activate(F64 x, Activation kind, F64 low, F64 high) {
  switch (kind) {
    case Activation::relu: return x < 0.0 ? F64{} : x;
    case Activation::clip: return clamp(x, low, high);
    case Activation::leaky: return x < 0.0 ? x * low : x;
    default: return x;
  }
}

template <class T>
inline void finish_block(const MicroBlock<T>& p, const T* sums, int rows, int width) {
  constexpr int step = vector_lanes<T>;
  const Vector<T> low = broadcast(p.low), high = broadcast(p.high);
  for (int r = 0; r < rows; ++r)
    for (int j = 0; j < p.columns; j += step) {
      const int n = p.columns - j < step ? p.columns - j : step;
      const auto read = [n](const T* from) { return n == step ? load(from) : load_part(from, n); };
      T* c = p.c + r * p.c_row + j;
      Vector<T> x = load(sums + r * width + j) * p.alpha;
      if (p.accumulate) x += read(c);
      if (p.column_bias) x += read(p.column_bias + j);
      if (p.row_bias) x += p.row_bias[r];
      if (p.residual) x += read(p.residual + r * p.residual_row + j) * p.residual_scale;
      x = activate(x, p.activation, low, high);
      if (n == step) store(c, x);
      else store_part(c, x, n);
    }
}

#define OUTPOST_EACH_REGISTER                            \
  _Pragma("GCC unroll 16") for (int r = 0; r < rows; ++r) \
      _Pragma("GCC unroll 16") for (int v = 0; v < vectors; ++v)

// `sum` is (rows, vectors registers).
template <class T, int rows, int vectors>
__attribute__((always_inline)) inline void finish_registers(const MicroBlock<T>& p, Vector<T> (&sum)[rows][vectors]) {
  constexpr int width = vector_lanes<T>;
  using V = Vector<T>;
  // Step by step over all registers rather than all steps for each: straight code, a fraction of the size.
  const bool plain = p.activation <= Activation::clip && !p.residual && p.columns == vectors * width;
  if (!plain) {
    T sums[rows * vectors * width];
    OUTPOST_EACH_REGISTER store(sums + (r * vectors + v) * width, sum[r][v]);
    return finish_block(p, sums, rows, vectors * width);
  }
  const V alpha = broadcast(p.alpha);
  OUTPOST_EACH_REGISTER sum[r][v] *= alpha;
  if (p.accumulate) {
    OUTPOST_EACH_REGISTER sum[r][v] += load(p.c + r * p.c_row + v * width);
  }
  if (p.column_bias) {
    OUTPOST_EACH_REGISTER sum[r][v] += load(p.column_bias + v * width);
  }
  if (p.row_bias) {
    OUTPOST_EACH_REGISTER sum[r][v] += p.row_bias[r];
  }
  if (p.activation != Activation::none) {
    const V low = broadcast(p.low), high = broadcast(p.high);
    OUTPOST_EACH_REGISTER sum[r][v] = clamp(sum[r][v], low, high);
  }
  OUTPOST_EACH_REGISTER store(p.c + r * p.c_row + v * width, sum[r][v]);
}

}  // namespace
}  // namespace outpost::kernels
