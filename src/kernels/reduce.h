// Sums whose error does not grow with the length: blocks of f32 registers added up in double, in an order that the
// length alone decides.
#pragma once

#include "kernels/vector_math.h"

namespace outpost::kernels {
namespace {

constexpr int64_t sum_block = 1024;  // elements; each lane of four registers adds at most 64 values (SSE)

// The first n lanes of v, the identity in the others.
inline F32 keep(F32 v, int64_t n, F32 identity) { return select(lane_index() < int32_t(n), v, identity); }

template <class Combine>
inline float fold_lanes(F32 v, Combine combine) {
  float part[lanes];
  store(part, v);
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] = combine(part[i], part[i + width]);
  return part[0];
}

inline float sum_lanes_f32(F32 v) {
  return fold_lanes(v, [](float a, float b) { return a + b; });
}

// Sum of at(i, n) over whole registers (n = lanes) and one partial one, whose other lanes must be 0.
template <class At>
inline double blocked_sum(int64_t count, At at) {
  double total = 0;
  for (int64_t start = 0; start < count; start += sum_block) {
    const int64_t end = count - start < sum_block ? count : start + sum_block;
    F32 sum[4] = {};
    int64_t i = start;
    for (; i + 4 * lanes <= end; i += 4 * lanes) {
      sum[0] += at(i, lanes), sum[1] += at(i + lanes, lanes);
      sum[2] += at(i + 2 * lanes, lanes), sum[3] += at(i + 3 * lanes, lanes);
    }
    for (; i + lanes <= end; i += lanes) sum[0] += at(i, lanes);
    if (i < end) sum[1] += at(i, end - i);
    total += sum_lanes_f32((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  return total;
}

inline F32 load_up_to(const float* p, int64_t n) { return n == lanes ? load(p) : load_part(p, n); }
inline void store_up_to(float* p, F32 v, int64_t n) {
  if (n == lanes) store(p, v);
  else store_part(p, v, n);
}

// A sum and what its roundings lost (Knuth's two-sum): for columns, where every lane is a sum of its own.
struct Compensated {
  F32 sum = {}, lost = {};
  void add(F32 x) {
    const F32 next = sum + x, back = next - sum;
    lost += (sum - (next - back)) + (x - back);
    sum = next;
  }
  // An infinite sum has lost inf - inf: it stands as it is.
  F32 total() const { return select(lost == lost, sum + lost, sum); }
};

template <class Combine>
inline F32 fold_row(const float* x, int64_t n, F32 identity, Combine combine) {
  F32 a = identity, b = identity;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = combine(a, load(x + i));
    b = combine(b, load(x + i + lanes));
  }
  for (; i + lanes <= n; i += lanes) a = combine(a, load(x + i));
  if (i < n) b = combine(b, keep(load_part(x + i, n - i), n - i, identity));
  return combine(a, b);
}

inline float scalar_max(float a, float b) { return a != a ? a : a > b ? a : b; }
inline float scalar_min(float a, float b) { return a != a ? a : a < b ? a : b; }

// NaN where any is NaN; -infinity for no elements.
inline float row_max(const float* x, int64_t n) {
  return fold_lanes(fold_row(x, n, broadcast(-infinity), max_nan<F32>), scalar_max);
}
inline float row_min(const float* x, int64_t n) {
  return fold_lanes(fold_row(x, n, broadcast(infinity), min_nan<F32>), scalar_min);
}

}  // namespace
}  // namespace outpost::kernels
