// The narrow floats, exhaustively: every code decodes to what its format's definition says (computed here in double),
// and halfway between any two neighbours the rounding goes to the even code, a hair beside it to the nearer one.
#include "tensor/float_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace outpost {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct Format {
  DType type;
  int exponent_bits, mantissa_bits, bias, largest;  // code of the largest finite value
  float to_f32(int code) const {
    if (type == DType::f16) return f16_to_f32(static_cast<uint16_t>(code));
    if (type == DType::bf16) return bf16_to_f32(static_cast<uint16_t>(code));
    return small_to_f32(type, static_cast<uint8_t>(code));
  }
  int from_f32(float x, bool saturate = true) const {
    if (type == DType::f16) return f32_to_f16(x);
    if (type == DType::bf16) return f32_to_bf16(x);
    return f32_to_small(type, x, saturate);
  }
  int from_f64(double x) const {
    if (type == DType::f16) return f64_to_f16(x);
    if (type == DType::bf16) return f64_to_bf16(x);
    return f32_to_small(type, f64_to_f32_odd(x), true);
  }
  int sign() const { return 1 << (exponent_bits + mantissa_bits); }
  double define(int code) const {
    const int field = code >> mantissa_bits, mantissa = code & ((1 << mantissa_bits) - 1);
    if (field == 0) return std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return std::ldexp(mantissa + (1 << mantissa_bits), field - bias - mantissa_bits);
  }
};

const std::vector<Format> formats = {
    {DType::f16, 5, 10, 15, 0x7bff},    {DType::bf16, 8, 7, 127, 0x7f7f},   {DType::f8e4m3fn, 4, 3, 7, 0x7e},
    {DType::f8e4m3fnuz, 4, 3, 8, 0x7f}, {DType::f8e5m2, 5, 2, 15, 0x7b},    {DType::f8e5m2fnuz, 5, 2, 16, 0x7f},
    {DType::f4e2m1, 2, 1, 1, 0x7},
};

TEST(FloatTypes, every_code_decodes_to_its_definition_and_back) {
  for (const auto& f : formats)
    for (int code = 0; code <= f.largest; ++code) {
      ASSERT_EQ(f.to_f32(code), f.define(code)) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f32(f.to_f32(code)), code) << name(f.type);
      if (code == 0) continue;
      ASSERT_EQ(f.to_f32(code | f.sign()), -f.define(code)) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f32(-f.to_f32(code)), code | f.sign()) << name(f.type);
    }
}

TEST(FloatTypes, rounding_is_to_nearest_even) {
  for (const auto& f : formats)
    for (int code = 0; code < f.largest; ++code) {
      const double middle = (f.define(code) + f.define(code + 1)) / 2;
      const int even = code & 1 ? code + 1 : code;
      ASSERT_EQ(f.from_f64(middle), even) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f64(std::nextafter(middle, 0)), code) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f64(std::nextafter(middle, 1e300)), code + 1) << name(f.type) << " " << code;
      const auto single = static_cast<float>(middle);
      ASSERT_EQ(static_cast<double>(single), middle);
      ASSERT_EQ(f.from_f32(single), even) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f32(std::nextafter(single, 0.f)), code) << name(f.type) << " " << code;
      ASSERT_EQ(f.from_f32(std::nextafter(single, inf)), code + 1) << name(f.type) << " " << code;
    }
}

TEST(FloatTypes, beyond_the_largest) {
  EXPECT_EQ(f32_to_f16(65519.f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f64_to_f16(1e300), 0x7c00);
  EXPECT_EQ(f64_to_bf16(1e300), 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001)))));
  // ONNX Cast's tables, x = -0, NaN, Inf, -Inf, 1e9: saturating, then not.
  struct Row {
    DType type;
    int saturated[5], plain[5];
  };
  const Row rows[] = {
      {DType::f8e4m3fn, {0x80, 0x7f, 0x7e, 0xfe, 0x7e}, {0x80, 0x7f, 0x7f, 0xff, 0x7f}},
      {DType::f8e4m3fnuz, {0, 0x80, 0x7f, 0xff, 0x7f}, {0, 0x80, 0x80, 0x80, 0x80}},
      {DType::f8e5m2, {0x80, 0x7e, 0x7b, 0xfb, 0x7b}, {0x80, 0x7e, 0x7c, 0xfc, 0x7c}},
      {DType::f8e5m2fnuz, {0, 0x80, 0x7f, 0xff, 0x7f}, {0, 0x80, 0x80, 0x80, 0x80}},
      {DType::f4e2m1, {8, 8, 7, 15, 7}, {8, 8, 7, 15, 7}},
  };
  const float inputs[] = {-0.f, nan, inf, -inf, 1e9f};
  for (const auto& row : rows)
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(f32_to_small(row.type, inputs[i], true), row.saturated[i]) << name(row.type) << " " << inputs[i];
      EXPECT_EQ(f32_to_small(row.type, inputs[i], false), row.plain[i]) << name(row.type) << " " << inputs[i];
    }
  for (int code : {0x7d, 0x7e, 0x7f, 0xfd})
    EXPECT_TRUE(std::isnan(small_to_f32(DType::f8e5m2, static_cast<uint8_t>(code))));
  EXPECT_EQ(small_to_f32(DType::f8e5m2, 0xfc), -inf);
  EXPECT_TRUE(std::isnan(small_to_f32(DType::f8e4m3fn, 0xff)));
}

TEST(FloatTypes, e8m0_rounds_as_asked) {
  using enum E8M0Round;
  for (int code = 0; code < 255; ++code) {
    const float x = small_to_f32(DType::f8e8m0, static_cast<uint8_t>(code));
    EXPECT_EQ(x, std::ldexp(1.0, code - 127));
    for (auto round : {up, down, nearest}) EXPECT_EQ(f32_to_e8m0(x, true, round), code);
    const auto above = std::min(code + 1, 254);
    EXPECT_EQ(f32_to_e8m0(std::nextafter(x, inf), true, up), above);
    EXPECT_EQ(f32_to_e8m0(std::nextafter(x, inf), true, down), code);
    EXPECT_EQ(f32_to_e8m0(x * 1.25f, true, nearest), code);
    EXPECT_EQ(f32_to_e8m0(x * 1.5f, true, nearest), above);
  }
  EXPECT_TRUE(std::isnan(small_to_f32(DType::f8e8m0, 255)));
  EXPECT_EQ(f32_to_e8m0(0, true, up), 0);
  EXPECT_EQ(f32_to_e8m0(0, false, nearest), 255);
  EXPECT_EQ(f32_to_e8m0(nan, true, up), 255);
  EXPECT_EQ(f32_to_e8m0(inf, true, up), 254);
  EXPECT_EQ(f32_to_e8m0(inf, false, up), 255);
  EXPECT_EQ(f32_to_e8m0(3e38f, false, up), 255);
}

}  // namespace
}  // namespace outpost
