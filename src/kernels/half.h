// f16 and bf16 (as their bits) to and from one register of f32. Into them: round to nearest even, overflow to infinity,
// NaN stays a (quiet) NaN. Denormals are kept. Where there is no conversion instruction, integer arithmetic does it.
#pragma once

#include "kernels/simd.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace outpost::kernels {
namespace {

// As many 16-bit values as a register has f32 lanes.
typedef uint16_t Half __attribute__((vector_size(vector_bytes / 2)));

inline Half load_half(const uint16_t* p) {
  Half v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline Half load_half_part(const uint16_t* p, int64_t n) {
  uint16_t buffer[lanes] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load_half(buffer);
}
inline void store_half(uint16_t* p, Half v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store_half_part(uint16_t* p, Half v, int64_t n) {
  uint16_t buffer[lanes];
  store_half(buffer, v);
  for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}

inline F32 from_bf16(Half v) { return (F32)(__builtin_convertvector(v, U32) << 16); }

inline Half to_bf16(F32 x) {
  const U32 bits = (U32)x;
  const U32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const U32 quiet = (bits >> 16) | 0x40;
  return __builtin_convertvector(x != x ? quiet : rounded, Half);
}

inline F32 from_f16(Half v) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  return (F32)_mm512_cvtph_ps((__m256i)v);
#elif defined(OUTPOST_ISA_avx2)
  return (F32)_mm256_cvtph_ps((__m128i)v);
#elif defined(__aarch64__)
  return (F32)vcvt_f32_f16((float16x4_t)v);
#else
  const U32 bits = __builtin_convertvector(v, U32);
  const U32 sign = (bits & 0x8000) << 16, exponent = bits & 0x7c00, rest = (bits & 0x7fff) << 13;
  const F32 normal = (F32)(rest + (112u << 23)), large = (F32)(rest | 0x7f800000);
  // A denormal's 10 bits m mean m 2^-24: as the fraction of 2^-14, less 2^-14.
  const F32 tiny = (F32)(rest + (113u << 23)) - 0x1p-14f;
  const F32 magnitude = exponent == 0 ? tiny : exponent == 0x7c00 ? large : normal;
  return (F32)((U32)magnitude | sign);
#endif
}

inline Half to_f16(F32 x) {
#if defined(OUTPOST_ISA_avx512) && defined(__AVX512F__)
  return (Half)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
#elif defined(OUTPOST_ISA_avx2)
  return (Half)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__aarch64__)
  return (Half)vcvt_f16_f32((float32x4_t)x);
#else
  const U32 bits = (U32)x, sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  const U32 normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Adding 1/2 leaves m of a result m 2^-24 in the low bits, rounded by the addition.
  const U32 tiny = (U32)((F32)magnitude + 0.5f) - (126u << 23);
  const U32 large = magnitude > 0x7f800000 ? (magnitude >> 13 & 0x1ff) | 0x7e00 : U32{} + 0x7c00;
  const U32 half = magnitude < (113u << 23) ? tiny : magnitude >= 0x477ff000 ? large : normal;
  return __builtin_convertvector(half | sign, Half);
#endif
}

}  // namespace
}  // namespace outpost::kernels
