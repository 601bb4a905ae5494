// Products of 16-bit pairs, exact in 32 bits.
#pragma once

#include "kernels/simd.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace outpost::kernels {
namespace {

// x[2i] * y[2i] + x[2i + 1] * y[2i + 1] over 16-bit pairs.
inline I32 multiply_pairs(I32 x, I32 y) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512BW__)
  return (I32)_mm512_madd_epi16((__m512i)x, (__m512i)y);
#elif defined(OUTPOST_ISA_avx2)
  return (I32)_mm256_madd_epi16((__m256i)x, (__m256i)y);
#elif defined(__SSE2__) && defined(OUTPOST_ISA_generic)
  return (I32)_mm_madd_epi16((__m128i)x, (__m128i)y);
#elif defined(__aarch64__)
  const int16x8_t a = (int16x8_t)x, b = (int16x8_t)y;
  return (I32)vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
#else
  return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}

}  // namespace
}  // namespace outpost::kernels
