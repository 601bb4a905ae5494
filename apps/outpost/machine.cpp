// Independent chains of fused multiply-adds, one loop per register width; sums over a buffer larger than any cache.
// Every thread works on its own; the best of a few short rounds counts.
#include "machine.h"

#include <time.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace outpost::cli {
namespace {

constexpr int chains = 12;  // enough to cover a latency of 4 to 6 at two a cycle

// A function of `rounds` times `chains` multiply-adds, each chain in a register of its own (from different values: else
// equal chains would be one); returns its flops. The sum is looked at so that nothing is dropped.
#define OUTPOST_PEAK_LOOP(function, attribute, V, splat, multiply_add) \
  attribute double function(long rounds) { \
    const V a = splat(0.999f), b = splat(0.001f); \
    V s0 = splat(0.f), s1 = splat(1.f), s2 = splat(2.f), s3 = splat(3.f), s4 = splat(4.f), s5 = splat(5.f); \
    V s6 = splat(6.f), s7 = splat(7.f), s8 = splat(8.f), s9 = splat(9.f), s10 = splat(10.f), s11 = splat(11.f); \
    for (long r = 0; r < rounds; ++r) { \
      s0 = multiply_add(s0, a, b), s1 = multiply_add(s1, a, b), s2 = multiply_add(s2, a, b); \
      s3 = multiply_add(s3, a, b), s4 = multiply_add(s4, a, b), s5 = multiply_add(s5, a, b); \
      s6 = multiply_add(s6, a, b), s7 = multiply_add(s7, a, b), s8 = multiply_add(s8, a, b); \
      s9 = multiply_add(s9, a, b), s10 = multiply_add(s10, a, b), s11 = multiply_add(s11, a, b); \
    } \
    const V sums[chains] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11}; \
    volatile float sink = 0; \
    for (const V& v : sums) sink = sink + *reinterpret_cast<const float*>(&v); \
    return 2.0 * static_cast<double>(rounds) * chains * (sizeof(V) / sizeof(float)); \
  }

#if defined(__x86_64__)
#define OUTPOST_SSE_ADD(s, a, b) _mm_add_ps(_mm_mul_ps(s, a), b)
OUTPOST_PEAK_LOOP(loop_avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps, _mm512_fmadd_ps)
OUTPOST_PEAK_LOOP(loop_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, _mm256_fmadd_ps)
OUTPOST_PEAK_LOOP(loop_generic, , __m128, _mm_set1_ps, OUTPOST_SSE_ADD)
#elif defined(__aarch64__)
#define OUTPOST_NEON_ADD(s, a, b) vfmaq_f32(b, s, a)
OUTPOST_PEAK_LOOP(loop_generic, , float32x4_t, vdupq_n_f32, OUTPOST_NEON_ADD)
#else
#define OUTPOST_SAME(x) (x)
#define OUTPOST_PLAIN_ADD(s, a, b) ((s) * (a) + (b))
OUTPOST_PEAK_LOOP(loop_generic, , float, OUTPOST_SAME, OUTPOST_PLAIN_ADD)
#endif

using Loop = double (*)(long);

Loop loop_of_kernels() {
#if defined(__x86_64__)
  const std::string_view isa = kernels::kernels().isa;
  if (isa.starts_with("avx512")) return loop_avx512;
  if (isa.starts_with("avx2")) return loop_avx2;
#endif
  return loop_generic;
}

// The processor time of this thread: what other programs take does not count.
double processor_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Of all threads together, each at its best round: work(thread) returns what it did.
template <class F>
double rate(int threads, int rounds, F work) {
  std::vector<double> best(static_cast<size_t>(threads));
  for (int r = 0; r < rounds; ++r)
    ThreadPool::process().run(threads, threads, [&](int64_t t) {
      const double begin = processor_seconds(), done = work(static_cast<size_t>(t));
      double& mine = best[static_cast<size_t>(t)];
      mine = std::max(mine, done / std::max(1e-9, processor_seconds() - begin));
    });
  return std::accumulate(best.begin(), best.end(), 0.0);
}

}  // namespace

MachinePeaks measure_machine(int threads) {
  const Loop loop = loop_of_kernels();
  MachinePeaks peaks;
  peaks.gflops = rate(threads, 12, [&](size_t) { return loop(400'000); }) / 1e9;
  const std::vector<uint64_t> memory((size_t{128} << 20) / sizeof(uint64_t), 1);
  const size_t part = memory.size() / static_cast<size_t>(threads);
  peaks.gigabytes_second = rate(threads, 4, [&](size_t t) {
    uint64_t sums[8] = {};
    const uint64_t* from = memory.data() + t * part;
    for (size_t i = 0; i + 8 <= part; i += 8)
      for (size_t k = 0; k < 8; ++k) sums[k] += from[i + k];
    volatile uint64_t sink = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
    (void)sink;
    return static_cast<double>(part * sizeof(uint64_t));
  }) / 1e9;
  return peaks;
}

}  // namespace outpost::cli
