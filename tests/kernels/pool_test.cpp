// Pooling against plain loops: kernels, strides, dilations and pads in one to three dimensions, windows hanging over.
#include "kernels/kernels_check.h"

namespace outpost::kernels {
namespace {

struct Shape {
  int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list{
      {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {{1, 7, 9}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {{1, 20, 33}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {{1, 20, 70}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {{1, 15, 40}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}},
      {{1, 15, 40}, {1, 3, 2}, {1, 3, 2}, {1, 2, 3}, {0, 1, 0}, {0, 0, 1}},
      {{1, 1, 100}, {1, 1, 7}, {1, 1, 3}, {1, 1, 1}, {0, 0, 3}, {0, 0, 2}},
      {{6, 7, 19}, {2, 3, 3}, {2, 1, 1}, {1, 1, 2}, {1, 1, 1}, {0, 1, 1}},
      {{1, 13, 17}, {1, 13, 17}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
      {{1, 4, 4}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 1, 1}},  // ceil mode: the last windows hang over
  };
  return list;
}

Pool pool_of(const Shape& s) {
  Pool p;
  for (int a = 0; a < 3; ++a) {
    p.window.in[a] = s.in[a], p.window.kernel[a] = s.kernel[a], p.window.stride[a] = s.stride[a];
    p.window.dilation[a] = s.dilation[a], p.window.pad[a] = s.pad[a], p.pad_end[a] = s.pad_end[a];
    p.window.out[a] = (s.in[a] + s.pad[a] + s.pad_end[a] - (s.kernel[a] - 1) * s.dilation[a] - 1) / s.stride[a] + 1;
  }
  return p;
}

TEST(Pooling, MatchesPlainLoops) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes())
      for (const bool with_nan : {false, true}) {
        Pool p = pool_of(s);
        const Window& w = p.window;
        const int64_t planes = 3, in = w.in[0] * w.in[1] * w.in[2], out = w.out[0] * w.out[1] * w.out[2];
        std::vector<float> x = random_floats(planes * in, 1);
        if (with_nan) x[in / 2] = nan, x[in + in / 3] = nan;
        std::vector<float> y(planes * out), indexed(planes * out), mean(planes * out), padded(planes * out);
        std::vector<int64_t> indices(planes * out);
        p.x = x.data();
        p.y = y.data(), table->max_pool(p, 0, 1), table->max_pool(p, 1, planes);
        p.y = mean.data(), table->average_pool(p, 0, planes);
        p.count_include_pad = true;
        p.y = padded.data(), table->average_pool(p, 0, planes);
        p.indices = indices.data(), p.y = indexed.data(), table->max_pool(p, 0, planes);
        for (int64_t i = 0; i < planes * out; ++i) {
          const int64_t plane = i / out,
                        o[3] = {i % out / (w.out[1] * w.out[2]), i / w.out[2] % w.out[1], i % w.out[2]};
          double best = -inf, sum = 0, inside = 0, counted = 0;
          bool any_nan = false;
          for (int64_t k = 0; k < w.kernel[0] * w.kernel[1] * w.kernel[2]; ++k) {
            const int64_t tap[3] = {k / (w.kernel[1] * w.kernel[2]), k / w.kernel[2] % w.kernel[1], k % w.kernel[2]};
            bool within = true, counts = true;
            int64_t at = 0;
            for (int a = 0; a < 3; ++a) {
              const int64_t position = o[a] * w.stride[a] - w.pad[a] + tap[a] * w.dilation[a];
              within &= position >= 0 && position < w.in[a];
              counts &= position < w.in[a] + p.pad_end[a];
              at = at * w.in[a] + position;
            }
            counted += counts;
            if (!within) continue;
            const float v = x[plane * in + at];
            any_nan |= std::isnan(v);
            best = std::max<double>(best, v), sum += v, ++inside;
          }
          if (any_nan) {
            ASSERT_TRUE(std::isnan(y[i]) && std::isnan(mean[i]) && std::isnan(padded[i]) && std::isnan(indexed[i]));
            continue;
          }
          ASSERT_EQ(y[i], float(best)) << table->isa;
          ASSERT_EQ(indexed[i], float(best));
          ASSERT_EQ(x[indices[i]], float(best));
          ASSERT_EQ(indices[i] / in, plane);
          ASSERT_NEAR(mean[i], sum / inside, 1e-5) << table->isa;
          ASSERT_NEAR(padded[i], sum / counted, 1e-5);
        }
      }
}

}  // namespace
}  // namespace outpost::kernels
