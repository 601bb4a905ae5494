// 8-bit products against sums in 64 bits: every mix of signs, zero points for all or for each row and column,
// transposed operands, packed or not; exact, and whatever the grouping of tiles.
#include "kernels/kernels_check.h"

namespace outpost::kernels {
namespace {

int value(const std::vector<uint8_t>& bytes, int64_t i, bool is_signed) {
  return is_signed ? int(int8_t(bytes[i])) : int(bytes[i]);
}

std::vector<uint8_t> random_bytes(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<uint8_t> bytes(n);
  for (uint8_t& b : bytes) b = uint8_t(generator() >> 13);
  return bytes;
}

struct Options {
  bool a_signed, b_signed, transposed, packed;
  int zeros;  // 0: none, 1: one each, 2: one a row and a column
};

void check(const Kernels& table, int64_t m, int64_t n, int64_t k, const Options& o) {
  const std::vector<uint8_t> a = random_bytes(m * k + 1, 1), b = random_bytes(k * n + 1, 2);
  const std::vector<uint8_t> a_zero = random_bytes(m + 1, 3), b_zero = random_bytes(n + 1, 4);
  std::vector<int32_t> c(m * n + 1, 77), again = c;
  GemmInt8 g{.m = m, .n = n, .k = k, .a = a.data(), .a_row_stride = o.transposed ? 1 : k,
             .a_column_stride = o.transposed ? m : 1, .b = b.data(), .b_row_stride = o.transposed ? 1 : n,
             .b_column_stride = o.transposed ? k : 1, .c = c.data(), .c_row_stride = n, .a_signed = o.a_signed,
             .b_signed = o.b_signed};
  if (o.zeros) {
    g.a_zero = a_zero.data(), g.b_zero = b_zero.data();
    g.a_zero_stride = g.b_zero_stride = o.zeros - 1;
  }
  std::vector<uint8_t> packed(table.gemm_int8_pack_b_bytes(g));
  if (o.packed) table.gemm_int8_pack_b(g, packed.data()), g.packed_b = packed.data();
  std::vector<uint8_t> scratch(table.gemm_int8_scratch_bytes(g), 0xff);
  const int64_t tiles = table.gemm_int8_tiles(g);
  table.gemm_int8(g, 0, tiles, scratch.data());
  g.c = again.data();
  for (int64_t i = tiles; i-- > 0;) table.gemm_int8(g, i, i + 1, scratch.data());
  ASSERT_EQ(c, again);
  EXPECT_EQ(c[m * n], 77);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const int za = o.zeros ? value(a_zero, i * g.a_zero_stride, o.a_signed) : 0;
      const int zb = o.zeros ? value(b_zero, j * g.b_zero_stride, o.b_signed) : 0;
      int64_t sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += int64_t(value(a, i * g.a_row_stride + p * g.a_column_stride, o.a_signed) - za) *
               (value(b, p * g.b_row_stride + j * g.b_column_stride, o.b_signed) - zb);
      ASSERT_EQ(c[i * n + j], int32_t(uint32_t(sum))) << table.isa << " " << m << "x" << n << "x" << k;
    }
}

TEST(GemmInt8, IsExact) {
  for (const Kernels* table : all_tables())
    for (int mix = 0; mix < 4; ++mix)
      for (int zeros = 0; zeros < 3; ++zeros)
        for (const bool transposed : {false, true})
          for (const bool packed : {false, true}) {
            const Options o{bool(mix & 1), bool(mix & 2), transposed, packed, zeros};
            for (int64_t m : {1, 5, 6, 13})
              for (int64_t n : {1, 8, 15, 16, 33})
                for (int64_t k : {0, 1, 2, 7, 32}) check(*table, m, n, k, o);
            check(*table, 110, 70, 651, o);
            check(*table, 3, 300, 1290, o);
            if (HasFatalFailure()) return;
          }
}

// 255 * 255 * 2 * 40000 passes 2^31: sums wrap rather than saturate.
TEST(GemmInt8, WrapsAtThirtyTwoBits) {
  const int64_t k = 80000;
  const std::vector<uint8_t> a(k, 255), b(k, 255);
  for (const Kernels* table : all_tables()) {
    int32_t c = 0;
    const GemmInt8 g{.m = 1, .n = 1, .k = k, .a = a.data(), .a_row_stride = k, .b = b.data(), .b_row_stride = 1,
                     .c = &c, .c_row_stride = 1, .a_signed = false, .b_signed = false};
    std::vector<uint8_t> scratch(table->gemm_int8_scratch_bytes(g));
    table->gemm_int8(g, 0, 1, scratch.data());
    EXPECT_EQ(c, int32_t(uint32_t(uint64_t(255) * 255 * k)));
  }
}

}  // namespace
}  // namespace outpost::kernels
