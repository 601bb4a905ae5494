// Speed of the CPU kernels on one thread: GFLOP/s (or GB/s) and the percentage of an independent measure of the peak,
// a loop of fused multiply-adds that touches no memory. Minimum CPU time of repeated runs.
//   kernels_bench [family] [isa]        families: gemm, vec, reduce, conv, pool, move; default: all, the best set
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace {

using namespace outpost::kernels;

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// Minimum over batches of about 0.5 ms each, for about 0.3 s.
template <class F>
double seconds(F run) {
  run();
  int64_t repeats = 1;
  double best = 1e30, total = 0;
  while (total < 0.3) {
    const double start = cpu_seconds();
    for (int64_t i = 0; i < repeats; ++i) run();
    const double took = cpu_seconds() - start;
    total += took;
    if (took < 0.0003 && repeats < (1 << 22)) repeats *= 2;
    else best = std::min(best, took / double(repeats));
  }
  return best;
}

#if defined(__x86_64__)
#define PEAK_LOOP(name, isa, bytes)                                           \
  __attribute__((target(isa), noinline)) float name(int64_t n) {             \
    typedef float V __attribute__((vector_size(bytes)));                      \
    V s0 = {1}, s1 = {2}, s2 = {3}, s3 = {4}, s4 = {5}, s5 = {6};             \
    V s6 = {7}, s7 = {8}, s8 = {9}, s9 = {10};                                \
    const V x = V{} + 0.999f, y = V{} + 1e-3f;                                \
    for (int64_t i = 0; i < n; ++i) {                                         \
      s0 = s0 * x + y, s1 = s1 * x + y, s2 = s2 * x + y, s3 = s3 * x + y;     \
      s4 = s4 * x + y, s5 = s5 * x + y, s6 = s6 * x + y, s7 = s7 * x + y;     \
      s8 = s8 * x + y, s9 = s9 * x + y;                                       \
    }                                                                         \
    return (s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9)[0];              \
  }
// The products above must stay fused whatever the project's flags say.
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
PEAK_LOOP(peak_avx2, "avx2,fma", 32)
PEAK_LOOP(peak_avx512, "avx512f", 64)
#pragma GCC pop_options
#endif

volatile float sink;

double peak_gflops() {
#if defined(__x86_64__)
  const int width = kernels().vector_bytes;
  if (width >= 32) {
    const auto loop = width == 64 ? peak_avx512 : peak_avx2;
    const double took = seconds([&] { sink = loop(20000); });
    return 20000.0 * 10 * 2 * (width / 4) / took * 1e-9;
  }
#endif
  return 0;
}

double peak = 0;

void report(const std::string& name, double flops, double bytes, double took) {
  std::printf("%-44s %10.2f us", name.c_str(), took * 1e6);
  if (flops > 0) std::printf(" %8.1f GFLOP/s", flops / took * 1e-9);
  if (flops > 0 && peak > 0) std::printf(" %5.1f %%", flops / took * 1e-7 / peak);
  if (bytes > 0) std::printf(" %8.1f GB/s", bytes / took * 1e-9);
  std::printf("\n");
}

struct Memory {
  std::vector<float> storage;
  explicit Memory(size_t bytes) : storage(bytes / 4 + 32, 0.5f) {}
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t(63)); }
};

