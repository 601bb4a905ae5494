// Offsets in one arena for blocks that live from one step to another: greedily, each into the tightest gap between those
// that live at the same time, largest first (Pisarchyk & Lee 2020, arXiv 2001.03288). Where that misses the lower bound,
// other orders are tried (by area, by the fullest step, by time) and the best is kept.
#pragma once
#include <cstddef>
#include <vector>

namespace outpost {

struct Block {
  int first, last;     // steps, inclusive
  size_t bytes;
  size_t offset = 0;   // the answer
};

inline constexpr size_t arena_alignment = 64;
inline size_t align_up(size_t n) noexcept { return (n + arena_alignment - 1) & ~(arena_alignment - 1); }

// Sets every block's offset; returns the bytes needed.
size_t plan_memory(std::vector<Block>& blocks);
// The lower bound: the most bytes alive at one step.
size_t largest_live_set(const std::vector<Block>& blocks);

}  // namespace outpost
