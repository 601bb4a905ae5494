// LRN: across channels, y(c) = x(c) / (bias + alpha / size * sum of x² over size channels around c)^beta.
// Source: ONNX LRN-13.
#include <algorithm>

#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  int64_t size;
  float alpha, beta, bias;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const Attributes& a = c.attributes();
  return std::make_shared<Prepared>(
      Prepared{a.integer("size", 1), a.real("alpha", 1e-4f), a.real("beta", 0.75f), a.real("bias", 1)});
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require(c.attributes().integer("size", 0) >= 1, "size must be 1 or more");
  c.require(!c.ranked(0) || c.rank(0) >= 2, "X must be (batch, channels, ...); found ", c.input(0));
  c.output(0, c.input(0));
}

constexpr int64_t block = 512;  // positions taken through all channels at once

struct Sizes {
  int64_t batch, channels, inner;
  explicit Sizes(const Shape& x) : batch(x[0]), channels(x[1]), inner(x.count(2, x.rank())) {}
};

// For each thread: x of a block over all channels, and a line of sums.
size_t scratch(const ScratchContext& c) {
  const size_t element = c.in(0).dtype == DType::f64 ? 8 : 4;
  return slice_bytes(static_cast<size_t>(Sizes(c.in(0).shape()).channels + 1) * block * element) *
         static_cast<size_t>(c.threads);
}

// sums := (bias + factor * sums)^-beta, as exp(-beta log(.))
void negative_power(float* sums, int64_t n, float factor, float bias, float beta) {
  const kernels::Kernels& k = kernels::kernels();
  k.multiply_add(sums, factor, bias, sums, n);
  k.unary[int(kernels::Unary::log)](sums, sums, n, 0, 0);
  k.multiply_add(sums, -beta, 0, sums, n);
  k.unary[int(kernels::Unary::exp)](sums, sums, n, 0, 0);
}
void negative_power(double* sums, int64_t n, double factor, double bias, double beta) {
  for (int64_t i = 0; i < n; ++i) sums[i] = std::pow(bias + factor * sums[i], -beta);
}

template <class T>
void run_as(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View &x = c.in(0), &y = c.out(0);
  const Sizes s(x.shape());
  const int64_t blocks = (s.inner + block - 1) / block, before = (p.size - 1) / 2, after = p.size - 1 - before;
  const T factor = static_cast<T>(p.alpha) / static_cast<T>(p.size);
  c.parallel(s.batch * blocks, [&](int64_t t) {
    const int64_t at = t % blocks * block, n = std::min(block, s.inner - at);
    const int64_t first = t / blocks * s.channels * s.inner + at;
    T* lines = worker_slice<T>(c, static_cast<size_t>((s.channels + 1) * block) * sizeof(T));
    T* sums = lines + s.channels * block;
    for (int64_t i = 0; i < s.channels; ++i) {
      const T* from = read<T>(x, first + i * s.inner, n, lines + i * block);
      if (from != lines + i * block) std::copy(from, from + n, lines + i * block);
    }
    for (int64_t i = 0; i < s.channels; ++i) {
      std::fill(sums, sums + n, T{0});
      const int64_t last = after < s.channels - i ? i + after + 1 : s.channels;
      for (int64_t j = i > before ? i - before : 0; j < last; ++j)
        for (int64_t k = 0; k < n; ++k) sums[k] += lines[j * block + k] * lines[j * block + k];
      negative_power(sums, n, factor, static_cast<T>(p.bias), static_cast<T>(p.beta));
      for (int64_t k = 0; k < n; ++k) sums[k] *= lines[i * block + k];
      T* to = target<T>(y, first + i * s.inner, sums);
      if (to != sums) std::copy(sums, sums + n, to);
      write<T>(y, first + i * s.inner, n, to);
    }
  });
}

void run(RunContext& c) {
  if (c.in(0).count() == 0) return;
  if (c.in(0).dtype == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

}  // namespace

OUTPOST_DEFINE_OP(LRN, .name = "LRN", .since = 13, .doc = "Local response normalisation across channels",
                  .infer = infer, .run = run, .prepare = prepare, .scratch = scratch, .in_place = {{0, 0}},
                  .cases = R"(
  size=3 | f32[2,5,3,4]
  size=2 alpha=0.5 beta=0.5 bias=2.0 | f32[1,4,6]
  size=9 alpha=1.0 | f32[1,4,3,3]
)");

}  // namespace outpost
