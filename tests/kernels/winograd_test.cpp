// Winograd convolution on channel blocks against plain loops in double: odd extents, borders, pads, groups, batches,
// channels that do not fill blocks, epilogues, any grouping of tiles; where infinities and NaNs may and must appear; and
// which convolutions it is chosen for.
#include "kernels/kernels_check.h"

#include <algorithm>
#include <cstring>

namespace outpost::kernels {
namespace {

struct Shape {
  const char* name;
  int64_t batch, groups, in_channels, out_channels, in[2], pad[2], pad_end[2];
};

const Shape shapes[] = {
    {"one tile", 1, 1, 16, 16, {4, 4}, {1, 1}, {1, 1}},
    {"one output", 1, 1, 16, 16, {3, 3}, {0, 0}, {0, 0}},
    {"less than the kernel", 1, 1, 5, 3, {1, 1}, {1, 1}, {1, 1}},
    {"partial tiles", 2, 1, 32, 48, {9, 11}, {1, 1}, {1, 1}},
    {"no padding", 1, 1, 40, 17, {13, 7}, {0, 0}, {0, 0}},
    {"uneven padding", 1, 1, 20, 35, {10, 9}, {0, 2}, {3, 1}},
    {"padding beyond the kernel", 1, 1, 16, 16, {5, 6}, {5, 4}, {4, 6}},
    {"negative padding", 1, 1, 16, 16, {12, 13}, {-1, -2}, {0, -1}},
    {"three channels", 1, 1, 3, 7, {20, 31}, {1, 1}, {1, 1}},
    {"groups", 2, 3, 48, 96, {7, 8}, {1, 1}, {1, 1}},
    {"small images", 7, 1, 24, 24, {3, 3}, {1, 1}, {1, 1}},
    {"several groups of tiles", 1, 1, 80, 80, {40, 44}, {1, 1}, {1, 1}},
    {"parts of the channels", 1, 1, 128, 256, {14, 14}, {1, 1}, {1, 1}},
    {"no image", 0, 1, 16, 16, {8, 8}, {1, 1}, {1, 1}},
    {"no input channel", 1, 1, 0, 16, {8, 8}, {1, 1}, {1, 1}},
};

BlockedConv conv_of(const Shape& s) {
  BlockedConv c{.batch = s.batch, .groups = s.groups, .in_channels = s.in_channels, .out_channels = s.out_channels};
  for (int a = 0; a < 2; ++a) {
    c.window.in[a + 1] = s.in[a], c.window.kernel[a + 1] = 3, c.window.pad[a + 1] = s.pad[a];
    c.window.out[a + 1] = s.in[a] + s.pad[a] + s.pad_end[a] - 2;
  }
  return c;
}

// Planar sums in double, and for each the sum of magnitudes.
struct Expected {
  std::vector<double> sum, magnitude;
};

Expected reference(const BlockedConv& c, const std::vector<float>& x, const std::vector<float>& w) {
  const int64_t height = c.window.out[1], width = c.window.out[2], plane = c.window.in[1] * c.window.in[2];
  const int64_t in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
  Expected e;
  for (int64_t i = 0; i < c.batch * c.out_channels * height * width; ++i) {
    const int64_t image = i / (c.out_channels * height * width), o = i / (height * width) % c.out_channels;
    double sum = 0, magnitude = 0;
    for (int64_t k = 0; k < in_group * 9; ++k) {
      const int64_t h = i / width % height + k % 9 / 3 - c.window.pad[1], v = i % width + k % 3 - c.window.pad[2];
      if (h < 0 || h >= c.window.in[1] || v < 0 || v >= c.window.in[2]) continue;
      const int64_t channel = image * c.in_channels + o / out_group * in_group + k / 9;
      const double term = double(x[channel * plane + h * c.window.in[2] + v]) * w[o * in_group * 9 + k];
      sum += term, magnitude += std::fabs(term);
    }
    e.sum.push_back(sum), e.magnitude.push_back(magnitude);
  }
  return e;
}

// (images, channels, plane) to blocks of b channels; the rest of the last block holds numbers that mean nothing.
std::vector<float> to_blocks(const std::vector<float>& x, int64_t images, int64_t channels, int64_t plane, int64_t b) {
  const int64_t blocks = channel_blocks(channels, b);
  std::vector<float> y(images * blocks * plane * b, 77.0f);
  for (int64_t i = 0; i < images * channels * plane; ++i) {
    const int64_t image = i / (channels * plane), channel = i / plane % channels;
    y[((image * blocks + channel / b) * plane + i % plane) * b + channel % b] = x[i];
  }
  return y;
}

float* aligned(std::vector<float>& memory) {
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
}

struct Case {
  BlockedConv conv;
  std::vector<float> x, w, bias;
  int64_t in_plane, out_plane, count;

