// Random: a counter-based generator (Philox 4x32-10, Salmon et al. 2011). Its whole state is a key and a counter, so it
// saves and restores in 16 bytes and any position can be reached at once: results do not depend on threads.
#pragma once
#include <array>
#include <cstdint>

namespace outpost {

class Random {
 public:
  explicit Random(uint64_t seed = 0, uint64_t counter = 0) noexcept : seed_(seed), counter_(counter) {}
  // Four 32-bit words of block `index` of the stream.
  static std::array<uint32_t, 4> block(uint64_t seed, uint64_t index) noexcept;
  uint32_t next() noexcept;
  double uniform() noexcept;  // [0, 1), 32 bits of it
  double normal() noexcept;   // mean 0, variance 1 (Box–Muller)
  uint64_t seed() const noexcept { return seed_; }
  uint64_t counter() const noexcept { return counter_; }  // of 32-bit words drawn
  void skip(uint64_t words) noexcept { counter_ += words; }

 private:
  uint64_t seed_, counter_;
};

}  // namespace outpost
