// Convolution and pooling of 8-bit blocks against plain loops over integers: bit for bit on every instruction set, at
// the extremes of codes, weights and zero points, with padding, strides, dilation, groups, residuals and odd sizes.
#include "kernels/kernels_check.h"

#include <cmath>

namespace outpost::kernels {
namespace {

std::vector<uint8_t> random_codes(int64_t n, uint32_t seed, int mode) {
  std::mt19937 generator(seed);
  std::vector<uint8_t> codes(n);
  for (uint8_t& c : codes) c = mode == 0 ? uint8_t(generator() >> 9) : mode == 1 ? 255 : (generator() & 4 ? 255 : 0);
  return codes;
}

struct Problem {
  int64_t batch, in, out, groups, height, width, kernel_h, kernel_w, stride, pad, dilation;
  bool depthwise = false, residual = false;
  int mode = 0;  // 0 random, 1 all extremes of one sign, 2 extremes of both
};

struct Data {
  ConvInt8 conv;
  std::vector<uint8_t> x, y, residual, want;
  std::vector<int8_t> weights;
  std::vector<int32_t> bias;
  std::vector<float> scale;
};

int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

int64_t out_extent(int64_t in, int64_t kernel, const Problem& p) {
  return (in + 2 * p.pad - (kernel - 1) * p.dilation - 1) / p.stride + 1;
}

// The sum of one output element, modulo 2^32.
int32_t sum_at(const Data& d, const Problem& p, int64_t n, int64_t o, int64_t i, int64_t j) {
  const ConvInt8& c = d.conv;
  const int64_t in = p.in / p.groups, group = o / (p.out / p.groups), in_blocks = blocks(p.in, c.block);
  uint32_t sum = uint32_t(d.bias[o]);
  for (int64_t k = 0; k < in; ++k)
    for (int64_t ky = 0; ky < p.kernel_h; ++ky)
      for (int64_t kx = 0; kx < p.kernel_w; ++kx) {
        const int64_t h = i * p.stride + ky * p.dilation - p.pad, v = j * p.stride + kx * p.dilation - p.pad;
        const int64_t channel = group * in + k;
        int code = c.x_zero;
        if (h >= 0 && h < p.height && v >= 0 && v < p.width)
          code = d.x[(((n * in_blocks + channel / c.block) * p.height + h) * p.width + v) * c.block + channel % c.block];
        sum += uint32_t(code * d.weights[((o * in + k) * p.kernel_h + ky) * p.kernel_w + kx]);
      }
  return int32_t(sum);
}

uint8_t code_of(const Requantise& q, int32_t sum, float scale, uint8_t residual) {
  auto clip = [](float v, float low, float high) { return std::min(std::max(v, low), high); };
  float v = std::nearbyint(clip(float(sum) * scale, q.low, q.high));
  if (q.residual) {
    volatile float own = v * q.own, other = float(residual) * q.other, both = own + other;  // each rounded by itself
    v = std::nearbyint(clip(both + q.offset, q.sum_low, q.sum_high));
  }
  return uint8_t(int(v) + q.zero);
}

Data make(const Problem& p) {
  Data d;
  ConvInt8& c = d.conv;
  c = ConvInt8{.batch = p.batch, .groups = p.groups, .in_channels = p.in, .out_channels = p.out};
  c.block = p.in <= 4 && !p.depthwise ? 4 : 16;
  Window& w = c.window;
  w.in[1] = p.height, w.in[2] = p.width, w.kernel[1] = p.kernel_h, w.kernel[2] = p.kernel_w;
  for (int i = 1; i < 3; ++i) w.stride[i] = p.stride, w.pad[i] = p.pad, w.dilation[i] = p.dilation;
  w.out[1] = out_extent(p.height, p.kernel_h, p), w.out[2] = out_extent(p.width, p.kernel_w, p);
  c.x_zero = p.mode == 0 ? 117 : p.mode == 1 ? 255 : 0;
  const int64_t taps = p.in / p.groups * p.kernel_h * p.kernel_w, positions = w.out[1] * w.out[2];
  d.x = random_codes(p.batch * blocks(p.in, c.block) * c.block * p.height * p.width, 1, p.mode);
  d.weights.resize(p.out * taps);
  const std::vector<uint8_t> bits = random_codes(p.out * taps, 2, p.mode);
  for (size_t i = 0; i < bits.size(); ++i)
    d.weights[i] = p.mode == 0 ? int8_t(bits[i]) : p.mode == 1 ? int8_t(-128) : int8_t(bits[i] ? 127 : -128);
  const int64_t whole = blocks(p.out, 16) * 16;
  d.bias.resize(whole), d.scale.resize(whole);
  std::mt19937 generator(3);
  for (int64_t o = 0; o < p.out; ++o) {
    d.bias[o] = p.mode == 2 && o % 3 == 0 ? INT32_MAX - 5 : int32_t(generator() % 20001) - 10000;
    d.scale[o] = (p.mode == 1 ? 0x1p-6f : 90.0f / (std::sqrt(float(taps)) * 9000)) * (1 + float(generator() % 100) / 50);
  }
  d.y.assign(p.batch * whole * positions, 3), d.want = d.y;
  if (p.residual) d.residual = random_codes(static_cast<int64_t>(d.y.size()), 4, 0);
  Requantise& q = c.requantise;
  q = Requantise{.bias = d.bias.data(), .scale = d.scale.data(), .low = -120, .high = 99, .zero = 131, .fits = p.mode == 0};
  if (p.residual) {
    q.residual = d.residual.data(), q.own = 0.71f, q.other = 0.53f, q.offset = -0.53f * 119;
    q.sum_low = 0, q.sum_high = 200, q.zero = 20;
  }
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t o = 0; o < p.out; ++o)
      for (int64_t i = 0; i < positions; ++i) {
        const int64_t at = ((n * blocks(p.out, 16) + o / 16) * positions + i) * 16 + o % 16;
        const int32_t sum = sum_at(d, p, n, o, i / w.out[2], i % w.out[2]);
        d.want[at] = code_of(q, sum, d.scale[o], p.residual ? d.residual[at] : 0);
      }
  return d;
}

// Every tile by itself, from the last to the first, with scratch full of rubbish.
std::vector<uint8_t> run(const Kernels& table, const Problem& p, const Data& d) {
  const Int8Kernels& k = table.int8;
  ConvInt8 c = d.conv;
  std::vector<uint8_t> y = d.y;
  std::vector<uint8_t> packed(p.depthwise ? k.depthwise_pack_bytes(c) : k.conv_pack_bytes(c));
  (p.depthwise ? k.depthwise_pack : k.conv_pack)(c, d.weights.data(), packed.data());
  std::vector<uint8_t> scratch((p.depthwise ? k.depthwise_scratch_bytes : k.conv_scratch_bytes)(c) + 64, 0xcd);
  c.packed_weights = packed.data(), c.x = d.x.data(), c.y = y.data();
  for (int64_t i = (p.depthwise ? k.depthwise_tiles : k.conv_tiles)(c); i-- > 0;)
    (p.depthwise ? k.depthwise : k.conv)(c, i, i + 1, scratch.data());
  return y;
}

void check(const Problem& p) {
  const Data d = make(p);
  for (const Kernels* table : all_tables()) {
    const std::vector<uint8_t> y = run(*table, p, d);
    const int64_t positions = d.conv.window.out[1] * d.conv.window.out[2], out_blocks = blocks(p.out, 16);
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t channel = int64_t(i) / 16 / positions % out_blocks * 16 + int64_t(i) % 16;
      if (channel < p.out)
        ASSERT_EQ(int(y[i]), int(d.want[i])) << table->isa << " channel " << channel << " position " << i / 16 % positions
                                             << " of " << p.in << "->" << p.out << " " << p.height << "x" << p.width
                                             << " kernel " << p.kernel_h << "x" << p.kernel_w << " stride " << p.stride
                                             << " pad " << p.pad << " mode " << p.mode;
    }
  }
}