  explicit Case(const Shape& s)
      : conv(conv_of(s)), in_plane(s.in[0] * s.in[1]), out_plane(conv.window.out[1] * conv.window.out[2]),
        count(s.batch * s.out_channels * out_plane) {
    x = random_floats(s.batch * s.in_channels * in_plane, 1);
    w = random_floats(s.out_channels * (s.in_channels / s.groups) * 9, 2);
    bias = random_floats(s.out_channels, 3);
  }

  // y in planar form, from blocks that hold `start` before the run.
  std::vector<float> run(const Kernels& table, BlockedAlgorithm algorithm, const Epilogue& epilogue, bool one_by_one,
                         const std::vector<float>& start) const {
    const int64_t b = table.vector_bytes / 4;
    BlockedConv c = conv;
    c.algorithm = algorithm;
    c.epilogue = epilogue;
    std::vector<float> blocks = to_blocks(x, c.batch, c.in_channels, in_plane, b);
    std::vector<float> y = to_blocks(start, c.batch, c.out_channels, out_plane, b), padded_bias = bias;
    padded_bias.resize(channel_blocks(c.out_channels, b) * b);
    std::vector<float> packed(table.conv_blocked_pack_bytes(c) / 4 + 16);
    table.conv_blocked_pack(elsewhere(c), w.data(), aligned(packed));
    std::vector<float> scratch(table.conv_blocked_scratch_bytes(c) / 4 + 16, nan);
    c.x = blocks.data(), c.y = y.data(), c.packed_weights = aligned(packed);
    if (epilogue.row_bias) c.epilogue.row_bias = padded_bias.data();
    if (epilogue.residual) c.epilogue.residual = y.data();  // in place
    const int64_t tiles = table.conv_blocked_tiles(c);
    if (!one_by_one) table.conv_blocked(c, 0, tiles, aligned(scratch));
    for (int64_t i = tiles; one_by_one && i-- > 0;) {
      std::fill(scratch.begin(), scratch.end(), nan);
      table.conv_blocked(c, i, i + 1, aligned(scratch));
    }
    const auto finite = [](float v) { return std::isfinite(v); };
    if (std::all_of(x.begin(), x.end(), finite)) EXPECT_TRUE(std::all_of(y.begin(), y.end(), finite));
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t block = int64_t(i) / b / out_plane % channel_blocks(c.out_channels, b);
      if (block * b + int64_t(i) % b >= c.out_channels) EXPECT_EQ(y[i], 0.0f) << "padding";
    }
    std::vector<float> planar(count);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t image = i / (c.out_channels * out_plane), o = i / out_plane % c.out_channels;
      planar[i] = y[((image * channel_blocks(c.out_channels, b) + o / b) * out_plane + i % out_plane) * b + o % b];
    }
    return planar;
  }

  // Weights are packed once for all extents.
  static BlockedConv elsewhere(BlockedConv c) {
    c.batch = 3;
    for (int a = 1; a < 3; ++a) c.window.in[a] = c.window.out[a] = 5, c.window.pad[a] = 1;
    return c;
  }
};

constexpr BlockedAlgorithm both[] = {BlockedAlgorithm::winograd2, BlockedAlgorithm::winograd4};

// A tile's outputs share their rounding, so the bound is taken from the largest sum of magnitudes of a channel.
void check(const Shape& s) {
  const Case c(s);
  const Expected e = reference(c.conv, c.x, c.w);
  const double largest = e.magnitude.empty() ? 0 : *std::max_element(e.magnitude.begin(), e.magnitude.end());
  const std::vector<float> residual = random_floats(c.count, 4);
  for (const Kernels* table : all_tables())
    for (const BlockedAlgorithm algorithm : both)
      for (const bool extras : {false, true}) {
        Epilogue epilogue;
        if (extras)
          epilogue = {.row_bias = c.bias.data(), .residual = residual.data(), .residual_scale = 0.5,
                      .activation = Activation::clip, .low = -0.5f, .high = 2.0f};
        const std::vector<float> y = c.run(*table, algorithm, epilogue, false, residual);
        const std::vector<float> again = c.run(*table, algorithm, epilogue, true, residual);
        ASSERT_EQ(std::memcmp(y.data(), again.data(), y.size() * 4), 0) << s.name << " depends on the grouping";
        for (int64_t i = 0; i < c.count; ++i) {
          double want = e.sum[i];
          if (extras) want += c.bias[i / c.out_plane % s.out_channels] + 0.5 * residual[i];
          if (extras) want = std::clamp(want, -0.5, 2.0);
          ASSERT_NEAR(y[i], want, 8e-7 * (largest + 2)) << table->isa << " " << s.name << " at " << i;
        }
      }
}

