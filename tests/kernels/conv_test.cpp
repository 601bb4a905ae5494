// Convolutions against plain loops in double: groups, depthwise, pointwise, strides, dilations, pads (also negative and
// uneven), one to three dimensions, epilogues; and that tiles may be run in any grouping.
#include "kernels/kernels_check.h"

#include <cstring>

namespace outpost::kernels {
namespace {

struct Shape {
  const char* name;
  int64_t batch, groups, in_channels, out_channels;
  int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list{
      {"pointwise", 2, 1, 13, 31, {1, 9, 11}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"pointwise, long", 1, 1, 700, 10, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"pointwise, strided", 1, 1, 8, 16, {1, 14, 15}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"3x3", 1, 1, 5, 7, {1, 12, 19}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"3x3, deep", 1, 1, 80, 150, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"3x3, wide", 1, 1, 3, 9, {1, 40, 70}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"stem", 1, 1, 3, 16, {1, 33, 47}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
      {"large", 1, 1, 40, 100, {1, 24, 34}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"stride 3, dilation 2", 2, 1, 4, 6, {1, 20, 23}, {1, 3, 2}, {1, 3, 3}, {1, 2, 2}, {0, 2, 1}, {0, 0, 3}},
      {"uneven pads", 1, 1, 3, 5, {1, 10, 10}, {1, 2, 5}, {1, 1, 2}, {1, 1, 1}, {0, 0, 4}, {0, 3, 1}},
      {"negative pads", 1, 1, 3, 5, {1, 10, 12}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, -1, -2}, {0, 0, -1}},
      {"pads beyond the kernel", 1, 1, 2, 3, {1, 4, 4}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 6, 6}, {0, 6, 6}},
      {"one column", 1, 1, 20, 40, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"one row", 1, 1, 20, 1, {1, 9, 50}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 1}, {0, 0, 1}},
      {"groups", 2, 4, 12, 20, {1, 8, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"1-D", 1, 1, 6, 9, {1, 1, 300}, {1, 1, 9}, {1, 1, 4}, {1, 1, 1}, {0, 0, 4}, {0, 0, 4}},
      {"3-D", 1, 2, 4, 6, {5, 6, 7}, {3, 2, 3}, {2, 1, 1}, {1, 2, 1}, {1, 1, 1}, {1, 0, 1}},
      {"depthwise", 2, 11, 11, 11, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"depthwise 7", 1, 6, 6, 6, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"depthwise 5x5", 1, 6, 6, 6, {1, 13, 40}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}},
      {"depthwise stride 2", 1, 5, 5, 5, {1, 15, 31}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 1}, {0, 1, 1}},
      {"depthwise stride 3", 1, 5, 5, 5, {1, 15, 31}, {1, 3, 3}, {1, 3, 3}, {1, 2, 2}, {0, 0, 1}, {0, 1, 1}},
      {"depthwise multiplier", 1, 4, 4, 12, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"depthwise, bands", 1, 2, 2, 2, {1, 300, 260}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"depthwise, negative pads", 1, 3, 3, 3, {1, 12, 12}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, -1, -2}, {0, -1, 3}},
      {"depthwise 3-D", 1, 3, 3, 3, {4, 5, 6}, {2, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
      {"no positions", 1, 1, 3, 4, {1, 2, 0}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"no channels", 1, 1, 0, 4, {1, 5, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
  };
  return list;
}

int64_t product(const int64_t (&v)[3]) { return v[0] * v[1] * v[2]; }

Conv conv_of(const Shape& s) {
  Conv c{.batch = s.batch, .groups = s.groups, .in_channels = s.in_channels, .out_channels = s.out_channels};
  for (int a = 0; a < 3; ++a) {
    c.window.in[a] = s.in[a], c.window.kernel[a] = s.kernel[a], c.window.stride[a] = s.stride[a];
    c.window.dilation[a] = s.dilation[a], c.window.pad[a] = s.pad[a];
    c.window.out[a] = (s.in[a] + s.pad[a] + s.pad_end[a] - (s.kernel[a] - 1) * s.dilation[a] - 1) / s.stride[a] + 1;
    if (s.in[a] == 0) c.window.out[a] = 0;
  }
  return c;
}

struct Expected {
  std::vector<double> sum, magnitude;
};

Expected reference(const Conv& c, const std::vector<float>& x, const std::vector<float>& w) {
  const Window& win = c.window;
  const int64_t positions = product(win.out), taps = product(win.kernel), plane = product(win.in);
  const int64_t in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
  Expected e;
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t o = 0; o < c.out_channels; ++o)
      for (int64_t p = 0; p < positions; ++p) {
        double sum = 0, magnitude = 0;
        const int64_t at[3] = {p / (win.out[1] * win.out[2]), p / win.out[2] % win.out[1], p % win.out[2]};
        for (int64_t k = 0; k < in_group * taps; ++k) {
          const int64_t t = k % taps, channel = o / out_group * in_group + k / taps;
          const int64_t tap[3] = {t / (win.kernel[1] * win.kernel[2]), t / win.kernel[2] % win.kernel[1],
                                  t % win.kernel[2]};
          int64_t index = 0;
          bool inside = true;
          for (int a = 0; a < 3; ++a) {
            const int64_t i = at[a] * win.stride[a] + tap[a] * win.dilation[a] - win.pad[a];
            inside &= i >= 0 && i < win.in[a];
            index = index * win.in[a] + i;
          }
          if (!inside) continue;
          const double term = double(x[(b * c.in_channels + channel) * plane + index]) * w[o * in_group * taps + k];
          sum += term, magnitude += std::fabs(term);
        }
        e.sum.push_back(sum), e.magnitude.push_back(magnitude);
      }
  return e;
}

void* aligned(std::vector<std::byte>& memory) {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
}

void run_tiles(const Kernels& table, const Conv& c, bool one_by_one) {
  std::vector<std::byte> scratch(table.conv_scratch_bytes(c) + 64, std::byte{0xff});
  const int64_t tiles = table.conv_tiles(c);
  if (!one_by_one) return table.conv(c, 0, tiles, aligned(scratch));
  for (int64_t i = tiles; i-- > 0;) {
    std::fill(scratch.begin(), scratch.end(), std::byte{0xff});
    table.conv(c, i, i + 1, aligned(scratch));
  }
}

// The same convolution over other extents: weights are packed once for all shapes.
Conv elsewhere(Conv c) {
  c.batch = 3;
  for (int a = 0; a < 3; ++a) c.window.in[a] = c.window.out[a] = 5, c.window.pad[a] = 0;
  return c;
}

void check_shape(const Shape& s) {
  Conv c = conv_of(s);
  const int64_t positions = product(c.window.out), count = s.batch * s.out_channels * positions;
  const std::vector<float> x = random_floats(s.batch * s.in_channels * product(c.window.in), 1);
  const std::vector<float> w = random_floats(s.out_channels * (s.in_channels / s.groups) * product(c.window.kernel), 2);
  const std::vector<float> bias = random_floats(s.out_channels, 3), residual = random_floats(count, 4);
  const Expected e = reference(c, x, w);
  c.x = x.data();
  for (const Kernels* table : all_tables())
    for (const bool extras : {false, true}) {
      c.epilogue = {};
      if (extras) c.epilogue = {.row_bias = bias.data(), .residual = residual.data(), .activation = Activation::relu};
      std::vector<std::byte> packed(table->conv_pack_bytes(c) + 64);
      table->conv_pack(elsewhere(c), w.data(), aligned(packed));
      c.packed_weights = aligned(packed);
      std::vector<float> y(count + 1, 55.0f), again(count + 1, 55.0f);
      c.y = y.data(), run_tiles(*table, c, false);
      c.y = again.data(), run_tiles(*table, c, true);
      ASSERT_EQ(std::memcmp(y.data(), again.data(), y.size() * 4), 0) << s.name << " depends on the grouping";
      EXPECT_EQ(y[count], 55.0f);
      for (int64_t i = 0; i < count; ++i) {
        double want = e.sum[i];
        if (extras) want = std::max(0.0, want + bias[i / positions % s.out_channels] + residual[i]);
        ASSERT_NEAR(y[i], want, 1e-6 * (e.magnitude[i] + 2)) << table->isa << " " << s.name << " at " << i;
      }
    }
}

TEST(Convolution, MatchesPlainLoops) {
  for (const Shape& s : shapes()) {
    check_shape(s);
    if (HasFatalFailure()) return;
  }
}

// The definition: every input element adds its weighted taps to the output.
Expected transposed_reference(const Conv& c, const std::vector<float>& x, const std::vector<float>& w) {
  const Window& win = c.window;
  const int64_t positions = product(win.in), taps = product(win.kernel), out = product(win.out);
  const int64_t in_group = c.in_channels / c.groups, out_group = c.out_channels / c.groups;
  Expected e{std::vector<double>(c.batch * c.out_channels * out), std::vector<double>(c.batch * c.out_channels * out)};
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t i = 0; i < c.in_channels; ++i)
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t o = 0; o < out_group; ++o)
          for (int64_t t = 0; t < taps; ++t) {
            const int64_t at[3] = {p / (win.in[1] * win.in[2]), p / win.in[2] % win.in[1], p % win.in[2]};
            const int64_t tap[3] = {t / (win.kernel[1] * win.kernel[2]), t / win.kernel[2] % win.kernel[1],
                                    t % win.kernel[2]};
            int64_t index = 0;
            bool inside = true;
            for (int a = 0; a < 3; ++a) {
              const int64_t q = at[a] * win.stride[a] + tap[a] * win.dilation[a] - win.pad[a];
              inside &= q >= 0 && q < win.out[a];
              index = index * win.out[a] + q;
            }
            if (!inside) continue;
            const double term = double(x[(b * c.in_channels + i) * positions + p]) * w[(i * out_group + o) * taps + t];
            const int64_t channel = i / in_group * out_group + o;
            e.sum[(b * c.out_channels + channel) * out + index] += term;
            e.magnitude[(b * c.out_channels + channel) * out + index] += std::fabs(term);
          }
  return e;
}

