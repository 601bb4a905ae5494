// Conversions: every f16 and bf16 value there and back, rounding against the definition, quantisation at its limits.
#include "kernels/kernels_check.h"

#include <cstring>

namespace outpost::kernels {
namespace {

double exact_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? nan : sign * inf;
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

std::vector<uint16_t> all_halves() {
  std::vector<uint16_t> bits(65536 - 3);  // not a whole number of registers
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = uint16_t(i);
  return bits;
}

TEST(Convert, WidensEveryHalfExactly) {
  const std::vector<uint16_t> bits = all_halves();
  std::vector<float> wide(bits.size());
  for (const Kernels* table : all_tables()) {
    table->f16_to_f32(bits.data(), wide.data(), int64_t(bits.size()));
    for (size_t i = 0; i < bits.size(); ++i) {
      const double want = exact_f16(bits[i]);
      ASSERT_TRUE(wide[i] == want || (std::isnan(wide[i]) && std::isnan(want)))
          << table->isa << " " << i << " " << wide[i];
      ASSERT_EQ(std::signbit(wide[i]), bits[i] >> 15);
    }
    table->bf16_to_f32(bits.data(), wide.data(), int64_t(bits.size()));
    for (size_t i = 0; i < bits.size(); ++i) {
      uint32_t got;
      std::memcpy(&got, &wide[i], 4);
      ASSERT_EQ(got, uint32_t(bits[i]) << 16);
    }
  }
}

// Nearest even: of the two neighbours the closer, on a tie the one with an even last bit.
TEST(Convert, RoundsHalvesToNearestEven) {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double here = exact_f16(uint16_t(bits)), next = bits == 0x7bff ? 65536 : exact_f16(uint16_t(bits + 1));
    const float middle = float((here + next) / 2);
    for (float v : {float(here), middle, std::nextafter(middle, -inf), std::nextafter(middle, inf)})
      x.insert(x.end(), {v, -v});
  }
  std::vector<uint16_t> y(x.size());
  for (const Kernels* table : all_tables()) {
    table->f32_to_f16(x.data(), y.data(), int64_t(x.size()));
    for (size_t i = 0; i < x.size(); i += 8) {
      const uint16_t bits = uint16_t(i / 8), even = bits + (bits & 1);
      const uint16_t want[4] = {bits, even, bits, uint16_t(bits + 1)};
      for (int j = 0; j < 4; ++j) {
        ASSERT_EQ(y[i + 2 * j], want[j]) << table->isa << " " << x[i + 2 * j];
        ASSERT_EQ(y[i + 2 * j + 1], want[j] | 0x8000);
      }
    }
  }
}

TEST(Convert, RoundsBfloatToNearestEven) {
  std::vector<float> x;
  std::vector<uint16_t> want;
  for (uint32_t bits = 0; bits < 0x7f80; bits += 7)
    for (const auto& [low, up] : {std::pair<uint32_t, int>{0, 0}, {0x7fff, 0}, {0x8000, int(bits & 1)}, {0x8001, 1}}) {
      const uint32_t whole = bits << 16 | low;
      float v;
      std::memcpy(&v, &whole, 4);
      x.insert(x.end(), {v, -v});
      want.insert(want.end(), {uint16_t(bits + up), uint16_t((bits + up) | 0x8000)});
    }
  std::vector<uint16_t> y(x.size());
  for (const Kernels* table : all_tables()) {
    table->f32_to_bf16(x.data(), y.data(), int64_t(x.size()));
    EXPECT_EQ(y, want) << table->isa;
    const float special[4] = {inf, -inf, nan, 3.4e38f};
    uint16_t got[4];
    table->f32_to_bf16(special, got, 4);
    EXPECT_EQ(got[0], 0x7f80);
    EXPECT_EQ(got[1], 0xff80);
    EXPECT_TRUE((got[2] & 0x7fff) > 0x7f80);
    EXPECT_EQ(got[3], 0x7f80);
    table->f32_to_f16(special, got, 4);
    EXPECT_EQ(got[0], 0x7c00);
    EXPECT_EQ(got[1], 0xfc00);
    EXPECT_TRUE((got[2] & 0x7fff) > 0x7c00);
    EXPECT_EQ(got[3], 0x7c00);
  }
}

TEST(Convert, QuantizesWithTiesToEvenAndSaturation) {
  const std::vector<float> x{0,    0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 1e9f,   -1e9f, inf,
                             -inf, nan,   63.5f, 64,    -64,    127,    127.5f, 3e38f};
  for (const Kernels* table : all_tables())
    for (int32_t zero : {0, 3, 127, -128}) {
      std::vector<int8_t> s(x.size() + 1, 99);
      table->quantize_s8(x.data(), 0.5f, zero, s.data(), int64_t(x.size()));
      for (size_t i = 0; i < x.size(); ++i) {
        const double q = std::isnan(x[i]) ? zero : std::nearbyint(x[i] / 0.5) + zero;
        EXPECT_EQ(s[i], q < -128 ? -128 : q > 127 ? 127 : q) << x[i];
      }
      EXPECT_EQ(s[x.size()], 99);
      std::vector<uint8_t> u(x.size() + 1, 99);
      const int32_t positive = zero < 0 ? 255 : zero;
      table->quantize_u8(x.data(), 0.5f, positive, u.data(), int64_t(x.size()));
      for (size_t i = 0; i < x.size(); ++i) {
        const double q = std::isnan(x[i]) ? positive : std::nearbyint(x[i] / 0.5) + positive;
        EXPECT_EQ(u[i], q < 0 ? 0 : q > 255 ? 255 : q) << x[i];
      }
      EXPECT_EQ(u[x.size()], 99);
    }
}

TEST(Convert, DequantizesAndCasts) {
  for (const Kernels* table : all_tables())
    for (int64_t n : odd_sizes()) {
      std::vector<uint8_t> u(n);
      std::vector<int8_t> s(n);
      std::vector<int32_t> w(n);
      std::vector<double> d(n);
      for (int64_t i = 0; i < n; ++i)
        u[i] = uint8_t(i * 37), s[i] = int8_t(i * 91), w[i] = int32_t(i * 1234567891u), d[i] = i / 3.0;
      std::vector<float> y(n);
      table->dequantize_u8(u.data(), 0.1f, 128, y.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], float(u[i] - 128) * 0.1f);
      table->dequantize_s8(s.data(), 0.1f, -5, y.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], float(s[i] + 5) * 0.1f);
      table->dequantize_s32(w.data(), 0.1f, 0, y.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], float(w[i]) * 0.1f);
      table->i32_to_f32(w.data(), y.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], float(w[i]));
      table->f64_to_f32(d.data(), y.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], float(d[i]));
      table->f32_to_f64(y.data(), d.data(), n);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(d[i], double(y[i]));
    }
}

}  // namespace
}  // namespace outpost::kernels
