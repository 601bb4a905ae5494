// The arena planner: no two blocks that live at the same time overlap, and the total stays near the lower bound.
#include "runtime/memory_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace outpost {
namespace {

void expect_disjoint(const std::vector<Block>& blocks) {
  for (size_t i = 0; i < blocks.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const Block &a = blocks[i], &b = blocks[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      ASSERT_TRUE(!together || apart) << i << " and " << j;
    }
}

TEST(MemoryPlan, ChainNeedsTwoBlocks) {
  std::vector<Block> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back({i, i + 1, 1000});
  EXPECT_EQ(plan_memory(blocks), 2 * align_up(1000));
  EXPECT_EQ(largest_live_set(blocks), 2 * align_up(1000));
  expect_disjoint(blocks);
}

TEST(MemoryPlan, RandomIntervalsNeverOverlapAndStayNearTheBound) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    std::vector<Block> blocks;
    for (int i = 0; i < 200; ++i) {
      const int first = static_cast<int>(random() % 200);
      blocks.push_back({first, first + static_cast<int>(random() % 12), 1 + random() % 100000});
    }
    const size_t total = plan_memory(blocks), bound = largest_live_set(blocks);
    expect_disjoint(blocks);
    EXPECT_GE(total, bound);
    EXPECT_LE(static_cast<double>(total), 1.2 * static_cast<double>(bound)) << "round " << round;
  }
}

TEST(MemoryPlan, EmptyBlocksTakeNothing) {
  std::vector<Block> blocks{{0, 3, 0}, {1, 2, 0}};
  EXPECT_EQ(plan_memory(blocks), 0u);
}

}  // namespace
}  // namespace outpost