void gemm_case(int64_t m, int64_t n, int64_t k, bool packed, bool b_transposed = false, bool a_transposed = false) {
  std::vector<float> a(m * k, 0.25f), b(k * n, 0.5f), c(m * n);
  Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .a_row_stride = a_transposed ? 1 : k,
         .a_column_stride = a_transposed ? m : 1, .b = b.data(), .b_row_stride = b_transposed ? 1 : n,
         .b_column_stride = b_transposed ? k : 1, .c = c.data(), .c_row_stride = n};
  Memory pack(kernels().gemm_pack_b_bytes(g));
  if (packed) kernels().gemm_pack_b(g, pack.data()), g.packed_b = pack.data();
  Memory scratch(kernels().gemm_scratch_bytes(g));
  const int64_t tiles = kernels().gemm_tiles(g);
  const double took = seconds([&] { kernels().gemm(g, 0, tiles, scratch.data()); });
  char name[100];
  std::snprintf(name, sizeof name, "gemm %ldx%ldx%ld%s%s%s (%ld tiles)", long(m), long(n), long(k),
                packed ? " packed" : "", b_transposed ? " B^T" : "", a_transposed ? " A^T" : "", long(tiles));
  report(name, 2.0 * double(m) * double(n) * double(k), m < 4 ? 4.0 * double(k) * double(n) : 0, took);
}

void gemm() {
  gemm_case(1024, 1024, 1024, true);
  gemm_case(1024, 1024, 1024, false);
  gemm_case(1024, 1024, 1024, false, true);
  gemm_case(1024, 1024, 1024, true, false, true);
  gemm_case(1000, 1000, 1000, true);
  for (bool packed : {true, false}) {
    gemm_case(128, 768, 768, packed);
    gemm_case(128, 3072, 768, packed);
    gemm_case(128, 768, 3072, packed);
    gemm_case(128, 384, 384, packed);
  }
  gemm_case(128, 128, 64, false, true);  // attention scores, values
  gemm_case(128, 64, 128, false);
  gemm_case(197, 197, 64, false, true);
  gemm_case(197, 64, 197, false);
  for (int64_t s : {4, 8, 16, 32, 64, 128}) gemm_case(s, s, s, false), gemm_case(s, s, s, true);
  for (int64_t m : {1, 2, 3, 4, 8}) {
    gemm_case(m, 1024, 1024, true);
    gemm_case(m, 1024, 1024, false);
    gemm_case(m, 1024, 1024, false, true);
  }
  gemm_case(1, 32, 32, true);
  gemm_case(1, 32, 32, false);
  gemm_case(1, 4096, 4096, true);
  gemm_case(1024, 1, 1024, false);
  gemm_case(1024, 4, 1024, false);
  gemm_case(1, 10, 64, true);
}

void vec() {
  for (int64_t n : {int64_t(32), int64_t(4096), int64_t(4) << 20}) {
    std::vector<float> x(n, 0.7f), y(n), z(n, 0.3f);
    const char* names[] = {"relu",      "leaky",        "negate",    "absolute",   "square",   "sqrt",
                           "rsqrt",     "reciprocal",   "exp",       "log",        "tanh",     "sigmoid",
                           "erf",       "gelu_erf",     "gelu_tanh", "silu",       "softplus", "softsign",
                           "hardswish", "hard_sigmoid", "elu",       "celu",       "selu",     "mish",
                           "clip",      "floor",        "ceil",      "round_even", "sin",      "cos"};
    for (int f = 0; f < int(Unary::count); ++f) {
      const double took = seconds([&] { kernels().unary[f](x.data(), y.data(), n, 0.1f, 1.0f); });
      report(std::string(names[f]) + " n=" + std::to_string(n), 0, 8.0 * double(n), took);
    }
    const double took = seconds([&] { kernels().binary[0](x.data(), 1, z.data(), 1, y.data(), n); });
    report("add n=" + std::to_string(n), 0, 12.0 * double(n), took);
  }
}

struct Family {
  const char* name;
  void (*run)();
};
const Family families[] = {{"gemm", gemm}, {"vec", vec}};

}  // namespace

int main(int count, char** arguments) {
  if (count > 2 && !select_kernels(arguments[2])) return std::fprintf(stderr, "no such instruction set here\n"), 2;
  peak = peak_gflops();
  std::printf("%s, fused multiply-add peak %.1f GFLOP/s\n", kernels().isa, peak);
  for (const Family& family : families)
    if (count < 2 || std::strcmp(arguments[1], "all") == 0 || std::strcmp(arguments[1], family.name) == 0) family.run();
  return 0;
}
