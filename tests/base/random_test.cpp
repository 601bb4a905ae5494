// Philox against the known answers of its authors (Random123, kat_vectors), and the moments of what is drawn from it.
#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace outpost {

TEST(Random, known_answers) {
  EXPECT_EQ(Random::block(0, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
}

TEST(Random, a_position_is_reached_at_once) {
  Random a(7), b(7);
  for (int i = 0; i < 1001; ++i) a.next();
  b.skip(1001);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_EQ(a.counter(), 1002u);
}

TEST(Random, moments) {
  Random random(3);
  double sum = 0, squares = 0, least = 1, most = 0, n = 100'000;
  for (int i = 0; i < n; ++i) {
    double u = random.uniform(), x = random.normal();
    least = std::min(least, u);
    most = std::max(most, u);
    sum += x;
    squares += x * x;
  }
  EXPECT_GE(least, 0);
  EXPECT_LT(most, 1);
  EXPECT_NEAR(sum / n, 0, 0.02);
  EXPECT_NEAR(squares / n, 1, 0.02);
}

}  // namespace outpost
