// Speed of the CPU kernels on one thread: GFLOP/s (or GB/s) and the percentage of an independent measure of the peak,
// a loop of fused multiply-adds that touches no memory. Minimum CPU time of repeated runs.
//   kernels_bench [part of a name | all] [isa]      names begin with gemm, unary, binary, reduce, conv, pool, move
#include <algorithm>
#include <array>
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

const char* filter = "";

// Runs and prints one case if its name contains the filter.
template <class F>
void measure(const std::string& name, double flops, double bytes, F run) {
  if (!std::strstr(name.c_str(), filter)) return;
  const double took = seconds(run);
  std::printf("%-50s %10.2f us", name.c_str(), took * 1e6);
  if (flops > 0) std::printf(" %8.1f GFLOP/s", flops / took * 1e-9);
  if (flops > 0 && peak > 0) std::printf(" %5.1f %%", flops / took * 1e-7 / peak);
  if (bytes > 0) std::printf(" %8.1f GB/s", bytes / took * 1e-9);
  std::printf("\n");
  std::fflush(stdout);
}

struct Memory {
  std::vector<float> storage;
  explicit Memory(size_t bytes) : storage(bytes / 4 + 32, 0.5f) {}
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t(63)); }
};

void gemm_case(int64_t m, int64_t n, int64_t k, bool packed, bool b_transposed = false, bool a_transposed = false,
               bool bf16 = false) {
  std::vector<float> a(m * k, 0.25f), b(k * n, 0.5f), c(m * n);
  Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .a_row_stride = a_transposed ? 1 : k,
         .a_column_stride = a_transposed ? m : 1, .b = b.data(), .b_row_stride = b_transposed ? 1 : n,
         .b_column_stride = b_transposed ? k : 1, .c = c.data(), .c_row_stride = n, .allow_bf16 = bf16};
  Memory pack(kernels().gemm_pack_b_bytes(g));
  if (packed) kernels().gemm_pack_b(g, pack.data()), g.packed_b = pack.data();
  Memory scratch(kernels().gemm_scratch_bytes(g));
  const int64_t tiles = kernels().gemm_tiles(g);
  char name[100];
  std::snprintf(name, sizeof name, "gemm %ldx%ldx%ld%s%s%s (%ld tiles)", long(m), long(n), long(k),
                packed ? " packed" : "", b_transposed ? " B^T" : "", a_transposed ? " A^T" : "", long(tiles));
  if (bf16) std::strcat(name, " bf16");
  measure(name, 2.0 * double(m) * double(n) * double(k), m < 4 ? 4.0 * double(k) * double(n) : 0,
          [&] { kernels().gemm(g, 0, tiles, scratch.data()); });
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
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{1024, 1024, 1024}, {128, 768, 768}, {128, 3072, 768}, {128, 768, 3072},
                                {128, 384, 384}, {197, 576, 192}, {197, 768, 192}, {1, 1024, 256}, {1, 1024, 1024}, {4, 1024, 1024}})
    gemm_case(m, n, k, true, false, false, true);
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
    for (int f = 0; f < int(Unary::count); ++f)
      measure("unary " + std::string(names[f]) + " n=" + std::to_string(n), 0, 8.0 * double(n),
              [&] { kernels().unary[f](x.data(), y.data(), n, 0.1f, 1.0f); });
    measure("binary add n=" + std::to_string(n), 0, 12.0 * double(n),
            [&] { kernels().binary[0](x.data(), 1, z.data(), 1, y.data(), n); });
  }
}

void reduce() {
  const int64_t rows = 512, columns = 768, count = rows * columns;
  std::vector<float> x(count, 0.7f), y(count), scale(columns, 1.0f);
  const Kernels& k = kernels();
  for (int f = 0; f < int(Reduce::count); ++f) {
    measure("reduce rows " + std::to_string(f), 0, 4.0 * count,
            [&] { k.reduce_rows[f](x.data(), rows, columns, columns, y.data()); });
    measure("reduce columns " + std::to_string(f), 0, 4.0 * count,
            [&] { k.reduce_columns[f](x.data(), rows, columns, columns, y.data()); });
  }
  measure("reduce argmax rows", 0, 4.0 * count, [&] {
    int64_t at[512];
    k.argmax_rows(x.data(), rows, columns, columns, false, at);
  });
  measure("reduce softmax rows", 0, 8.0 * count, [&] { k.softmax_rows(x.data(), y.data(), rows, columns); });
  measure("reduce softmax columns", 0, 8.0 * count,
          [&] { k.softmax_columns(x.data(), y.data(), rows, columns, columns); });
  measure("reduce layer_norm rows", 0, 8.0 * count, [&] {
    k.layer_norm_rows(x.data(), scale.data(), scale.data(), 1e-5f, y.data(), nullptr, nullptr, rows, columns);
  });
  measure("reduce rms_norm rows", 0, 8.0 * count,
          [&] { k.rms_norm_rows(x.data(), scale.data(), 1e-5f, y.data(), nullptr, rows, columns); });
}

