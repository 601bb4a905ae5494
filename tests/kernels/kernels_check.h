// What the kernel tests share: every instruction set of this machine, odd sizes, random and special values, and the
// distance between floats in ulp of the exact value.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace outpost::kernels {

inline constexpr float inf = std::numeric_limits<float>::infinity();
inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<const Kernels*> all_tables() {
  std::vector<const Kernels*> tables;
  for (int i = 0; const Kernels* table = available_kernels(i); ++i) tables.push_back(table);
  return tables;
}

inline const std::vector<int64_t>& odd_sizes() {
  static const std::vector<int64_t> sizes{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 257, 1031};
  return sizes;
}

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float low = -1, float high = 1) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(n);
  for (float& v : values) v = uniform(generator);
  return values;
}

// |got - want| in units of the last place that a float has at `want`; 0 where both are NaN or the same infinity.
inline double ulp_error(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e30;
  const float nearest = static_cast<float>(want);
  if (std::isinf(nearest) || std::isinf(got)) {
    if (got == nearest) return 0;
    // The largest float and infinity are neighbours.
    const float largest = std::numeric_limits<float>::max();
    return std::fabs(got) >= largest && std::fabs(nearest) >= largest && (got > 0) == (nearest > 0) ? 1 : 1e30;
  }
  if (std::isnan(got)) return 1e30;
  const int exponent = std::max(-126, want == 0 ? -126 : std::ilogb(want));
  return std::fabs(got - want) / std::ldexp(1.0, exponent - 23);
}

}  // namespace outpost::kernels
