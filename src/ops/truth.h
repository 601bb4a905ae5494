// Which elements of a tensor count as true (non-zero; NaN is true), by tiles: for NonZero and Compress.
#pragma once
#include <algorithm>
#include <cstdint>

#include "tensor/convert.h"
#include "tensor/view.h"

namespace outpost {

// visit(i) for every i in [0, count) whose element is true, in order.
template <class Visit>
void for_each_true(const View& x, int64_t count, Visit&& visit) {
  constexpr int64_t tile = 1024;
  bool truth[tile];
  for (int64_t i = 0; i < count; i += tile) {
    const int64_t n = std::min(tile, count - i);
    const bool* t = truth;
    if (x.dtype == DType::boolean) t = x.as<bool>() + i;
    else load(x.dtype, x.data, i, n, DType::boolean, truth);
    for (int64_t k = 0; k < n; ++k)
      if (t[k]) visit(i + k);
  }
}

inline int64_t count_true(const View& x, int64_t count) {
  int64_t n = 0;
  for_each_true(x, count, [&](int64_t) { ++n; });
  return n;
}

}  // namespace outpost
