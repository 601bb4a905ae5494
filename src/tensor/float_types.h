// The narrow floating-point storage types, as bits, and their conversions to and from f32. Rounding is to nearest even;
// what saturation means for the 8-bit types is the caller's choice (ONNX Cast `saturate`).
// Sources: IEEE 754 binary16; bfloat16; OCP FP8 (E4M3FN, E5M2); the *FNUZ forms of Noune et al. 2022; OCP MX (E2M1, E8M0).
#pragma once
#include <bit>
#include <cstdint>

#include "outpost/tensor.h"

namespace outpost {

inline float f16_to_f32(uint16_t h) noexcept {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) {
    float magnitude = float(mantissa) * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}
uint16_t f32_to_f16(float) noexcept;
uint16_t f64_to_f16(double) noexcept;  // one rounding, not two

inline float bf16_to_f32(uint16_t b) noexcept { return std::bit_cast<float>(uint32_t(b) << 16); }
inline uint16_t f32_to_bf16(float f) noexcept {
  uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffff) > 0x7f800000) return uint16_t((u >> 16) | 0x40);  // keep NaN a NaN
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
uint16_t f64_to_bf16(double) noexcept;
// Rounded to odd: rounding the result once more, to 22 bits or fewer, gives what a single rounding would.
float f64_to_f32_odd(double) noexcept;

// The 8- and 4-bit types by DType: f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, f8e8m0, f4e2m1.
float small_to_f32(DType type, uint8_t bits) noexcept;
uint8_t f32_to_small(DType type, float value, bool saturate) noexcept;
// E8M0 holds powers of two: how a value between two of them is rounded (ONNX Cast `round_mode`).
enum class E8M0Round : uint8_t { up, down, nearest };
uint8_t f32_to_e8m0(float value, bool saturate, E8M0Round round) noexcept;

struct Float16 {
  static constexpr DType dtype = DType::f16;
  uint16_t bits;
  explicit operator float() const noexcept { return f16_to_f32(bits); }
};
struct BFloat16 {
  static constexpr DType dtype = DType::bf16;
  uint16_t bits;
  explicit operator float() const noexcept { return bf16_to_f32(bits); }
};

}  // namespace outpost
