// The table of CPU kernels for one instruction set, chosen once at start-up.
//
// Plain functions on pointers, sizes and strides: they check nothing, throw nothing, allocate nothing (scratch is
// passed in, 64-byte aligned, sized by a `..._scratch_bytes`). Counts and strides are in elements and >= 0 unless said
// otherwise; arrays need no alignment. Where a function says "in place" its output may be its input; otherwise they
// must not overlap. NaN and infinity behave as IEEE 754 says, denormals are kept. A result depends on the arguments
// and the instruction set only: how work is split into ranges does not change a bit.
#pragma once

#include <string_view>

#include "kernels/attention.h"
#include "kernels/blocks4.h"
#include "kernels/conv.h"
#include "kernels/conv_blocked.h"
#include "kernels/gemm.h"
#include "kernels/int8.h"

namespace outpost::kernels {

// y = f(x). Error bounds are stated in vector_math.h: exact to half an ulp for the algebraic ones, a few ulp else.
// (a, b) are: leaky slope a; elu, celu alpha a; selu alpha a, gamma b; hard_sigmoid slope a, offset b; clip low a,
// high b; unused elsewhere.
enum class Unary : uint8_t {
  relu, leaky, negate, absolute, square, sqrt, rsqrt, reciprocal, exp, log, tanh, sigmoid, erf, gelu_erf, gelu_tanh,
  silu, softplus, softsign, hardswish, hard_sigmoid, elu, celu, selu, mish, clip, floor, ceil, round_even, sin, cos,
  count
};

// y = a op b. min and max give NaN where either is NaN; max(-0, +0) may be either.
enum class Binary : uint8_t { add, subtract, multiply, divide, min, max, count };

// Over an axis. An empty axis gives 0 (sums), 1 (prod), -inf (max), +inf (min). max and min give NaN where any is NaN.
enum class Reduce : uint8_t { sum, sum_absolute, sum_square, prod, max, min, count };

using UnaryKernel = void (*)(const float* x, float* y, int64_t n, float a, float b);

// Steps are 0 (one value for all n) or 1.
using BinaryKernel = void (*)(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n);

// x is (rows, columns) with unit column stride; y is (rows) or (columns). Sums are split into blocks fixed by the
// length of the axis, so that the error stays at a few ulp of the sum of magnitudes.
using ReduceKernel = void (*)(const float* x, int64_t rows, int64_t columns, int64_t row_stride, float* y);

// The first (or last) position of the extreme value of every row; NaN is the extreme. columns >= 1.
using ArgReduceKernel = void (*)(const float* x, int64_t rows, int64_t columns, int64_t row_stride, bool last,
                                 int64_t* y);

using SoftmaxRowsKernel = void (*)(const float* x, float* y, int64_t rows, int64_t columns);
using SoftmaxColumnsKernel = void (*)(const float* x, float* y, int64_t rows, int64_t columns, int64_t row_stride);

struct Kernels {
  const char* isa;   // "generic", "avx2", "avx512", "avx512vnni", "avx512bf16"
  int vector_bytes;  // width of a register

  // ---- elementwise, f32, contiguous; in place allowed
  UnaryKernel unary[int(Unary::count)];
  BinaryKernel binary[int(Binary::count)];
  // y = x * scale + offset, rounded once where there is a fused multiply-add
  void (*multiply_add)(const float* x, float scale, float offset, float* y, int64_t n);

