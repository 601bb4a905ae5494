// Transposition of a square of registers: log2(lanes) rounds of a perfect shuffle, register i with register i + half.
#pragma once

#include "kernels/simd.h"

namespace outpost::kernels {
namespace {

// The indices 0..n-1 as template arguments (std::index_sequence without its header).
template <int... i>
struct Indices {};
template <int n, int... i>
struct CountTo : CountTo<n - 1, n - 1, i...> {};
template <int... i>
struct CountTo<0, i...> {
  using type = Indices<i...>;
};

template <class V, int n, int... i>
inline void interleave(V a, V b, V& low, V& high, Indices<i...>) {
  low = __builtin_shufflevector(a, b, (i / 2 + (i % 2) * n)...);
  high = __builtin_shufflevector(a, b, (n / 2 + i / 2 + (i % 2) * n)...);
}

// v[i][j] becomes v[j][i].
template <class V>
inline void transpose_square(V* v) {
  constexpr int n = sizeof(V) / sizeof(v[0][0]);
#pragma GCC unroll 8
  for (int rounds = n; rounds > 1; rounds /= 2) {
    V next[n];
#pragma GCC unroll 32
    for (int i = 0; i < n / 2; ++i)
      interleave<V, n>(v[i], v[i + n / 2], next[2 * i], next[2 * i + 1], typename CountTo<n>::type{});
#pragma GCC unroll 32
    for (int i = 0; i < n; ++i) v[i] = next[i];
  }
}

template <int n, int... i>
inline F32 even_of(F32 low, F32 high, Indices<i...>) {
  return __builtin_shufflevector(low, high, (i < n / 2 ? 2 * i : 2 * i + 1)...);
}

// p[0], p[2], ..., p[2 * (lanes - 1)], and nothing beyond is read: the second half starts one element early.
inline F32 load_even(const float* p) {
  return even_of<lanes>(load(p), load(p + lanes - 1), typename CountTo<lanes>::type{});
}

// The first n of them, 0 < n <= lanes; reads nothing past p[2 * (n - 1)].
inline F32 load_even_part(const float* p, int64_t n) {
  const int64_t reach = 2 * n - 1, first = reach < lanes ? reach : lanes, second = reach - (lanes - 1);
  const F32 high = second > 0 ? load_part(p + lanes - 1, second) : F32{};
  return even_of<lanes>(load_part(p, first), high, typename CountTo<lanes>::type{});
}

}  // namespace
}  // namespace outpost::kernels