TEST(ConvInt8, IsExact) {
  for (int mode = 0; mode < 3; ++mode)
    for (const bool residual : {false, true}) {
      for (const Problem& p : {
               Problem{1, 16, 16, 1, 5, 5, 1, 1, 1, 0, 1}, {2, 40, 24, 1, 7, 7, 1, 1, 1, 0, 1},
               {1, 64, 96, 1, 14, 15, 1, 1, 1, 0, 1}, {1, 33, 80, 1, 9, 11, 1, 1, 2, 0, 1},
               {1, 32, 64, 1, 7, 7, 3, 3, 1, 1, 1}, {2, 20, 20, 1, 17, 13, 3, 3, 2, 1, 1},
               {1, 16, 16, 1, 9, 9, 3, 3, 1, 2, 2}, {1, 3, 64, 1, 20, 22, 7, 7, 2, 3, 1},
               {1, 3, 32, 1, 11, 10, 3, 3, 2, 1, 1}, {2, 1, 5, 1, 6, 6, 5, 5, 1, 2, 1}, {1, 4, 17, 1, 8, 8, 1, 1, 1, 0, 1},
               {1, 64, 64, 2, 6, 6, 3, 3, 1, 1, 1}, {1, 16, 48, 1, 30, 3, 3, 2, 3, 1, 1}, {1, 48, 16, 1, 8, 8, 3, 3, 1, 0, 1},
               {1, 300, 200, 1, 1, 1, 1, 1, 1, 0, 1}, {1, 16, 32, 1, 1, 61, 1, 5, 1, 0, 1}}) {
        if (p.kernel_h > p.height + 2 * p.pad) continue;
        Problem q = p;
        q.mode = mode, q.residual = residual;
        check(q);
        if (HasFatalFailure()) return;
      }
    }
}