TEST(Winograd, MatchesPlainLoops) {
  for (const Shape& s : shapes) {
    check(s);
    if (HasFatalFailure()) return;
  }
}

// The root of the mean squared error against that of the direct sum, on normal values. Measured: 0.6 to 0.7 and
// 1.7 to 2.1 (docs/numerics.md).
TEST(Winograd, RoundsAsDocumented) {
  Case c({"", 1, 1, 64, 64, {24, 24}, {1, 1}, {1, 1}});
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  for (float& v : c.x) v = normal(generator);
  for (float& v : c.w) v = normal(generator);
  const Expected e = reference(c.conv, c.x, c.w);
  const auto error = [&](const Kernels& table, BlockedAlgorithm algorithm) {
    const std::vector<float> y = c.run(table, algorithm, {}, false, std::vector<float>(c.count));
    double sum = 0;
    for (int64_t i = 0; i < c.count; ++i) sum += (y[i] - e.sum[i]) * (y[i] - e.sum[i]);
    return std::sqrt(sum / double(c.count));
  };
  for (const Kernels* table : all_tables()) {
    const double direct = error(*table, BlockedAlgorithm::direct);
    EXPECT_LT(error(*table, BlockedAlgorithm::winograd2), 1.5 * direct) << table->isa;
    EXPECT_LT(error(*table, BlockedAlgorithm::winograd4), 3 * direct) << table->isa;
  }
}

TEST(Winograd, SpecialValuesStayInTheirWindows) {
  Case c({"", 1, 1, 20, 19, {14, 13}, {1, 1}, {1, 1}});
  c.x[5 * 13 + 6] = inf;
  c.x[2 * c.in_plane + 13 * 13 + 12] = nan;
  c.x[7 * c.in_plane] = -inf;
  const Expected e = reference(c.conv, c.x, c.w);
  for (const Kernels* table : all_tables())
    for (const BlockedAlgorithm algorithm : both) {
      const std::vector<float> y = c.run(*table, algorithm, {}, false, std::vector<float>(c.count));
      for (int64_t i = 0; i < c.count; ++i) {
        const float want = static_cast<float>(e.sum[i]);
        if (!std::isfinite(want)) ASSERT_TRUE(want == y[i] || (std::isnan(want) && std::isnan(y[i]))) << i;
        else ASSERT_NEAR(y[i], e.sum[i], 2e-6 * (e.magnitude[i] + 100)) << table->isa << " at " << i;
      }
    }
}

TEST(Winograd, IsChosenForWhatItCanDo) {
  for (const Kernels* table : all_tables()) {
    const BlockedConv plain = conv_of({"", 1, 1, 64, 64, {56, 56}, {1, 1}, {1, 1}});
    EXPECT_EQ(table->conv_blocked_algorithm(plain), BlockedAlgorithm::winograd4) << table->isa;
    BlockedConv unknown = plain;
    for (int a = 1; a < 3; ++a) unknown.window.in[a] = unknown.window.out[a] = 0;
    EXPECT_EQ(table->conv_blocked_algorithm(unknown), BlockedAlgorithm::winograd4);
    for (int i = 0; i < 5; ++i) {
      BlockedConv c = plain;
      if (i == 0) c.window.stride[1] = 2;
      if (i == 1) c.window.dilation[2] = 2;
      if (i == 2) c.window.kernel[1] = 1;
      if (i == 3) c.groups = 64;
      if (i == 4) c.x_planar = true;
      EXPECT_EQ(table->conv_blocked_algorithm(c), BlockedAlgorithm::direct) << i;
    }
  }
}

}  // namespace
}  // namespace outpost::kernels
