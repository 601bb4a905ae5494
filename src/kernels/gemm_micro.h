// The innermost product: a block of C held in registers while k runs, shared by matrix products and convolutions.
//
// B lies in panels of panel_columns columns, [panel][k][column], zero-padded at the right edge, or unpacked with its
// own k stride. A's element (row r, step p) is at a[r * a_row + p * a_step] with one of the two strides 1. Every
// element is a chain of fused multiply-adds in the order of k whatever the block's shape, so a block's place never
// shows in the result.
#pragma once

#include "kernels/gemm.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

// Registers: block_rows * 2 accumulators, 2 of B, 1 of A, out of 16 (AVX2, SSE) or 32 (AVX-512, NEON).
#if defined(OUTPOST_ISA_avx512)
constexpr int block_rows = 12;
#elif defined(OUTPOST_ISA_avx2)
constexpr int block_rows = 6;
#elif defined(__aarch64__)
constexpr int block_rows = 8;
#else
constexpr int block_rows = 4;
#endif

template <class T>
constexpr int vector_lanes = vector_bytes / int(sizeof(T));
template <class T>
constexpr int panel_columns = 2 * vector_lanes<T>;

template <class T>
struct MicroBlock {
  const T* a = nullptr;
  int64_t a_row = 0, a_step = 0;
  const T* b = nullptr;
  int64_t b_step = 0, b_panel = 0;  // from one k to the next; from one panel to the next
  T* c = nullptr;
  int64_t c_row = 0, k = 0;
  int columns = 0;  // of C, at most what the registers hold
  T alpha = 1;
  bool accumulate = false;           // add to what C holds (a later block of k)
  const T* row_bias = nullptr;       // at this block's first row
  const T* column_bias = nullptr;    // at this block's first column
  const T* residual = nullptr;       // at this block's first element
  int64_t residual_row = 0;
  T residual_scale = 1;
  Activation activation = Activation::none;
  T low = 0, high = 0;
};

inline F32 activate(F32 x, Activation kind, F32 low, F32 high) {
  switch (kind) {
    case Activation::relu: return select(x < 0.0f, F32{}, x);
    case Activation::clip: return clamp(x, low, high);
    case Activation::leaky: return select(x < 0.0f, x * low, x);
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return tanh(x);
    case Activation::silu: return silu(x);
    case Activation::gelu_erf: return gelu_erf(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::hardswish: return hardswish(x);
    case Activation::none: break;
  }
  return x;
}

inline F64 activate(F64 x, Activation kind, F64 low, F64 high) {
  switch (kind) {
    case Activation::relu: return x < 0.0 ? F64{} : x;
    case Activation::clip: return clamp(x, low, high);
    case Activation::leaky: return x < 0.0 ? x * low : x;
    default: return x;
  }
}

// The general end of a block: `sums` (rows, width) times alpha, everything added, activated, stored to C.
template <class T>
__attribute__((noinline)) void finish_block(const MicroBlock<T>& p, const T* sums, int rows, int width) {
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

// rows x (vectors registers) of C. unit_rows: a_row is 1 (panels, or A transposed); else a_step is 1.
template <class T, int rows, int vectors, bool unit_rows>
void micro_block(const MicroBlock<T>& p) {
  constexpr int width = vector_lanes<T>;
  using V = Vector<T>;
  V sum[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = V{};

  const T* b = p.b;
  const T* a = p.a;
  const int64_t a_row = unit_rows ? 1 : p.a_row, a_step = unit_rows ? p.a_step : 1, b_step = p.b_step;
  const int64_t b_panel = p.b_panel;
#pragma GCC unroll 4
  for (int64_t step = p.k; step > 0; --step) {
    V at[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) at[v] = load(b + (v / 2) * b_panel + (v % 2) * width);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const V value = broadcast(a[r * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] += value * at[v];
    }
    a += a_step;
    b += b_step;
  }

  const bool plain = p.activation <= Activation::clip && !p.residual && p.columns == vectors * width;
  if (!plain) {
    T sums[rows * vectors * width];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) store(sums + (r * vectors + v) * width, sum[r][v]);
    return finish_block(p, sums, rows, vectors * width);
  }
  const bool clips = p.activation != Activation::none;
  const V low = broadcast(p.low), high = broadcast(p.high);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      T* c = p.c + r * p.c_row + v * width;
      V x = sum[r][v] * p.alpha;
      if (p.accumulate) x += load(c);
      if (p.column_bias) x += load(p.column_bias + v * width);
      if (p.row_bias) x += p.row_bias[r];
      if (clips) x = clamp(x, low, high);
      store(c, x);
    }
}

template <class T>
using MicroKernel = void (*)(const MicroBlock<T>&);

// The kernel for `rows` <= block_rows rows and 1 or 2 vectors.
template <class T, bool unit_rows, int rows = block_rows>
inline MicroKernel<T> micro_kernel(int wanted_rows, int vectors) {
  if constexpr (rows > 1) {
    if (wanted_rows < rows) return micro_kernel<T, unit_rows, rows - 1>(wanted_rows, vectors);
  }
  return vectors == 1 ? micro_block<T, rows, 1, unit_rows> : micro_block<T, rows, 2, unit_rows>;
}

}  // namespace
}  // namespace outpost::kernels