TEST(ConvInt8, DepthwiseIsExact) {
  for (int mode = 0; mode < 3; ++mode)
    for (const bool residual : {false, true})
      for (const Problem& p : {Problem{1, 16, 16, 16, 8, 8, 3, 3, 1, 1, 1}, {2, 40, 40, 40, 15, 13, 3, 3, 2, 1, 1},
                               {1, 16, 16, 16, 9, 9, 5, 5, 1, 2, 1}, {1, 20, 20, 20, 12, 12, 5, 5, 2, 2, 1},
                               {1, 16, 16, 16, 9, 10, 3, 3, 1, 2, 2}, {1, 16, 16, 16, 5, 6, 1, 1, 1, 0, 1},
                               {1, 32, 32, 32, 40, 67, 3, 3, 1, 1, 1}, {1, 16, 16, 16, 9, 31, 2, 9, 3, 4, 1}}) {
        Problem q = p;
        q.depthwise = true, q.mode = mode, q.residual = residual;
        check(q);
        if (HasFatalFailure()) return;
      }
}

TEST(ConvInt8, PoolsBlocks) {
  const std::vector<uint8_t> x = random_codes(3 * 9 * 8 * 16, 5, 0);
  for (const Kernels* table : all_tables()) {
    PoolInt8 p{.blocks = 3, .x = x.data()};
    Window& w = p.window;
    w.in[1] = 9, w.in[2] = 8, w.out[1] = 5, w.out[2] = 4;
    for (int i = 1; i < 3; ++i) w.kernel[i] = 3, w.stride[i] = 2, w.pad[i] = 1;
    std::vector<uint8_t> y(3 * 5 * 4 * 16);
    p.y = y.data();
    table->int8.max_pool(p, 0, 3);
    for (int64_t i = 0; i < int64_t(y.size()); ++i) {
      const int64_t lane = i % 16, column = i / 16 % 4, row = i / 64 % 5, block = i / 320;
      int best = 0;
      for (int64_t h = std::max<int64_t>(0, row * 2 - 1); h < std::min<int64_t>(9, row * 2 + 2); ++h)
        for (int64_t v = std::max<int64_t>(0, column * 2 - 1); v < std::min<int64_t>(8, column * 2 + 2); ++v)
          best = std::max<int>(best, x[((block * 9 + h) * 8 + v) * 16 + lane]);
      ASSERT_EQ(int(y[i]), best) << table->isa;
    }
    std::vector<int32_t> sums(48);
    table->int8.sum_blocks(x.data(), 72, 0, 3, sums.data());
    for (int64_t i = 0; i < 48; ++i) {
      int sum = 0;
      for (int64_t at = 0; at < 72; ++at) sum += x[(i / 16 * 72 + at) * 16 + i % 16];
      ASSERT_EQ(sums[i], sum) << table->isa;
    }
  }
}

}  // namespace
}  // namespace outpost::kernels
