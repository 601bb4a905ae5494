// Attention against a double reference: sizes around every register, block and tile, layouts, masks of every kind,
// windows, padding, grouped heads, sinks; rows that see nothing, infinities and NaN; tiles in any order.
#include "kernels/kernels_check.h"

#include <algorithm>
#include <cstring>

namespace outpost::kernels {
namespace {

struct Shape {
  int64_t batch, heads, kv_heads, queries, keys, size, value;
};

// A problem with its memory: operands (batch, row, head * size), y with a margin that must stay as it is.
struct Problem {
  Attention a;
  std::vector<float> q, k, v, y, mask;
  std::vector<uint8_t> seen;
  std::vector<uint16_t> narrow_k, narrow_v;

  explicit Problem(const Shape& s, uint32_t seed = 1) {
    a.batch = s.batch, a.heads = s.heads, a.kv_heads = s.kv_heads, a.queries = s.queries, a.keys = s.keys;
    a.head_size = s.size, a.value_size = s.value;
    a.scale = 1 / std::sqrt(float(s.size + 1));
    const auto side = [](const std::vector<float>& x, int64_t rows, int64_t heads, int64_t size) {
      return AttentionSide{x.data(), FloatType::f32, rows * heads * size, size, heads * size};
    };
    q = random_floats(s.batch * s.queries * s.heads * s.size + 1, seed, -2, 2);
    k = random_floats(s.batch * s.keys * s.kv_heads * s.size + 1, seed + 1, -2, 2);
    v = random_floats(s.batch * s.keys * s.kv_heads * s.value + 1, seed + 2);
    y.assign(s.batch * s.queries * s.heads * s.value + 1, 77.0f);
    a.q = side(q, s.queries, s.heads, s.size), a.k = side(k, s.keys, s.kv_heads, s.size);
    a.v = side(v, s.keys, s.kv_heads, s.value), a.y = side(y, s.queries, s.heads, s.value);
  }

  // (batch, heads, queries, keys), each dim kept or 1.
  void add_mask(bool by_batch, bool by_head, bool by_row, uint32_t seed, AttentionBias::Kind kind = AttentionBias::f32) {
    const int64_t rows = by_row ? a.queries : 1, heads = by_head ? a.heads : 1;
    std::vector<float> values = random_floats((by_batch ? a.batch : 1) * heads * rows * a.keys + 1, seed, -3, 3);
    AttentionBias& bias = a.bias[kind == AttentionBias::boolean];
    bias = {kind, nullptr, by_batch ? heads * rows * a.keys : 0, by_head ? rows * a.keys : 0, by_row ? a.keys : 0, 1, a.keys};
    if (kind == AttentionBias::boolean) {
      seen.clear();
      for (float m : values) seen.push_back(m > -1);
      bias.data = seen.data();
    } else {
      for (float& m : values) m = m > 2 ? -inf : m;
      mask = std::move(values);
      bias.data = mask.data();
    }
  }

  double score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const int64_t kv = h / (a.heads / a.kv_heads);
    double s = 0;
    for (int64_t c = 0; c < a.head_size; ++c)
      s += double(q[b * a.q.batch + i * a.q.row + h * a.q.head + c]) * k[b * a.k.batch + j * a.k.row + kv * a.k.head + c];
    s *= double(a.scale);
    if (a.softcap > 0) s = double(a.softcap) * std::tanh(s / double(a.softcap));
    for (const AttentionBias& m : a.bias) {
      if (m.kind == AttentionBias::none) continue;
      const int64_t at = b * m.batch + h * m.head + i * m.row + j * m.column;
      const double add = m.kind == AttentionBias::boolean ? (seen[at] ? 0.0 : -double(inf)) : double(mask[at]);
      s = j >= m.columns || std::isinf(add) ? -double(inf) : s + add;
    }
    const int64_t position = (a.offsets ? a.offsets[b] : a.offset) + i;
    const bool hidden = (a.left >= 0 && j < position - a.left) || (a.right >= 0 && j > position + a.right) ||
                        (a.valid_keys && j >= a.valid_keys[b]);
    return hidden ? -double(inf) : s;
  }

  void expect(const Kernels& table, double slack = 4e-6) {
    std::vector<float> scratch(table.attention_scratch_bytes(a) / 4 + 16, nan);
    for (int64_t i = table.attention_tiles(a); i-- > 0;) table.attention(a, i, i + 1, scratch.data());
    EXPECT_EQ(y.back(), 77.0f);
    for (int64_t b = 0; b < a.batch; ++b)
      for (int64_t h = 0; h < a.heads; ++h)
        for (int64_t i = 0; i < a.queries; ++i) check_row(table, b, h, i, slack);
  }

