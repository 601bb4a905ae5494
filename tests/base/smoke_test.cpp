// The suite itself: the test program links, and the rule for absent test data holds.
#include "test_data.h"

#include <gtest/gtest.h>

namespace outpost::test {

TEST(Smoke, absent_test_data_is_nothing) {
  EXPECT_FALSE(test_data("no/such/folder"));
}

TEST(Smoke, present_test_data_exists) {
  const auto data = OUTPOST_REQUIRE_TEST_DATA("INVENTORY.md");
  EXPECT_TRUE(std::filesystem::is_regular_file(data));
}

}  // namespace outpost::test