struct ConvCase {
  const char* name;
  int64_t groups, in_channels, out_channels, in, kernel, stride;
  int times;  // in the model
};

void set_window(Window& w, const ConvCase& s, int64_t pad, int64_t out) {
  for (int a = 1; a < 3; ++a)
    w.in[a] = s.in, w.out[a] = out, w.kernel[a] = s.kernel, w.stride[a] = s.stride, w.pad[a] = pad;
}

// Seconds, 0 where the name does not fit the filter.
template <class F>
double measure_conv(const std::string& name, double flops, F run) {
  double took = 0;
  measure(name, flops, 0, [&] {
    const double start = cpu_seconds();
    run();
    const double now = cpu_seconds() - start;
    took = took == 0 ? now : std::min(took, now);
  });
  return took;
}

double conv_case(const ConvCase& s, int64_t pad, int64_t out, double flops) {
  Conv c{.groups = s.groups, .in_channels = s.in_channels, .out_channels = s.out_channels};
  set_window(c.window, s, pad, out);
  const int64_t k = s.in_channels / s.groups * s.kernel * s.kernel;
  std::vector<float> x(s.in_channels * s.in * s.in, 0.25f), w(s.out_channels * k, 0.5f), y(s.out_channels * out * out);
  std::vector<float> bias(s.out_channels);
  c.x = x.data(), c.y = y.data();
  c.epilogue = {.row_bias = bias.data(), .activation = Activation::relu};
  Memory packed(kernels().conv_pack_bytes(c)), scratch(kernels().conv_scratch_bytes(c));
  kernels().conv_pack(c, w.data(), packed.data());
  c.packed_weights = packed.data();
  const int64_t tiles = kernels().conv_tiles(c);
  return measure_conv(std::string("conv ") + s.name + " (" + std::to_string(tiles) + " tiles)", flops,
                      [&] { kernels().conv(c, 0, tiles, scratch.data()); });
}

// The same on channel blocks; few input channels are read planar.
double blocked_conv_case(const ConvCase& s, int64_t pad, int64_t out, double flops) {
  const int64_t block = kernels().vector_bytes / 4;
  BlockedConv c{.groups = s.groups, .in_channels = s.in_channels, .out_channels = s.out_channels};
  c.x_planar = s.in_channels < block;
  set_window(c.window, s, pad, out);
  const int64_t k = s.in_channels / s.groups * s.kernel * s.kernel;
  const int64_t in = c.x_planar ? s.in_channels : channel_blocks(s.in_channels, block) * block;
  const int64_t outputs = channel_blocks(s.out_channels, block) * block;
  Memory x(size_t(in * s.in * s.in) * 4), y(size_t(outputs * out * out) * 4);
  std::vector<float> w(s.out_channels * k, 0.5f), bias(outputs);
  c.x = static_cast<float*>(x.data()), c.y = static_cast<float*>(y.data());
  c.epilogue = {.row_bias = bias.data(), .activation = Activation::relu};
  Memory packed(kernels().conv_blocked_pack_bytes(c)), scratch(kernels().conv_blocked_scratch_bytes(c));
  kernels().conv_blocked_pack(c, w.data(), packed.data());
  c.packed_weights = packed.data();
  const int64_t tiles = kernels().conv_blocked_tiles(c);
  return measure_conv(std::string("conv blocked ") + s.name + " (" + std::to_string(tiles) + " tiles)", flops,
                      [&] { kernels().conv_blocked(c, 0, tiles, scratch.data()); });
}

