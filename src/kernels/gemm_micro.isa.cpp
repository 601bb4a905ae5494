// The register blocks of gemm_micro.h. The k loop is all that matters: per step one load for each register of B, one
// broadcast for each row of A, rows * vectors fused multiply-adds. On AVX2 (6 rows, 2 registers) that is 12 for 8
// loads.
#include "kernels/gemm_finish.h"

namespace outpost::kernels {
namespace {

// rows x (vectors registers) of C. unit_rows: a_row is 1 (panels, or A transposed); else a_step is 1.
template <class T, int rows, int vectors, bool unit_rows>
void micro_block(const MicroBlock<T>& p) {
  constexpr int width = vector_lanes<T>;
  using V = Vector<T>;
  V sum[rows][vectors];
  OUTPOST_EACH_REGISTER sum[r][v] = V{};

  const T* b = p.b;
  const int64_t a_row = unit_rows ? 1 : p.a_row, a_step = unit_rows ? p.a_step : 1, b_step = p.b_step;
  const int64_t b_panel = p.b_panel;
  // C is wanted at the end; by then it has come.
  if constexpr (rows >= 4)
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      __builtin_prefetch(p.c + r * p.c_row, 1, 3);
      __builtin_prefetch(p.c + r * p.c_row + vectors * width - 1, 1, 3);
    }
  // A pointer for every four rows: with one, the compiler would keep a register for each row's distance.
  const T* a[(rows + 3) / 4];
#pragma GCC unroll 4
  for (int i = 0; i < (rows + 3) / 4; ++i) {
    a[i] = p.a + 4 * i * a_row;
    __asm__("" : "+r"(a[i]));
  }
  const char* ahead = p.ahead ? p.ahead : reinterpret_cast<const char*>(b);
  const int64_t ahead_step = p.ahead ? cache_line : 0;
#pragma GCC unroll 2
  for (int64_t step = p.k; step > 0; --step) {
    V at[vectors];
    if constexpr (fetches_ahead) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_step;
    }
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) at[v] = load(b + (v / 2) * b_panel + (v % 2) * width);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const V value = broadcast(a[r / 4][r % 4 * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] += value * at[v];
    }
#pragma GCC unroll 4
    for (int i = 0; i < (rows + 3) / 4; ++i) a[i] += a_step;
    b += b_step;
  }

  finish_registers<T, rows, vectors>(p, sum);
}

template <class T, bool unit_rows, int rows>
MicroKernel<T> of_rows(int vectors) {
  if constexpr (sizeof(T) == 8) return micro_block<T, rows, 2, unit_rows>;
  if (vectors == 1) return micro_block<T, rows, 1, unit_rows>;
  if constexpr (rows == 1) {
    if (vectors == 8) return micro_block<T, 1, 8, unit_rows>;
  }
  if constexpr (rows <= wide_rows && rows < block_rows) {
    if (vectors == 4) return micro_block<T, rows, 4, unit_rows>;
  }
  return micro_block<T, rows, 2, unit_rows>;
}

template <class T, bool unit_rows, int rows = block_rows>
MicroKernel<T> choose(int wanted_rows, int vectors) {
  if constexpr (rows > 1) {
    if (wanted_rows < rows) return choose<T, unit_rows, rows - 1>(wanted_rows, vectors);
  }
  return of_rows<T, unit_rows, rows>(vectors);
}

}  // namespace

MicroKernel<float> OUTPOST_ISA::micro_kernel_f32(bool unit_rows, int rows, int vectors) {
  return unit_rows ? choose<float, true>(rows, vectors) : choose<float, false>(rows, vectors);
}

void OUTPOST_ISA::finish_f32(const MicroBlock<float>& p, const float* sums, int rows, int width) {
  finish_block(p, sums, rows, width);
}
void OUTPOST_ISA::finish_f64(const MicroBlock<double>& p, const double* sums, int rows, int width) {
  finish_block(p, sums, rows, width);
}

MicroKernel<double> OUTPOST_ISA::micro_kernel_f64(int rows) { return choose<double, false>(rows, 2); }

}  // namespace outpost::kernels
