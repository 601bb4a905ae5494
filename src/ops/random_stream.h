// Where random operators get their numbers. Without a `seed` attribute they continue the run state's Philox stream:
// element i takes its words at a position of its own, so results depend neither on threads nor on tiles, and the state
// moves on by what was drawn. With `seed` they are numpy's RandomState(seed): the same numbers as the ONNX reference
// implementation, every run.
#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>

#include "ops/elementwise.h"

namespace outpost {

// numpy.random.RandomState: MT19937 (Matsumoto & Nishimura 1998), 53-bit uniforms, polar normals in pairs.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint32_t seed) : engine_(seed) {}
  double uniform() {
    const uint32_t a = static_cast<uint32_t>(engine_()) >> 5, b = static_cast<uint32_t>(engine_()) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
  }
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double x, y, square;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double f = std::sqrt(-2 * std::log(square) / square);
    spare_ = f * x;
    has_spare_ = true;
    return f * y;
  }

 private:
  std::mt19937 engine_;
  double spare_ = 0;
  bool has_spare_ = false;
};

// The Philox stream by position.
class Stream {
 public:
  explicit Stream(const Random& r) : seed_(r.seed()), first_(r.counter()) {}
  uint32_t word(uint64_t i) {
    const uint64_t at = first_ + i;
    if (at / 4 != block_) {
      block_ = at / 4;
      words_ = Random::block(seed_, block_);
    }
    return words_[at % 4];
  }
  double uniform(uint64_t i) { return word(i) * 0x1p-32; }
  double normal(uint64_t i) {  // Box and Muller 1958, from words 2i and 2i + 1
    const double u = (word(2 * i) + 0.5) * 0x1p-32, v = word(2 * i + 1) * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
  }

 private:
  uint64_t seed_, first_, block_ = ~uint64_t(0);
  std::array<uint32_t, 4> words_;
};

struct RandomOptions {
  bool seeded;
  uint32_t seed;
  double a, b;             // mean and scale, or low and high
  int64_t samples = 1;
};
inline RandomOptions random_options(const Attributes& attributes) {
  RandomOptions o{attributes.has("seed"), 0, 0, 0};
  if (!o.seeded) return o;
  const Attribute* seed = attributes.find("seed");
  const double value = std::holds_alternative<int64_t>(*seed) ? static_cast<double>(std::get<int64_t>(*seed))
                                                              : attributes.real("seed", 0);
  o.seed = value == value ? static_cast<uint32_t>(static_cast<int64_t>(std::clamp(value, -9e15, 9e15))) : 0;
  return o;
}

// The numbers of one element, from whichever generator.
struct Draw {
  NumpyRandom* numpy;
  Stream* stream;
  uint64_t position;
  double uniform() { return numpy ? numpy->uniform() : stream->uniform(position); }
  double normal() { return numpy ? numpy->normal() : stream->normal(position); }
};

// tiles(begin, end, numpy): a seeded stream is walked in order, the state's stream by all threads.
template <class Tiles>
void over_stream(RunContext& c, const RandomOptions& o, int64_t count, int words_an_element, Tiles tiles) {
  if (o.seeded) {
    NumpyRandom numpy(o.seed);
    tiles(0, count, &numpy);
    return;
  }
  c.parallel_ranges(count, elementwise_grain, [&](int64_t begin, int64_t end) { tiles(begin, end, nullptr); });
  c.random().skip(static_cast<uint64_t>(count) * static_cast<uint64_t>(words_an_element));
}

}  // namespace outpost
