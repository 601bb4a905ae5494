// Conversions between every two numeric dtypes against one definition in double, and the corners: wrapping, truncation,
// packing, runs longer than a tile, and the vectorised binary16 loops against the exact functions.
#include "tensor/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/float_types.h"

namespace outpost {
namespace {

std::vector<DType> numeric() {
  std::vector<DType> types;
  for (int i = 1; i <= 26; ++i)
    if (static_cast<DType>(i) != DType::string) types.push_back(static_cast<DType>(i));
  return types;
}

bool is_unsigned(DType t) { return compute_type(t) == DType::u64 || t == DType::boolean || t == DType::f8e8m0; }

// Values that every type holds exactly; a count that is no multiple of a tile or of a byte's elements.
std::vector<double> common(DType a, DType b) {
  std::vector<double> values(1111);
  const bool only_positive = is_unsigned(a) || is_unsigned(b);
  const bool boolean = a == DType::boolean || b == DType::boolean;
  const bool powers = a == DType::f8e8m0 || b == DType::f8e8m0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (powers || boolean) values[i] = powers && boolean ? 1 : powers ? 1 : i * 7 % 3 % 2;
    else values[i] = only_positive ? double(i * 5 % 7 % 2) : double(i * 5 % 7 % 3) - 2;
    if (!only_positive && values[i] == -2 && i % 2) values[i] = 1;
  }
  return values;
}

std::vector<char> encode(DType type, const std::vector<double>& values) {
  std::vector<char> bytes(bytes_for(type, static_cast<int64_t>(values.size())));
  convert(DType::f64, values.data(), type, bytes.data(), static_cast<int64_t>(values.size()));
  return bytes;
}
std::vector<double> decode(DType type, const std::vector<char>& bytes, size_t count) {
  std::vector<double> values(count);
  convert(type, bytes.data(), DType::f64, values.data(), static_cast<int64_t>(count));
  return values;
}

TEST(Convert, every_pair_keeps_what_both_hold) {
  for (DType a : numeric())
    for (DType b : numeric()) {
      const auto values = common(a, b);
      const auto source = encode(a, values);
      std::vector<char> target(bytes_for(b, static_cast<int64_t>(values.size())));
      convert(a, source.data(), b, target.data(), static_cast<int64_t>(values.size()));
      ASSERT_EQ(decode(b, target, values.size()), values) << name(a) << " -> " << name(b);
    }
}

TEST(Convert, load_and_store_take_runs) {
  for (DType type : numeric()) {
    const auto values = common(type, DType::f64);
    auto bytes = encode(type, values);
    std::vector<double> run(601);
    load(type, bytes.data(), 4, 601, DType::f64, run.data());
    ASSERT_TRUE(std::equal(run.begin(), run.end(), values.begin() + 4)) << name(type);
    std::vector<char> copy(bytes.size(), 0);
    store(DType::f64, values.data(), 4, type, copy.data(), 0);
    store(DType::f64, run.data(), 601, type, copy.data(), 4);
    store(DType::f64, values.data() + 604, 507, type, copy.data(), 604);
    ASSERT_EQ(decode(type, copy, values.size()), values) << name(type);
  }
}

template <class A, class B>
B one(A x) {
  B y;
  convert(dtype_of<A>(), &x, dtype_of<B>(), &y, 1);
  return y;
}

TEST(Convert, integers_wrap_and_floats_truncate) {
  EXPECT_EQ((one<int16_t, int8_t>(200)), -56);
  EXPECT_EQ((one<int64_t, uint8_t>(-1)), 255);
  EXPECT_EQ((one<int8_t, uint64_t>(-1)), ~uint64_t(0));
  EXPECT_EQ((one<uint64_t, int32_t>(0x1'8000'0001)), int32_t(0x80000001));
  EXPECT_EQ((one<float, int32_t>(-2.9f)), -2);
  EXPECT_EQ((one<float, uint8_t>(255.9f)), 255);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ((one<float, int8_t>(128.f)), -128);
  EXPECT_EQ((one<float, int8_t>(nan)), -128);
  EXPECT_EQ((one<float, uint8_t>(-1.f)), 0);
  EXPECT_EQ((one<float, int32_t>(2147483648.f)), std::numeric_limits<int32_t>::min());
  EXPECT_EQ((one<float, int64_t>(1e30f)), std::numeric_limits<int64_t>::min());
  EXPECT_EQ((one<double, int8_t>(300.0)), -128);
  EXPECT_EQ((one<double, uint64_t>(1.8e19)), 18000000000000000000u);
  EXPECT_EQ((one<double, uint64_t>(1.9e19)), 0u);
  EXPECT_EQ((one<float, bool>(nan)), true);
  EXPECT_EQ((one<float, bool>(0.25f)), true);
  EXPECT_EQ((one<double, bool>(-0.0)), false);
  EXPECT_EQ((one<int64_t, bool>(256)), true);
}

TEST(Convert, f64_rounds_once) {
  const double x = 1 + 0x1p-11 + 0x1p-40;  // f32 would drop the last bit and leave a tie
  EXPECT_EQ((one<double, Float16>(x).bits), 0x3c01);
  EXPECT_EQ((one<double, BFloat16>(1 + 0x1p-8 + 0x1p-40).bits), 0x3f81);
  uint8_t e4m3;
  const double y = 1 + 0x1p-4 + 0x1p-40;
  convert(DType::f64, &y, DType::f8e4m3fn, &e4m3, 1);
  EXPECT_EQ(e4m3, 0x39);
}

TEST(Convert, binary16_loops_equal_the_functions) {
  std::vector<uint16_t> codes(65536), back(65536);
  std::vector<float> wide(65536);
  for (int i = 0; i < 65536; ++i) codes[static_cast<size_t>(i)] = static_cast<uint16_t>(i);
  convert(DType::f16, codes.data(), DType::f32, wide.data(), 65536);
  for (int i = 0; i < 65536; ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(wide[static_cast<size_t>(i)]),
              std::bit_cast<uint32_t>(f16_to_f32(static_cast<uint16_t>(i))));
  // Every f16 value, its neighbours at the rounding boundary, and a spread over all of f32.
  std::vector<float> inputs;
  for (uint32_t high = 0; high < 65536; ++high)
    for (uint32_t low : {0x0000u, 0x0fffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u, 0x3001u, 0x8000u, 0xf001u})
      inputs.push_back(std::bit_cast<float>(high << 16 | low));
  std::vector<uint16_t> narrow(inputs.size());
  convert(DType::f32, inputs.data(), DType::f16, narrow.data(), static_cast<int64_t>(inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i)
    ASSERT_EQ(narrow[i], f32_to_f16(inputs[i])) << std::bit_cast<uint32_t>(inputs[i]);
}

TEST(Convert, packed_elements_lie_low_bits_first) {
  const float values[] = {1, -2, 7, -8, 3};
  uint8_t bytes[3] = {255, 255, 255};
  convert(DType::f32, values, DType::i4, bytes, 5);
  EXPECT_EQ(bytes[0], 0xe1);
  EXPECT_EQ(bytes[1], 0x87);
  EXPECT_EQ(bytes[2], 0x03);
  int8_t out[2];
  load(DType::i4, bytes, 3, 2, DType::i8, out);
  EXPECT_EQ(out[0], -8);
  EXPECT_EQ(out[1], 3);
  const float beyond[] = {-9, 16};  // wraps
  convert(DType::f32, beyond, DType::u4, bytes, 2);
  EXPECT_EQ(bytes[0], 0x07);
  const int8_t twos[] = {1, -2, 0, -1};
  store(DType::i8, twos, 4, DType::i2, bytes, 0);
  EXPECT_EQ(bytes[0], 0b11001001);
  const float fours[] = {0.5f, -6, 5, 2.5f};  // ties to even: 5 -> 4, 2.5 -> 2
  convert(DType::f32, fours, DType::f4e2m1, bytes, 4);
  EXPECT_EQ(bytes[0], 0xf1);
  EXPECT_EQ(bytes[1], 0x46);
}

TEST(Convert, complex_keeps_the_real_part) {
  const float pair[] = {3, 4};
  int32_t real;
  convert(DType::complex64, pair, DType::i32, &real, 1);
  EXPECT_EQ(real, 3);
  double wide[2];
  convert(DType::complex64, pair, DType::complex128, wide, 1);
  EXPECT_EQ(wide[1], 4);
}

}  // namespace
}  // namespace outpost