  void check_row(const Kernels& table, int64_t b, int64_t h, int64_t i, double slack) const {
    const int64_t kv = h / (a.heads / a.kv_heads);
    std::vector<double> s(a.keys);
    double peak = a.sinks ? a.sinks[h] : a.zero_sink ? 0 : -inf, total = 0;
    for (int64_t j = 0; j < a.keys; ++j) peak = std::max(peak, s[j] = score(b, h, i, j));
    const double sink = a.sinks ? a.sinks[h] : a.zero_sink ? 0 : -inf;
    if (sink != -inf) total = std::exp(sink - peak);
    std::vector<double> want(a.value_size);
    for (int64_t j = 0; j < a.keys; ++j) {
      const double w = s[j] == -inf ? 0 : std::exp(s[j] - peak);
      total += w;
      for (int64_t c = 0; c < a.value_size; ++c) want[c] += w * v[b * a.v.batch + j * a.v.row + kv * a.v.head + c];
    }
    for (int64_t c = 0; c < a.value_size; ++c) {
      const float got = y[b * a.y.batch + i * a.y.row + h * a.y.head + c];
      if (std::isnan(total)) ASSERT_TRUE(std::isnan(got)) << table.isa << " row " << i;
      else
        ASSERT_NEAR(got, total == 0 ? 0 : want[c] / total, slack)
            << table.isa << " b" << b << " h" << h << " row " << i << " of " << a.queries << ", " << a.keys << " keys of " << a.head_size;
    }
  }
};

const Shape shapes[] = {{1, 1, 1, 1, 1, 1, 1},    {2, 2, 2, 3, 5, 7, 3},      {1, 2, 1, 5, 33, 16, 17}, {2, 4, 2, 1, 70, 64, 64},
                        {1, 8, 1, 1, 300, 32, 8}, {1, 3, 3, 13, 257, 32, 32}, {1, 2, 2, 50, 31, 80, 80}, {1, 1, 1, 200, 530, 40, 24},
                        {1, 1, 1, 9, 64, 130, 130}, {1, 2, 2, 4, 40, 300, 36}, {1, 5, 5, 98, 99, 64, 64}, {3, 1, 1, 6, 16, 8, 128}};

TEST(AttentionKernel, MatchesADoubleReference) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes) Problem(s).expect(*table);
}

TEST(AttentionKernel, AddsMasksOfEveryShape) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes)
      for (int dims = 0; dims < 8; ++dims) {
        Problem p(s);
        p.add_mask(dims & 1, dims & 2, dims & 4, 9);
        p.expect(*table, 1e-5);
        p.add_mask(dims & 2, dims & 4, dims & 1, 10, AttentionBias::boolean);  // both at once
        p.expect(*table, 1e-5);
      }
}

TEST(AttentionKernel, SeesWindowsPaddingAndSinks) {
  const float sinks[] = {0.5f, -2, 3, -inf, 0, 1, 2, 3};
  const int64_t offsets[] = {3, 0, 260}, lengths[] = {4, 0, 1000};
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes)
      for (int64_t left : {-1, 0, 40})
        for (int64_t right : {-1, 0, 3}) {
          Problem p(s);
          p.a.left = left, p.a.right = right, p.a.offset = s.keys - s.queries;
          p.expect(*table, 1e-5);
          p.a.offsets = offsets, p.a.valid_keys = lengths, p.a.sinks = sinks, p.a.softcap = 1.5f;
          p.expect(*table, 1e-5);
          p.a.sinks = nullptr, p.a.zero_sink = true;
          p.expect(*table, 1e-5);
        }
}

TEST(AttentionKernel, WidensAndNarrowsStorageTypes) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes)
      for (const bool half : {false, true}) {
        Problem p(s);
        const auto narrow = half ? table->f32_to_f16 : table->f32_to_bf16;
        const auto widen = half ? table->f16_to_f32 : table->bf16_to_f32;
        const auto through = [&](std::vector<float>& x, std::vector<uint16_t>& to) {
          to.resize(x.size());
          narrow(x.data(), to.data(), int64_t(x.size()));
          widen(to.data(), x.data(), int64_t(x.size()));
        };
        through(p.k, p.narrow_k), through(p.v, p.narrow_v);
        p.a.k.data = p.narrow_k.data(), p.a.v.data = p.narrow_v.data();
        p.a.k.type = p.a.v.type = half ? FloatType::f16 : FloatType::bf16;
        p.expect(*table, 1e-5);
      }
}

TEST(AttentionKernel, KeepsSoftmaxOfLargeScoresAndLetsNanThrough) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes) {
      Problem p(s);
      for (float& x : p.q) x *= 100;
      p.expect(*table, 2e-3);  // rounding of scores of hundreds
      p.k[p.k.size() / 2] = nan;
      p.expect(*table, 2e-3);
      p.k.back() = nan;  // behind the end: not read
    }
}

TEST(AttentionKernel, GivesZerosWhereNothingIsSeen) {
  for (const Kernels* table : all_tables())
    for (const Shape& s : shapes) {
      Problem p(s);
      p.add_mask(true, false, false, 3);
      std::fill(p.mask.begin(), p.mask.end(), -inf);
      p.k[0] = nan;  // hidden keys do not matter
      p.expect(*table);
      EXPECT_EQ(p.y[0], 0.0f);
      p.a.bias[0].columns = 0;
      p.expect(*table);
      Shape empty = s;
      empty.keys = 0;
      Problem(empty).expect(*table);
    }
}

TEST(AttentionKernel, SpreadsEvenlyUnderTheLowestFiniteMask) {
  for (const Kernels* table : all_tables()) {
    Problem p({1, 1, 1, 5, 33, 16, 17});
    p.add_mask(false, false, false, 3);
    std::fill(p.mask.begin(), p.mask.end(), std::numeric_limits<float>::lowest());
    std::fill(p.q.begin(), p.q.end(), 0.0f);
    p.expect(*table);
  }
}

}  // namespace
}  // namespace outpost::kernels