// The same shapes the other way round: `pad_end` is output padding less what the last window leaves.
Conv transposed_of(const Shape& s) {
  Conv c = conv_of(s);
  for (int a = 0; a < 3; ++a)
    c.window.out[a] = (s.in[a] - 1) * s.stride[a] + (s.kernel[a] - 1) * s.dilation[a] + 1 - s.pad[a] - s.pad_end[a];
  return c;
}

void check_transposed(const Shape& s) {
  Conv c = transposed_of(s);
  for (int a = 0; a < 3; ++a)
    if (c.window.out[a] < 0) return;
  const int64_t out = product(c.window.out), count = s.batch * s.out_channels * out;
  const std::vector<float> x = random_floats(s.batch * s.in_channels * product(c.window.in), 1);
  const std::vector<float> w = random_floats(s.in_channels * (s.out_channels / s.groups) * product(c.window.kernel), 2);
  const std::vector<float> bias = random_floats(s.out_channels, 3), residual = random_floats(count, 4);
  const Expected e = transposed_reference(c, x, w);
  c.x = x.data();
  for (const Kernels* table : all_tables())
    for (const bool extras : {false, true}) {
      c.epilogue = {};
      if (extras) c.epilogue = {.row_bias = bias.data(), .residual = residual.data(), .activation = Activation::relu};
      std::vector<std::byte> packed(table->conv_transpose_pack_bytes(c) + 64);
      table->conv_transpose_pack(elsewhere(c), w.data(), aligned(packed));
      c.packed_weights = aligned(packed);
      std::vector<std::byte> scratch(table->conv_transpose_scratch_bytes(c) + 64, std::byte{0xff});
      std::vector<float> y(count + 1, 55.0f), again(count + 1, 55.0f);
      const int64_t tiles = table->conv_transpose_tiles(c);
      c.y = y.data(), table->conv_transpose(c, 0, tiles, aligned(scratch));
      c.y = again.data();
      for (int64_t i = tiles; i-- > 0;) table->conv_transpose(c, i, i + 1, aligned(scratch));
      ASSERT_EQ(std::memcmp(y.data(), again.data(), y.size() * 4), 0) << s.name << " depends on the grouping";
      EXPECT_EQ(y[count], 55.0f);
      for (int64_t i = 0; i < count; ++i) {
        double want = e.sum[i];
        if (extras) want = std::max(0.0, want + bias[i / out % s.out_channels] + residual[i]);
        ASSERT_NEAR(y[i], want, 1e-6 * (e.magnitude[i] + 2)) << table->isa << " " << s.name << " at " << i;
      }
    }
}

TEST(TransposedConvolution, MatchesPlainLoops) {
  for (const Shape& s : shapes()) {
    check_transposed(s);
    if (HasFatalFailure()) return;
  }
  const Shape more[] = {
      {"2x2 stride 2", 1, 1, 16, 40, {1, 10, 12}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {"4x4 stride 2", 2, 1, 9, 300, {1, 7, 8}, {1, 4, 4}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {"output padding", 1, 1, 5, 6, {1, 6, 7}, {1, 3, 3}, {1, 2, 3}, {1, 1, 1}, {0, 1, 1}, {0, 0, -1}},
      {"stride beyond the kernel", 1, 1, 4, 5, {1, 3, 4}, {1, 2, 2}, {1, 5, 4}, {1, 1, 1}, {0, 0, 0}, {0, -2, 0}},
      {"stride 4, dilation 6", 1, 1, 4, 5, {1, 6, 6}, {1, 3, 4}, {1, 4, 4}, {1, 6, 3}, {0, 2, 1}, {0, 1, 2}},
      {"huge stride", 1, 1, 2, 3, {1, 1, 1}, {1, 3, 3}, {1, 1000000000, 1000000000}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
  };
  for (const Shape& s : more) {
    check_transposed(s);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace outpost::kernels
