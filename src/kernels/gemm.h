// Matrix products: the arguments and what they promise.
//
// A product is cut into output tiles by its shape alone (never by the number of threads, and k is never split between
// tiles), so a caller may hand any ranges of tiles to any threads and gets the same bits. Storage types f16 and bf16
// are widened while packing; they compute in f32. All strides count elements. Nothing is checked here: sizes are >= 0,
// pointers are valid for what the sizes say.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outpost::kernels {

enum class FloatType : uint8_t { f32, f64, f16, bf16 };

// What happens to a finished output element. `low`, `high` are the clip's bounds; leaky reads its slope from `low`.
enum class Activation : uint8_t { none, relu, clip, leaky, sigmoid, tanh, silu, gelu_erf, gelu_tanh, hardswish };

// y = activation(product + bias + residual_scale * residual). All pointers may be null; values are of the compute type
// (f32, or f64 for f64). f64 products know the activations none, relu, clip and leaky only.
struct Epilogue {
  const void* row_bias = nullptr;     // (m): one value for each output row (a convolution's channels)
  const void* column_bias = nullptr;  // (n): one value for each output column (a linear layer's features)
  const void* residual = nullptr;     // (m, n) at the row stride below, unit column stride; may be the output itself
  int64_t residual_row_stride = 0;    // 0 repeats one row
  double residual_scale = 1;
  Activation activation = Activation::none;
  float low = 0, high = 0;
};

// C(m, n) = activation(alpha * A(m, k) B(k, n) + ...). k = 0 gives what the epilogue makes of zero.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;  // A(i, p) at a[i * a_row_stride + p * a_column_stride]; any strides, also transposed ones
  int64_t a_row_stride = 0, a_column_stride = 1;
  const void* b = nullptr;  // B(p, j) at b[p * b_row_stride + j * b_column_stride]; ignored where packed_b is given
  int64_t b_row_stride = 0, b_column_stride = 1;
  const void* packed_b = nullptr;  // from gemm_pack_b with this k, n and the same instruction set
  void* c = nullptr;               // C(i, j) at c[i * c_row_stride + j]
  int64_t c_row_stride = 0;
  FloatType a_type = FloatType::f32, b_type = FloatType::f32, c_type = FloatType::f32;  // f64 only all three together
  bool allow_bf16 = false;  // f32 operands may be rounded to bf16 where that is faster; sums stay f32. As when packing.
  double alpha = 1;
  Epilogue epilogue;
};

constexpr int64_t all_tiles = INT64_MAX;  // an end of a range of tiles, without counting them

// C(m, n) int32 = (A - a_zero)(B - b_zero); sums wrap modulo 2^32. A and B are each u8 or s8.
struct GemmInt8 {
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  int64_t a_row_stride = 0, a_column_stride = 1;
  const void* b = nullptr;
  int64_t b_row_stride = 0, b_column_stride = 1;
  const void* packed_b = nullptr;  // from gemm_int8_pack_b with this k, n, b_signed and zero points
  int32_t* c = nullptr;
  int64_t c_row_stride = 0;
  bool a_signed = false, b_signed = true;
  const void* a_zero = nullptr;  // of A's type: one, or (m) with a_zero_stride 1; null: 0
  const void* b_zero = nullptr;  // of B's type: one, or (n) with b_zero_stride 1; null: 0
  int64_t a_zero_stride = 0, b_zero_stride = 0;
};

}  // namespace outpost::kernels
