// Products with weights of 4 bits against sums in double, on every table.
#include "kernels/kernels_check.h"

namespace outpost::kernels {
namespace {

TEST(Blocks4, MatchesDoubleSums) {
  for (const Kernels* table : all_tables())
    for (int64_t half : {16, 32, 64})
      for (int64_t blocks : {1, 3, 17})
        for (int rows = 1; rows <= 4; ++rows)
          for (const bool points : {false, true}) {
            const int64_t k = 2 * blocks * half;
            const std::vector<float> x = random_floats(rows * k, 1), scales = random_floats(blocks, 2);
            std::vector<uint8_t> bytes(blocks * half);
            for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(i * 37 + i / 7);
            std::vector<float> zeros(blocks);
            for (int64_t b = 0; b < blocks; ++b) zeros[b] = float(b % 16);
            const Blocks4 w{bytes.data(), blocks, half, scales.data(), points ? zeros.data() : nullptr};
            float y[4];
            table->dot_blocks4(w, x.data(), k, rows, y);
            for (int r = 0; r < rows; ++r) {
              double sum = 0, magnitude = 0;
              for (int64_t b = 0; b < blocks; ++b)
                for (int64_t i = 0; i < half; ++i) {
                  const uint8_t q = bytes[b * half + i];
                  const double zero = points ? zeros[b] : 8, s = scales[b];
                  const float* at = x.data() + r * k + 2 * b * half + i;
                  const double low = s * ((q & 15) - zero) * at[0], high = s * ((q >> 4) - zero) * at[half];
                  sum += low + high;
                  magnitude += std::fabs(low) + std::fabs(high);
                }
              ASSERT_NEAR(y[r], sum, 4e-7 * magnitude * std::sqrt(double(k))) << table->isa << " rows " << rows;
            }
          }
}

}  // namespace
}  // namespace outpost::kernels
