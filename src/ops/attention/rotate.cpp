// Blocks of 32 pairs go through small arrays of the compute type, which makes all storage types and both pairings one
// loop of known length.
#include "ops/attention/rotate.h"

#include <algorithm>
#include <cstring>

#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t block = 32;

template <class T>
struct Pairs {
  T first[block], second[block], cos[block], sin[block];

  void turn() {
    for (int64_t i = 0; i < block; ++i) {
      const T a = first[i], b = second[i];
      first[i] = cos[i] * a - sin[i] * b;
      second[i] = sin[i] * a + cos[i] * b;
    }
  }
};

template <class T>
void rotate_line(const Rotation& r, int64_t from, int64_t to, int64_t cache) {
  constexpr DType type = std::is_same_v<T, double> ? DType::f64 : DType::f32;
  Pairs<T> p{};
  T both[2 * block];
  const int64_t half = r.turned / 2;
  for (int64_t i = 0; i < half; i += block) {
    const int64_t n = std::min(block, half - i);
    load(r.cache_dtype, r.cos, cache * half + i, n, type, p.cos);
    load(r.cache_dtype, r.sin, cache * half + i, n, type, p.sin);
    if (r.interleaved) {
      load(r.dtype, r.x, from + 2 * i, 2 * n, type, both);
      for (int64_t j = 0; j < n; ++j) p.first[j] = both[2 * j], p.second[j] = both[2 * j + 1];
      p.turn();
      for (int64_t j = 0; j < n; ++j) both[2 * j] = p.first[j], both[2 * j + 1] = p.second[j];
      store(type, both, 2 * n, r.dtype, r.y, to + 2 * i);
    } else {
      load(r.dtype, r.x, from + i, n, type, p.first);
      load(r.dtype, r.x, from + half + i, n, type, p.second);
      p.turn();
      store(type, p.first, n, r.dtype, r.y, to + i);
      store(type, p.second, n, r.dtype, r.y, to + half + i);
    }
  }
  const size_t element = bytes_for(r.dtype, 1);
  const auto* x = static_cast<const std::byte*>(r.x) + element * static_cast<size_t>(from + r.turned);
  auto* y = static_cast<std::byte*>(r.y) + element * static_cast<size_t>(to + r.turned);
  if (x != y && r.size > r.turned) std::memcpy(y, x, element * static_cast<size_t>(r.size - r.turned));
}

}  // namespace

void rotate(const RunContext& c, const Rotation& r) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, r.heads * r.size));
  c.parallel_ranges(r.batch * r.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / r.rows, row = i % r.rows, cache = r.positions ? r.positions[i] : b * r.cache_batch + row + r.first;
      for (int64_t h = 0; h < r.heads; ++h) {
        const int64_t from = b * r.x_batch + row * r.x_row + h * r.x_head, to = b * r.y_batch + row * r.y_row + h * r.y_head;
        if (r.dtype == DType::f64) rotate_line<double>(r, from, to, cache);
        else rotate_line<float>(r, from, to, cache);
      }
    }
  });
}

}  // namespace outpost