  // ---- conversions, contiguous (f16, bf16 as their bits; into them: round to nearest even, overflow to infinity)
  void (*f16_to_f32)(const uint16_t* x, float* y, int64_t n);
  void (*f32_to_f16)(const float* x, uint16_t* y, int64_t n);
  void (*bf16_to_f32)(const uint16_t* x, float* y, int64_t n);
  void (*f32_to_bf16)(const float* x, uint16_t* y, int64_t n);
  void (*i32_to_f32)(const int32_t* x, float* y, int64_t n);
  void (*f64_to_f32)(const double* x, float* y, int64_t n);
  void (*f32_to_f64)(const float* x, double* y, int64_t n);
  // y = (x - zero) * scale; the difference wraps modulo 2^32
  void (*dequantize_u8)(const uint8_t* x, float scale, int32_t zero, float* y, int64_t n);
  void (*dequantize_s8)(const int8_t* x, float scale, int32_t zero, float* y, int64_t n);
  void (*dequantize_s32)(const int32_t* x, float scale, int32_t zero, float* y, int64_t n);
  // y = saturate(round_half_even(x / scale) + zero), |zero| < 2^20; NaN becomes saturate(zero)
  void (*quantize_u8)(const float* x, float scale, int32_t zero, uint8_t* y, int64_t n);
  void (*quantize_s8)(const float* x, float scale, int32_t zero, int8_t* y, int64_t n);

  // ---- reductions, f32
  ReduceKernel reduce_rows[int(Reduce::count)];     // y(r) = over the columns of row r
  ReduceKernel reduce_columns[int(Reduce::count)];  // y(c) = over the rows at column c
  ArgReduceKernel argmax_rows, argmin_rows;

  // ---- normalisations, f32, rows contiguous; in place allowed
  SoftmaxRowsKernel softmax_rows, log_softmax_rows;  // along every row
  // Along a strided axis: over the rows, for every column. x and y share the row stride.
  SoftmaxColumnsKernel softmax_columns, log_softmax_columns;
  // y = (x - mean) / sqrt(variance + epsilon) * scale + bias; scale, bias (columns) and the outputs mean,
  // inverse_deviation (rows) may be null. The variance is taken from x - mean in a second pass.
  void (*layer_norm_rows)(const float* x, const float* scale, const float* bias, float epsilon, float* y, float* mean,
                          float* inverse_deviation, int64_t rows, int64_t columns);
  // y = x / sqrt(mean(x^2) + epsilon) * scale; scale (columns) and the output inverse_rms (rows) may be null.
  void (*rms_norm_rows)(const float* x, const float* scale, float epsilon, float* y, float* inverse_rms, int64_t rows,
                        int64_t columns);

  // ---- matrix products (gemm.h): tiles [tile_begin, tile_end) of `gemm_tiles`; every concurrent call has its own
  // scratch of `gemm_scratch_bytes`; an end past the last tile is the last: all_tiles. Packing reads b, its strides and type, n and k.
  int64_t (*gemm_tiles)(const Gemm&);
  size_t (*gemm_scratch_bytes)(const Gemm&);
  void (*gemm)(const Gemm&, int64_t tile_begin, int64_t tile_end, void* scratch);
  size_t (*gemm_pack_b_bytes)(const Gemm&);
  void (*gemm_pack_b)(const Gemm&, void* packed);
  int64_t (*gemm_int8_tiles)(const GemmInt8&);
  size_t (*gemm_int8_scratch_bytes)(const GemmInt8&);
  void (*gemm_int8)(const GemmInt8&, int64_t tile_begin, int64_t tile_end, void* scratch);
  size_t (*gemm_int8_pack_b_bytes)(const GemmInt8&);
  void (*gemm_int8_pack_b)(const GemmInt8&, void* packed);

  // ---- attention (attention.h): tiles and scratch as above
  int64_t (*attention_tiles)(const Attention&);
  size_t (*attention_scratch_bytes)(const Attention&);
  void (*attention)(const Attention&, int64_t tile_begin, int64_t tile_end, void* scratch);

  // ---- convolution and pooling (conv.h); tiles and scratch as above. Packing reads the shape only.
  size_t (*conv_pack_bytes)(const Conv&);
  void (*conv_pack)(const Conv&, const float* weights, void* packed);
  int64_t (*conv_tiles)(const Conv&);
  size_t (*conv_scratch_bytes)(const Conv&);
  void (*conv)(const Conv&, int64_t tile_begin, int64_t tile_end, void* scratch);
  size_t (*conv_transpose_pack_bytes)(const Conv&);
  void (*conv_transpose_pack)(const Conv&, const float* weights, void* packed);
  int64_t (*conv_transpose_tiles)(const Conv&);
  size_t (*conv_transpose_scratch_bytes)(const Conv&);
  void (*conv_transpose)(const Conv&, int64_t tile_begin, int64_t tile_end, void* scratch);
  void (*max_pool)(const Pool&, int64_t plane_begin, int64_t plane_end);
  void (*average_pool)(const Pool&, int64_t plane_begin, int64_t plane_end);

