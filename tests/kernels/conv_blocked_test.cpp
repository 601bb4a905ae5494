// Convolution and pooling on channel blocks against plain loops in double: odd channels, groups, depthwise, planar x,
// strides, dilations, pads (also negative and uneven), epilogues; padding lanes; and that tiles may be run in any grouping.
#include "kernels/kernels_check.h"

#include <bit>
#include <cstring>
#include <string_view>

namespace outpost::kernels {
namespace {

struct Shape {
  const char* name;
  int64_t batch, groups, in_channels, out_channels;  // channels of grouped shapes are scaled by the lanes
  int64_t in[2], kernel[2], stride[2], dilation[2], pad[2], pad_end[2];
  bool planar = false;
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list{
      {"pointwise", 2, 1, 13, 31, {9, 11}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"pointwise, many", 1, 1, 100, 130, {24, 24}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"pointwise, long", 1, 1, 700, 10, {7, 7}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"pointwise, strided", 1, 1, 24, 40, {14, 15}, {1, 1}, {2, 2}, {1, 1}, {0, 0}, {0, 0}},
      {"pointwise, padded", 1, 1, 24, 40, {5, 6}, {1, 1}, {1, 1}, {1, 1}, {1, 2}, {0, 1}},
      {"3x3", 1, 1, 5, 7, {12, 19}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"3x3, deep", 1, 1, 80, 150, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"3x3, valid", 2, 1, 33, 48, {13, 9}, {3, 3}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"3x3 stride 2", 1, 1, 17, 65, {15, 31}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {0, 1}},
      {"large", 1, 1, 40, 100, {34, 44}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"wide rows", 1, 1, 48, 16, {3, 500}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"stride 3, dilation 2", 2, 1, 4, 6, {20, 23}, {3, 2}, {3, 3}, {2, 2}, {2, 1}, {0, 3}},
      {"uneven pads", 1, 1, 3, 5, {10, 10}, {2, 5}, {1, 2}, {1, 1}, {0, 4}, {3, 1}},
      {"negative pads", 1, 1, 3, 5, {10, 12}, {3, 3}, {1, 1}, {1, 1}, {-1, -2}, {0, -1}},
      {"pads beyond the kernel", 1, 1, 2, 3, {4, 4}, {3, 3}, {1, 1}, {1, 1}, {6, 6}, {6, 6}},
      {"one position", 1, 1, 20, 40, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"one row", 1, 1, 20, 1, {1, 50}, {1, 3}, {1, 1}, {1, 1}, {0, 1}, {0, 1}},
      {"huge stride", 1, 1, 20, 20, {9, 9}, {3, 3}, {1000000, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"huge pad", 1, 1, 3, 3, {2, 2}, {2, 2}, {4000, 4000}, {1, 1}, {5000, 5000}, {0, 0}},
      {"no positions", 1, 1, 3, 4, {2, 0}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"no input channels", 1, 1, 0, 4, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"groups", 2, 3, 1, 2, {8, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"groups, pointwise", 1, 2, 2, 3, {8, 9}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"depthwise", 2, 11, 0, 0, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"depthwise 40", 1, 40, 0, 0, {7, 30}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"depthwise 5x5", 1, 33, 0, 0, {13, 20}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}},
      {"depthwise 5x5 stride 2", 1, 20, 0, 0, {9, 27}, {5, 5}, {2, 2}, {1, 1}, {2, 2}, {2, 1}},
      {"depthwise 5x5, narrow", 1, 20, 0, 0, {6, 3}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}},
      {"depthwise 3x5, valid", 1, 20, 0, 0, {6, 9}, {3, 5}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {"depthwise 3x3, narrow", 1, 20, 0, 0, {3, 2}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"depthwise 3x3, one column", 1, 20, 0, 0, {3, 1}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"depthwise stride 2, even", 1, 20, 0, 0, {8, 16}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
      {"depthwise stride 2", 1, 20, 0, 0, {15, 31}, {3, 3}, {2, 2}, {1, 1}, {0, 1}, {1, 1}},
      {"depthwise stride 3", 1, 5, 0, 0, {15, 31}, {3, 3}, {3, 3}, {2, 2}, {0, 1}, {1, 1}},
      {"depthwise, negative pads", 1, 3, 0, 0, {12, 12}, {3, 3}, {1, 1}, {1, 1}, {-1, -2}, {-1, 3}},
      {"depthwise, far pads", 1, 3, 0, 0, {2, 2}, {3, 3}, {1, 1}, {1, 1}, {5, 5}, {5, 5}},
      {"planar stem", 1, 1, 3, 40, {33, 47}, {7, 7}, {2, 2}, {1, 1}, {3, 3}, {3, 3}, true},
      {"planar 3x3", 2, 1, 3, 16, {20, 21}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, true},
      {"planar patches", 1, 1, 3, 50, {48, 64}, {16, 16}, {16, 16}, {1, 1}, {0, 0}, {0, 0}, true},
      {"planar, one channel", 1, 1, 1, 8, {28, 28}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, true},
      {"planar, dilated", 1, 1, 4, 20, {18, 20}, {3, 3}, {1, 1}, {2, 3}, {2, 1}, {2, 1}, true},
      {"planar, huge stride", 1, 1, 4, 20, {18, 20}, {3, 3}, {1, 1000}, {2, 3}, {2, 1}, {2, 1}, true},
  };
  return list;
}

int64_t plane(const int64_t (&v)[3]) { return v[1] * v[2]; }

BlockedConv conv_of(Shape s, int64_t lanes) {
  if (s.groups > 1 && s.in_channels == 0) s.in_channels = s.out_channels = s.groups;
  else if (s.groups > 1) s.in_channels *= s.groups * lanes, s.out_channels *= s.groups * lanes;
  BlockedConv c{.batch = s.batch, .groups = s.groups, .in_channels = s.in_channels, .out_channels = s.out_channels};
  c.x_planar = s.planar;
  for (int a = 0; a < 2; ++a) {
    Window& w = c.window;
    w.in[a + 1] = s.in[a], w.kernel[a + 1] = s.kernel[a], w.stride[a + 1] = s.stride[a];
    w.dilation[a + 1] = s.dilation[a], w.pad[a + 1] = s.pad[a];
    w.out[a + 1] = (s.in[a] + s.pad[a] + s.pad_end[a] - (s.kernel[a] - 1) * s.dilation[a] - 1) / s.stride[a] + 1;
    if (s.in[a] == 0) w.out[a + 1] = 0;
  }
  return c;
}

// (batch, channels, positions) as blocks, padding lanes holding `filler`.
std::vector<float> blocked(const std::vector<float>& x, int64_t batch, int64_t channels, int64_t positions, int64_t lanes,
                           float filler) {
  const int64_t blocks = channel_blocks(channels, lanes);
  std::vector<float> y(batch * blocks * positions * lanes, filler);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t p = 0; p < positions; ++p)
        y[((n * blocks + c / lanes) * positions + p) * lanes + c % lanes] = x[(n * channels + c) * positions + p];
  return y;
}

struct Expected {
  std::vector<double> sum, magnitude;
};

Expected reference(const BlockedConv& c, const std::vector<float>& x, const std::vector<float>& w) {
  const Window& v = c.window;
  const int64_t in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups, taps = plane(v.kernel);
  Expected e;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t o = 0; o < c.out_channels; ++o)
      for (int64_t p = 0; p < plane(v.out); ++p) {
        double sum = 0, magnitude = 0;
        for (int64_t k = 0; k < in_group * taps; ++k) {
          const int64_t i = o / out_group * in_group + k / taps;
          const int64_t h = p / v.out[2] * v.stride[1] + k % taps / v.kernel[2] * v.dilation[1] - v.pad[1];
          const int64_t u = p % v.out[2] * v.stride[2] + k % v.kernel[2] * v.dilation[2] - v.pad[2];
          if (h < 0 || h >= v.in[1] || u < 0 || u >= v.in[2]) continue;
          const double term = double(x[((n * c.in_channels + i) * v.in[1] + h) * v.in[2] + u]) * w[o * in_group * taps + k];
          sum += term, magnitude += std::fabs(term);
        }
        e.sum.push_back(sum), e.magnitude.push_back(magnitude);
      }
  return e;
}

void* aligned(std::vector<std::byte>& memory) {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
}

void run_tiles(const Kernels& table, const BlockedConv& c, bool one_by_one) {
  std::vector<std::byte> scratch(table.conv_blocked_scratch_bytes(c) + 64, std::byte{0xff});
  const int64_t tiles = table.conv_blocked_tiles(c);
  if (!one_by_one) return table.conv_blocked(c, 0, tiles, aligned(scratch));
  for (int64_t i = tiles; i-- > 0;) {
    std::fill(scratch.begin(), scratch.end(), std::byte{0xff});
    table.conv_blocked(c, i, i + 1, aligned(scratch));
  }
}

double activated(double v, Activation a) {
  switch (a) {
    case Activation::relu: return std::max(0.0, v);
    case Activation::clip: return std::clamp(v, -0.5, 1.5);
    case Activation::silu: return v / (1 + std::exp(-v));
    default: return v;
  }
}

// The same convolution over other extents: weights are packed once for all shapes.
BlockedConv elsewhere(BlockedConv c) {
  c.batch = 3;
  for (int a = 1; a < 3; ++a) c.window.in[a] = c.window.out[a] = 5, c.window.pad[a] = 0, c.window.stride[a] = 1;
  return c;
}

struct Data {
  std::vector<float> planar, w;
  Expected e;
  // `halves`: values that bf16 holds exactly.
  explicit Data(const BlockedConv& c, bool halves = false)
      : planar(random_floats(c.batch * c.in_channels * plane(c.window.in), 1)),
        w(random_floats(c.out_channels * (c.in_channels / c.groups) * plane(c.window.kernel), 2)) {
    for (std::vector<float>* values : {&planar, &w})
      for (float& v : *values)
        if (halves) v = std::bit_cast<float>(std::bit_cast<uint32_t>(v) & 0xffff0000);
    e = reference(c, planar, w);
  }
};

void check(const Kernels& table, const Shape& s, const Data& data, bool extras, Activation activation,
           BlockedAlgorithm algorithm = BlockedAlgorithm::direct) {
  const int64_t lanes = table.vector_bytes / 4;
  BlockedConv c = conv_of(s, lanes);
  c.algorithm = algorithm;
  const std::vector<float>& planar = data.planar;
  const Expected& e = data.e;
  const int64_t positions = plane(c.window.out), blocks = channel_blocks(c.out_channels, lanes);
  const int64_t in = plane(c.window.in), count = c.batch * blocks * positions * lanes;
  std::vector<float> bias = random_floats(c.out_channels, 3), residual = random_floats(c.batch * c.out_channels * positions, 4);
  const std::vector<float> x = s.planar ? planar : blocked(planar, c.batch, c.in_channels, in, lanes, 7);
  bias.resize(blocks * lanes);
  const std::vector<float> added = blocked(residual, c.batch, c.out_channels, positions, lanes, 9);
  std::vector<std::byte> packed(table.conv_blocked_pack_bytes(c) + 64);
  table.conv_blocked_pack(elsewhere(c), data.w.data(), aligned(packed));
  c.packed_weights = aligned(packed);
  c.x = x.data();
  c.epilogue = {.activation = activation, .low = -0.5f, .high = 1.5f};
  // The residual is the output's own memory in one of the two runs.
  std::vector<float> y(added), again(count, 55.0f);
  y.push_back(55.0f), again.push_back(55.0f);
  if (extras) c.epilogue.row_bias = bias.data(), c.epilogue.residual = y.data(), c.epilogue.residual_scale = 0.5;
  c.y = y.data(), run_tiles(table, c, false);
  if (extras) c.epilogue.residual = added.data();
  c.y = again.data(), run_tiles(table, c, true);
  ASSERT_EQ(std::memcmp(y.data(), again.data(), y.size() * 4), 0) << table.isa << " " << s.name << " depends on the grouping";
  EXPECT_EQ(y[count], 55.0f);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t channel = i / positions / lanes % blocks * lanes + i % lanes, n = i / positions / lanes / blocks;
    if (channel >= c.out_channels) {
      EXPECT_EQ(y[i], 0.0f);
      continue;
    }
    const int64_t at = (n * c.out_channels + channel) * positions + i / lanes % positions;
    const double want = e.sum[at] + (extras ? bias[channel] + 0.5 * residual[at] : 0);
    ASSERT_NEAR(y[i], activated(want, activation), 1e-6 * (e.magnitude[at] + 2)) << table.isa << " " << s.name << " at " << i;
  }
}

TEST(BlockedConvolution, MatchesPlainLoops) {
  for (const Shape& s : shapes())
    for (const Kernels* table : all_tables()) {
      const Data data(conv_of(s, table->vector_bytes / 4));
      check(*table, s, data, false, Activation::clip);
      check(*table, s, data, true, Activation::relu);
      check(*table, s, data, true, Activation::silu);
      if (HasFatalFailure()) return;
    }
}

// Where a table has products of bf16: values it holds exactly give the exact sums; others are rounded to 8 bits.
TEST(BlockedConvolution, Bf16MatchesPlainLoops) {
  for (const Kernels* table : all_tables()) {
    int found = 0;
    for (const Shape& s : shapes()) {
      BlockedConv c = conv_of(s, table->vector_bytes / 4);
      c.bf16 = true;
      if (table->conv_blocked_algorithm(c) != BlockedAlgorithm::bf16) continue;
      ++found;
      const Data data(c, true);
      check(*table, s, data, false, Activation::clip, BlockedAlgorithm::bf16);
      check(*table, s, data, true, Activation::silu, BlockedAlgorithm::bf16);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(found > 10, std::string_view(table->isa) == "avx512bf16") << table->isa << " " << found;
  }
}

// Infinity in a real channel must not reach others through the padding lanes.
TEST(BlockedConvolution, PaddingLanesStayFinite) {
  for (const Kernels* table : all_tables()) {
    const int64_t lanes = table->vector_bytes / 4;
    BlockedConv c{.in_channels = 1, .out_channels = 1};
    std::vector<float> x(lanes, 0.0f), y(lanes, nan), w{1.0f};
    x[0] = inf;
    std::vector<std::byte> packed(table->conv_blocked_pack_bytes(c) + 64);
    table->conv_blocked_pack(c, w.data(), aligned(packed));
    c.packed_weights = aligned(packed), c.x = x.data(), c.y = y.data();
    run_tiles(*table, c, false);
    EXPECT_EQ(y[0], inf);
    for (int64_t i = 1; i < lanes; ++i) EXPECT_EQ(y[i], 0.0f);
  }
}

TEST(BlockedPooling, MatchesPlainLoops) {
  struct Case {
    int64_t in[2], kernel[2], stride[2], dilation[2], pad[2], pad_end[2];
    bool include_pad;
  };
  const Case cases[] = {{{12, 19}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false}, {{9, 9}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}, true},
                        {{8, 10}, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, false},  {{11, 12}, {3, 2}, {1, 3}, {2, 3}, {1, 0}, {2, 1}, true},
                        {{7, 7}, {7, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, false}};
  for (const Kernels* table : all_tables())
    for (const Case& k : cases) {
      const int64_t lanes = table->vector_bytes / 4, planes = 3;
      Pool p;
      Window& w = p.window;
      for (int a = 0; a < 2; ++a) {
        w.in[a + 1] = k.in[a], w.kernel[a + 1] = k.kernel[a], w.stride[a + 1] = k.stride[a], w.dilation[a + 1] = k.dilation[a];
        w.pad[a + 1] = k.pad[a], p.pad_end[a + 1] = k.pad_end[a];
        w.out[a + 1] = (k.in[a] + k.pad[a] + k.pad_end[a] - (k.kernel[a] - 1) * k.dilation[a] - 1) / k.stride[a] + 1;
      }
      p.count_include_pad = k.include_pad;
      const int64_t in = plane(w.in), out = plane(w.out);
      const std::vector<float> x = random_floats(planes * in * lanes, 5);
      std::vector<float> most(planes * out * lanes), mean(most.size());
      p.x = x.data();
      p.y = most.data(), table->max_pool_blocked(p, 0, 2), table->max_pool_blocked(p, 2, planes);
      p.y = mean.data(), table->average_pool_blocked(p, 0, planes);
      for (size_t i = 0; i < most.size(); ++i) {
        const int64_t lane = i % lanes, at = i / lanes % out, from = i / lanes / out * in;
        double largest = -inf, sum = 0, count = 0;
        for (int64_t t = 0; t < plane(w.kernel); ++t) {
          const int64_t h = at / w.out[2] * w.stride[1] + t / w.kernel[2] * w.dilation[1] - w.pad[1];
          const int64_t v = at % w.out[2] * w.stride[2] + t % w.kernel[2] * w.dilation[2] - w.pad[2];
          const bool counted = k.include_pad && h < w.in[1] + p.pad_end[1] && v < w.in[2] + p.pad_end[2];
          if (h < 0 || h >= w.in[1] || v < 0 || v >= w.in[2]) {
            count += counted;
            continue;
          }
          const double value = x[(from + h * w.in[2] + v) * lanes + lane];
          largest = std::max(largest, value), sum += value, ++count;
        }
        ASSERT_EQ(most[i], static_cast<float>(largest)) << table->isa;
        ASSERT_NEAR(mean[i], sum / count, 1e-5) << table->isa;
      }
    }
}

}  // namespace
}  // namespace outpost::kernels
