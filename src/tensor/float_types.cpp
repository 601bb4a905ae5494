// Rounding to the narrow float types, with integers only: the result does not depend on the rounding mode or on
// denormals being flushed.
//
// A binary float with m mantissa bits and smallest normal exponent e0 numbers its non-negative values in order:
// code(n · 2^(e-m)) = ((e - e0) << m) + n, where e = max(exponent of x, e0) and n = x / 2^(e-m) rounded. Subnormals
// (n < 2^m at e0), normals and a carry into the next exponent all fall out of the one formula.
#include "tensor/float_types.h"

#include <array>
#include <cmath>
#include <limits>

namespace outpost {

namespace {

// `largest` is the code of the largest finite value, `overflow` what lies beyond when not saturating.
struct Format {
  int mantissa_bits, least_exponent;
  uint32_t largest, overflow, nan, sign;
  bool signed_zero;
};

constexpr Format e4m3fn{3, -6, 0x7e, 0x7f, 0x7f, 0x80, true};
constexpr Format e4m3fnuz{3, -7, 0x7f, 0x80, 0x80, 0x80, false};
constexpr Format e5m2{2, -14, 0x7b, 0x7c, 0x7e, 0x80, true};
constexpr Format e5m2fnuz{2, -15, 0x7f, 0x80, 0x80, 0x80, false};
constexpr Format e2m1{1, 0, 0x7, 0x7, 0x8, 0x8, true};  // no NaN: it becomes -0
constexpr Format binary16{10, -14, 0x7bff, 0x7c00, 0x7e00, 0x8000, true};

// The code of a finite magnitude given as f32 bits; may pass `largest`.
uint32_t round_code(const Format& f, uint32_t magnitude) noexcept {
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent < f.least_exponent - f.mantissa_bits - 1) return 0;  // below half of the least subnormal
  const uint32_t significand = (magnitude & 0x7fffff) | 0x800000;   // f32's own subnormals ended above
  const int extra = exponent < f.least_exponent ? f.least_exponent - exponent : 0;
  const int shift = 23 - f.mantissa_bits + extra;
  const uint32_t n = (significand + (1u << (shift - 1)) - 1 + ((significand >> shift) & 1)) >> shift;
  return (static_cast<uint32_t>(exponent + extra - f.least_exponent) << f.mantissa_bits) + n;
}

uint32_t encode(const Format& f, float value, bool saturate) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(value), magnitude = u & 0x7fffffff;
  const uint32_t sign = u >> 31 ? f.sign : 0;
  if (magnitude > 0x7f800000) return f.nan | (f.nan < f.sign ? sign : 0);
  const uint32_t code = round_code(f, magnitude);
  if (code > f.largest) return saturate ? f.largest | sign : f.overflow | (f.overflow < f.sign ? sign : 0);
  return code || f.signed_zero ? code | sign : 0;
}

constexpr float power_of_two(int exponent) {
  return exponent < -126 ? std::bit_cast<float>(uint32_t(1) << (exponent + 149))
                         : std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

constexpr float decode(const Format& f, uint32_t bits) {
  const uint32_t magnitude = bits & (f.sign - 1);
  const bool negative = bits & f.sign;
  if (bits == f.nan && f.nan == f.sign && !f.signed_zero) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude > f.largest) {
    float special = magnitude == f.overflow && f.overflow != f.nan ? std::numeric_limits<float>::infinity()
                                                                   : std::numeric_limits<float>::quiet_NaN();
    return negative ? -special : special;
  }
  const uint32_t field = magnitude >> f.mantissa_bits, one = 1u << f.mantissa_bits;
  const uint32_t n = field ? (magnitude & (one - 1)) | one : magnitude;
  const int exponent = f.least_exponent + (field ? static_cast<int>(field) - 1 : 0) - f.mantissa_bits;
  const float value = static_cast<float>(n) * power_of_two(exponent);
  return negative ? -value : value;
}

constexpr std::array<float, 256> decode_all(const Format& f) {
  std::array<float, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) table[i] = decode(f, i);
  return table;
}

constexpr auto table_e4m3fn = decode_all(e4m3fn), table_e4m3fnuz = decode_all(e4m3fnuz);
constexpr auto table_e5m2 = decode_all(e5m2), table_e5m2fnuz = decode_all(e5m2fnuz);

// f64 to f32 such that a second rounding to at most 22 bits gives the result of one rounding: towards zero, with the
// last bit set when anything was lost ("round to odd", Boldo & Melquiond 2008).
float round_to_odd(double value) noexcept {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || value != value) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1);
}

}  // namespace

uint16_t f32_to_f16(float value) noexcept { return static_cast<uint16_t>(encode(binary16, value, false)); }
uint16_t f64_to_f16(double value) noexcept { return f32_to_f16(round_to_odd(value)); }
uint16_t f64_to_bf16(double value) noexcept { return f32_to_bf16(round_to_odd(value)); }
float f64_to_f32_odd(double value) noexcept { return round_to_odd(value); }

float small_to_f32(DType type, uint8_t bits) noexcept {
  switch (type) {
    case DType::f8e4m3fn: return table_e4m3fn[bits];
    case DType::f8e4m3fnuz: return table_e4m3fnuz[bits];
    case DType::f8e5m2: return table_e5m2[bits];
    case DType::f8e5m2fnuz: return table_e5m2fnuz[bits];
    case DType::f4e2m1: return decode(e2m1, bits & 15);
    default: return bits == 255 ? std::numeric_limits<float>::quiet_NaN() : power_of_two(bits - 127);
  }
}

uint8_t f32_to_small(DType type, float value, bool saturate) noexcept {
  switch (type) {
    case DType::f8e4m3fn: return static_cast<uint8_t>(encode(e4m3fn, value, saturate));
    case DType::f8e4m3fnuz: return static_cast<uint8_t>(encode(e4m3fnuz, value, saturate));
    case DType::f8e5m2: return static_cast<uint8_t>(encode(e5m2, value, saturate));
    case DType::f8e5m2fnuz: return static_cast<uint8_t>(encode(e5m2fnuz, value, saturate));
    case DType::f4e2m1: return static_cast<uint8_t>(encode(e2m1, value, true));
    default: return f32_to_e8m0(value, saturate, E8M0Round::up);
  }
}

uint8_t f32_to_e8m0(float value, bool saturate, E8M0Round round) noexcept {
  constexpr uint8_t nan = 255, largest = 254, least = 0;
  const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffff;  // the sign is undefined by the standard
  if (magnitude > 0x7f800000) return nan;
  if (magnitude == 0x7f800000) return saturate ? largest : nan;
  if (magnitude < 0x400000) return saturate ? least : nan;  // below 2^-127
  // A subnormal in [2^-127, 2^-126): its fraction counts from the bit of 2^-127.
  const bool subnormal = magnitude < 0x800000;
  const uint32_t fraction = subnormal ? (magnitude & 0x3fffff) << 1 : magnitude & 0x7fffff;
  uint32_t code = magnitude >> 23;
  if (round == E8M0Round::up ? fraction > 0 : round == E8M0Round::nearest && fraction >= 0x400000) ++code;
  return code <= largest ? static_cast<uint8_t>(code) : saturate ? largest : nan;
}

}  // namespace outpost