  // ---- the same on channel blocks of vector_bytes / 4 (conv_blocked.h)
  // The fastest algorithm for the shape; a window whose extents are 0 is taken as large.
  BlockedAlgorithm (*conv_blocked_algorithm)(const BlockedConv&);
  size_t (*conv_blocked_pack_bytes)(const BlockedConv&);
  void (*conv_blocked_pack)(const BlockedConv&, const float* weights, void* packed);
  int64_t (*conv_blocked_tiles)(const BlockedConv&);
  size_t (*conv_blocked_scratch_bytes)(const BlockedConv&);
  void (*conv_blocked)(const BlockedConv&, int64_t tile_begin, int64_t tile_end, void* scratch);
  void (*max_pool_blocked)(const Pool&, int64_t plane_begin, int64_t plane_end);
  void (*average_pool_blocked)(const Pool&, int64_t plane_begin, int64_t plane_end);

  Int8Kernels int8;  // 8-bit tensors in blocks of channels (int8.h)

  // ---- weighted sums, f32
  // y[i] = sum over k < count, in order, of weights[k] * rows[k][i]; count >= 1. y may be rows[0] where count <= 4.
  void (*mix_rows)(const float* const* rows, const float* weights, int64_t count, float* y, int64_t n);
  // y[i, c] = sum over t < taps, in order, of weights[t, i] * x[index[t, i], c] for i < n, c < inner; tables are
  // (taps, n), taps >= 1.
  void (*mix_columns)(const float* x, const int32_t* index, const float* weights, int64_t taps, int64_t inner,
                      int64_t n, float* y);

  // ---- movement; element_bytes is 1, 2, 4, 8 or 16
  // y(j, i) = x(i, j) for x (rows, columns) with unit column strides.
  void (*transpose)(int element_bytes, const void* x, int64_t x_row_stride, void* y, int64_t y_row_stride,
                    int64_t rows, int64_t columns);
  // A strided view into a contiguous array of `shape`: y[i0, i1, ...] = x[i0 * strides[0] + i1 * strides[1] + ...].
  // Strides may be negative, or 0 to repeat; x is the address of index 0. rank <= 32.
  void (*gather_strided)(int element_bytes, int rank, const int64_t* shape, const int64_t* strides, const void* x,
                         void* y);

  // ---- recurrent cells, f32, one sequence: the state h (n), and cell (n), become those after one step
  // gates: (4, n) i, o, f, c before their activations
  void (*lstm_cell)(const float* gates, float* cell, float* h, int64_t n);
  // The input's part of the gates z, r, h (3, n), the state's part (3, n), and a bias (n) of its h gate or null
  void (*gru_cell)(const float* gates, const float* recurrent, const float* bias, float* h, int64_t n);

  // ---- weights of 4 bits: y[r] = row r of x times the column, rows <= 4. A row of x is (blocks, even values | odd values).
  void (*dot_blocks4)(const Blocks4& column, const float* x, int64_t x_row_stride, int rows, float* y);
};

// The table in use: the best this machine can run, or what select_kernels chose.
const Kernels& kernels();

// Uses the named instruction set from now on; false (and no change) where it is unknown or this machine lacks it. Not
// for use while kernels run or packed weights live: packed weights belong to the instruction set that packed them.
bool select_kernels(std::string_view isa);

// The i-th table this machine can run, from the plainest to the best; null past the last. For tests and benchmarks.
const Kernels* available_kernels(int index);

}  // namespace outpost::kernels
