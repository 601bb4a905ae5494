// The innermost product: a block of C held in registers while k runs, shared by matrix products and convolutions.
//
// B lies in panels of panel_columns columns, [panel][k][column], zero-padded at the right edge, or unpacked with its
// own k stride. A's element (row r, step p) is at a[r * a_row + p * a_step] with one of the two strides 1. Every
// element is a chain of fused multiply-adds in the order of k whatever the block's shape, so a block's place never
// shows in the result.
#pragma once

#include "kernels/gemm.h"
#include "kernels/simd.h"

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

// Up to this many rows have a kernel of two panels at once: 4 sums a row, 4 of B, 1 of A.
constexpr int wide_rows = block_rows == 12 ? 5 : 2;

constexpr int64_t cache_line = 64;
// Two 256-bit units take a row of a panel in 6 cycles, which the next panel's first visit cannot follow unless it was
// fetched before: 80 against 92 % of peak at 128x3072x768. One 512-bit unit takes 12 or 24: the hardware keeps up.
constexpr bool fetches_ahead = vector_bytes == 32;

template <class T>
constexpr int vector_lanes = vector_bytes / int(sizeof(T));
template <class T>
constexpr int panel_columns = 2 * vector_lanes<T>;

}  // namespace

// Shared between the files of one instruction set, so in its namespace rather than a file's own.
namespace OUTPOST_ISA {

template <class T>
struct MicroBlock {
  const T* a = nullptr;
  int64_t a_row = 0, a_step = 0;
  const T* b = nullptr;
  int64_t b_step = 0, b_panel = 0;  // from one k to the next; from one panel to the next
  T* c = nullptr;
  int64_t c_row = 0, k = 0;
  const char* ahead = nullptr;       // k cache lines that will be wanted soon, or null
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

template <class T>
using MicroKernel = void (*)(const MicroBlock<T>&);

// The kernel for `rows` <= block_rows rows and 1 or 2 registers of columns, or several panels at once for few rows:
// 4 and 8 registers for one row, 4 for up to wide_rows. unit_rows: a_row is 1; else a_step is 1.
MicroKernel<float> micro_kernel_f32(bool unit_rows, int rows, int vectors);
// 2 registers of columns, a_step 1.
MicroKernel<double> micro_kernel_f64(int rows);

// The general end of a block: `sums` (rows, width; whole registers) times alpha, everything added, activated, stored.
void finish_f32(const MicroBlock<float>& p, const float* sums, int rows, int width);
void finish_f64(const MicroBlock<double>& p, const double* sums, int rows, int width);

}  // namespace OUTPOST_ISA

namespace {
inline void finish(const OUTPOST_ISA::MicroBlock<float>& p, const float* sums, int rows, int width) {
  OUTPOST_ISA::finish_f32(p, sums, rows, width);
}
inline void finish(const OUTPOST_ISA::MicroBlock<double>& p, const double* sums, int rows, int width) {
  OUTPOST_ISA::finish_f64(p, sums, rows, width);
}
using OUTPOST_ISA::MicroBlock;
using OUTPOST_ISA::MicroKernel;
}  // namespace
}  // namespace outpost::kernels