void conv() {
  const ConvCase cases[] = {
      {"resnet stem", 1, 3, 64, 224, 7, 2, 1},
      {"resnet 56 1x1", 1, 64, 64, 56, 1, 1, 1},
      {"resnet 56 3x3", 1, 64, 64, 56, 3, 1, 3},
      {"resnet 56 1x1 up", 1, 64, 256, 56, 1, 1, 4},
      {"resnet 56 1x1 down", 1, 256, 64, 56, 1, 1, 2},
      {"resnet 56 to 28 1x1", 1, 256, 128, 56, 1, 1, 1},
      {"resnet 56 to 28 3x3", 1, 128, 128, 56, 3, 2, 1},
      {"resnet 28 shortcut", 1, 256, 512, 56, 1, 2, 1},
      {"resnet 28 1x1 up", 1, 128, 512, 28, 1, 1, 4},
      {"resnet 28 1x1 down", 1, 512, 128, 28, 1, 1, 3},
      {"resnet 28 3x3", 1, 128, 128, 28, 3, 1, 3},
      {"resnet 28 to 14 1x1", 1, 512, 256, 28, 1, 1, 1},
      {"resnet 28 to 14 3x3", 1, 256, 256, 28, 3, 2, 1},
      {"resnet 14 shortcut", 1, 512, 1024, 28, 1, 2, 1},
      {"resnet 14 1x1 up", 1, 256, 1024, 14, 1, 1, 6},
      {"resnet 14 1x1 down", 1, 1024, 256, 14, 1, 1, 5},
      {"resnet 14 3x3", 1, 256, 256, 14, 3, 1, 5},
      {"resnet 14 to 7 1x1", 1, 1024, 512, 14, 1, 1, 1},
      {"resnet 14 to 7 3x3", 1, 512, 512, 14, 3, 2, 1},
      {"resnet 7 shortcut", 1, 1024, 2048, 14, 1, 2, 1},
      {"resnet 7 1x1 up", 1, 512, 2048, 7, 1, 1, 3},
      {"resnet 7 1x1 down", 1, 2048, 512, 7, 1, 1, 2},
      {"resnet 7 3x3", 1, 512, 512, 7, 3, 1, 2},
      {"yolo 320 3x3 s2", 1, 16, 32, 320, 3, 2, 1},
      {"yolo 160 3x3", 1, 16, 16, 160, 3, 1, 2},
      {"yolo 80 3x3", 1, 64, 64, 80, 3, 1, 6},
      {"depthwise 112 3x3", 32, 32, 32, 112, 3, 1, 1},
      {"depthwise 56 3x3", 144, 144, 144, 56, 3, 1, 1},
      {"depthwise 56 3x3 s2", 144, 144, 144, 56, 3, 2, 1},
      {"depthwise 14 3x3", 384, 384, 384, 14, 3, 1, 4},
      {"depthwise 7 3x3", 960, 960, 960, 7, 3, 1, 3},
  };
  for (const bool blocked : {false, true}) {
    double total = 0, flops_total = 0;
    for (const ConvCase& s : cases) {
      const int64_t pad = s.kernel / 2, out = (s.in + 2 * pad - s.kernel) / s.stride + 1;
      const double flops = 2.0 * double(s.out_channels * s.in_channels / s.groups * s.kernel * s.kernel * out * out);
      const double took = blocked ? blocked_conv_case(s, pad, out, flops) : conv_case(s, pad, out, flops);
      if (std::strncmp(s.name, "resnet", 6) == 0) total += took * s.times, flops_total += flops * s.times;
    }
    if (total > 0)
      std::printf("the resnet layers above, as often as ResNet-50 has them: %.2f ms, %.1f GFLOP/s, %.1f %% of peak\n",
                  total * 1e3, flops_total / total * 1e-9, flops_total / total * 1e-7 / peak);
  }
}

void pool() {
  const int64_t channels = 64;
  std::vector<float> x(channels * 112 * 112, 0.5f), y(x.size());
  for (const int64_t stride : {1, 2}) {
    Pool p;
    for (int a = 1; a < 3; ++a) {
      p.window.in[a] = 112, p.window.kernel[a] = 3, p.window.stride[a] = stride, p.window.pad[a] = 1;
      p.window.out[a] = (112 - 1) / stride + 1;
    }
    p.x = x.data(), p.y = y.data();
    const double bytes = 4.0 * channels * (112 * 112 + p.window.out[1] * p.window.out[2]);
    const std::string name = " 3x3 stride " + std::to_string(stride);
    measure("pool max" + name, 0, bytes, [&] { kernels().max_pool(p, 0, channels); });
    measure("pool average" + name, 0, bytes, [&] { kernels().average_pool(p, 0, channels); });
  }
}

void move() {
  const int64_t rows = 512, columns = 768;
  std::vector<double> x(rows * columns), y(rows * columns);
  for (const int width : {1, 2, 4, 8})
    measure("move transpose " + std::to_string(width) + " bytes", 0, 2.0 * width * rows * columns,
            [&] { kernels().transpose(width, x.data(), columns, y.data(), rows, rows, columns); });
  const int64_t shape[] = {12, 128, 64}, heads[] = {64, 768, 1}, keys[] = {64, 1, 768}, key_shape[] = {12, 64, 128};
  measure("move heads (128, 12, 64) to (12, 128, 64)", 0, 8.0 * 128 * 768,
          [&] { kernels().gather_strided(4, 3, shape, heads, x.data(), y.data()); });
  measure("move keys (128, 12, 64) to (12, 64, 128)", 0, 8.0 * 128 * 768,
          [&] { kernels().gather_strided(4, 3, key_shape, keys, x.data(), y.data()); });
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 2 && !select_kernels(arguments[2])) return std::fprintf(stderr, "no such instruction set here\n"), 2;
  if (count > 1 && std::strcmp(arguments[1], "all") != 0) filter = arguments[1];
  peak = peak_gflops();
  std::printf("%s, fused multiply-add peak %.1f GFLOP/s\n", kernels().isa, peak);
  for (const auto run : {gemm, vec, reduce, conv, pool, move}) run();
  return 0;
}
