// See memory_plan.h.
#include "runtime/memory_plan.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace outpost {

size_t plan_memory(std::vector<Block>& blocks) {
  std::vector<int> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    if (blocks[a].bytes != blocks[b].bytes) return blocks[a].bytes > blocks[b].bytes;
    return blocks[a].first != blocks[b].first ? blocks[a].first < blocks[b].first : a < b;
  });
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

size_t largest_live_set(const std::vector<Block>& blocks) {
  int steps = 0;
  for (const Block& b : blocks) steps = std::max(steps, b.last + 1);
  std::vector<std::ptrdiff_t> change(steps + 1, 0);
  for (const Block& b : blocks) {
    change[b.first] += static_cast<std::ptrdiff_t>(align_up(b.bytes));
    change[b.last + 1] -= static_cast<std::ptrdiff_t>(align_up(b.bytes));
  }
  std::ptrdiff_t live = 0, most = 0;
  for (std::ptrdiff_t c : change) most = std::max(most, live += c);
  return static_cast<size_t>(most);
}

}  // namespace outpost
