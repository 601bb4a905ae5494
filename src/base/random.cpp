// Philox 4x32-10: ten rounds of multiply, exchange and xor on a 128-bit counter under a 64-bit key.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 4.3.
#include "base/random.h"

#include <cmath>

namespace outpost {

std::array<uint32_t, 4> Random::block(uint64_t seed, uint64_t index) noexcept {
  uint32_t x0 = static_cast<uint32_t>(index), x1 = static_cast<uint32_t>(index >> 32), x2 = 0, x3 = 0;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t{0xD2511F53u} * x0, b = uint64_t{0xCD9E8D57u} * x2;
    x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ k0;
    x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ k1;
    x1 = static_cast<uint32_t>(b);
    x3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9u;  // golden ratio
    k1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return {x0, x1, x2, x3};
}

uint32_t Random::next() noexcept {
  auto words = block(seed_, counter_ / 4);
  return words[counter_++ % 4];
}

double Random::uniform() noexcept { return next() * 0x1p-32; }

double Random::normal() noexcept {
  double radius = std::sqrt(-2 * std::log((next() + 0.5) * 0x1p-32));  // the argument is never 0
  return radius * std::cos(6.283185307179586476925 * uniform());
}

}  // namespace outpost
