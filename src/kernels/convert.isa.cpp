// Conversions between element types, contiguous: halves, doubles, integers, and affine 8-bit quantisation.
#include "kernels/half.h"
#include "kernels/table.h"
#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

template <F32 (*convert)(Half)>
void widen_half(const uint16_t* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, convert(load_half(x + i)));
  if (i < n) store_part(y + i, convert(load_half_part(x + i, n - i)), n - i);
}

template <Half (*convert)(F32)>
void narrow_half(const float* x, uint16_t* y, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store_half(y + i, convert(load(x + i)));
  if (i < n) store_half_part(y + i, convert(load_part(x + i, n - i)), n - i);
}

// The compilers vectorise these as they stand.
template <class From, class To>
void cast(const From* x, To* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<To>(x[i]);
}

template <class T>
void dequantize(const T* x, float scale, int32_t zero, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = float(int32_t(uint32_t(x[i]) - uint32_t(zero))) * scale;
}

// Clamped before the conversion, so that nothing leaves int32; round_even keeps NaN, which the select turns into zero.
template <class T>
void quantize(const float* x, float scale, int32_t zero, T* y, int64_t n) {
  constexpr int lowest = T(-1) < 0 ? -128 : 0, highest = lowest + 255;
  const F32 low = broadcast(float(lowest - zero)), high = broadcast(float(highest - zero));
  const F32 origin = clamp(F32{}, low, high);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t count = n - i < lanes ? n - i : lanes;
    const F32 q = (count == lanes ? load(x + i) : load_part(x + i, count)) / scale;
    const F32 rounded = clamp(round_even(select(q != q, origin, q)), low, high);
    typedef T Narrow __attribute__((vector_size(lanes)));
    const Narrow bytes = __builtin_convertvector(__builtin_convertvector(rounded, I32) + zero, Narrow);
    if (count == lanes) __builtin_memcpy(y + i, &bytes, lanes);
    else
      for (int64_t j = 0; j < count; ++j) y[i + j] = bytes[j];
  }
}

}  // namespace

void OUTPOST_ISA::fill_convert(Kernels& table) {
  table.f16_to_f32 = widen_half<from_f16>;
  table.f32_to_f16 = narrow_half<to_f16>;
  table.bf16_to_f32 = widen_half<from_bf16>;
  table.f32_to_bf16 = narrow_half<to_bf16>;
  table.i32_to_f32 = cast<int32_t, float>;
  table.f64_to_f32 = cast<double, float>;
  table.f32_to_f64 = cast<float, double>;
  table.dequantize_u8 = dequantize<uint8_t>;
  table.dequantize_s8 = dequantize<int8_t>;
  table.dequantize_s32 = dequantize<int32_t>;
  table.quantize_u8 = quantize<uint8_t>;
  table.quantize_s8 = quantize<int8_t>;
}

}  // namespace outpost::kernels
