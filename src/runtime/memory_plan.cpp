// See memory_plan.h.
#include "runtime/memory_plan.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace outpost {

namespace {

// Places the blocks in this order; returns the bytes needed.
size_t place_in_order(std::vector<Block>& blocks, const std::vector<int>& order) {
  std::vector<int> placed;  // by offset
  placed.reserve(blocks.size());
  size_t total = 0;
  for (int i : order) {
    Block& b = blocks[i];
    size_t bytes = align_up(b.bytes), offset = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (int j : placed) {
      const Block& p = blocks[j];
      if (p.last < b.first || p.first > b.last) continue;
      if (p.offset > offset && p.offset - offset >= bytes && p.offset - offset < best_gap) {
        best = offset;
        best_gap = p.offset - offset;
      }
      offset = std::max(offset, p.offset + align_up(p.bytes));
    }
    b.offset = best != SIZE_MAX ? best : offset;
    total = std::max(total, b.offset + bytes);
    auto where = std::upper_bound(placed.begin(), placed.end(), i, [&](int x, int y) { return blocks[x].offset < blocks[y].offset; });
    placed.insert(where, i);
  }
  return total;
}

std::vector<size_t> live_by_step(const std::vector<Block>& blocks) {
  int steps = 0;
  for (const Block& b : blocks) steps = std::max(steps, b.last + 1);
  std::vector<size_t> live(static_cast<size_t>(steps) + 1, 0);  // differences, then sums; they wrap on the way
  for (const Block& b : blocks) {
    live[b.first] += align_up(b.bytes);
    live[b.last + 1] -= align_up(b.bytes);
  }
  for (size_t i = 1; i < live.size(); ++i) live[i] += live[i - 1];
  return live;
}

}  // namespace

size_t plan_memory(std::vector<Block>& blocks) {
  std::vector<int> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  // Largest `score` first, ties by time.
  auto by = [&](auto score) {
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      const auto x = score(blocks[a]), y = score(blocks[b]);
      if (x != y) return x > y;
      return blocks[a].first != blocks[b].first ? blocks[a].first < blocks[b].first : a < b;
    });
  };
  by([](const Block& b) { return b.bytes; });
  size_t best = place_in_order(blocks, order);
  const std::vector<size_t> live = live_by_step(blocks);
  const size_t bound = live.empty() ? 0 : *std::max_element(live.begin(), live.end());
  std::vector<size_t> offsets;
  auto keep = [&] {
    offsets.clear();
    for (const Block& b : blocks) offsets.push_back(b.offset);
  };
  auto attempt = [&](auto score) {
    if (best <= bound + bound / 64) return;
    if (offsets.empty()) keep();
    by(score);
    const size_t bytes = place_in_order(blocks, order);
    if (bytes >= best) return;
    best = bytes;
    keep();
  };
  attempt([](const Block& b) { return b.bytes * static_cast<size_t>(b.last - b.first + 1); });
  attempt([&](const Block& b) { return *std::max_element(live.begin() + b.first, live.begin() + b.last + 1); });
  attempt([](const Block& b) { return -b.first; });
  attempt([](const Block& b) { return b.last - b.first; });
  for (size_t i = 0; i < offsets.size(); ++i) blocks[i].offset = offsets[i];
  return best;
}

size_t largest_live_set(const std::vector<Block>& blocks) {
  const std::vector<size_t> live = live_by_step(blocks);
  return live.empty() ? 0 : *std::max_element(live.begin(), live.end());
}

}  // namespace outpost
