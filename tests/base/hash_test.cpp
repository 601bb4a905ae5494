// Hash64 against published XXH64 values, in one piece and in many.
#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace outpost::test {

TEST(Hash64, published_values) {
  EXPECT_EQ(hash64(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(hash64("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash64("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(hash64("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(Hash64, pieces_do_not_matter) {
  std::string data;
  for (int i = 0; i < 500; ++i) data.push_back(static_cast<char>(i * 31));
  for (size_t step : {1, 3, 31, 32, 33, 64, 499}) {
    Hash64 hash(7);
    for (size_t at = 0; at < data.size(); at += step) hash.add(data.data() + at, std::min(step, data.size() - at));
    EXPECT_EQ(hash.value(), hash64(data, 7)) << step;
  }
}

}  // namespace outpost::test
