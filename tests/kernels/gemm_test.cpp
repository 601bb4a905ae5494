// Matrix products against sums in double: odd sizes around every register, panel and block edge; transposed and strided
// operands; packed and unpacked B; storage types; epilogues; and that tiles may be run in any grouping.
#include "kernels/kernels_check.h"

#include <cstring>
#include <string_view>

namespace outpost::kernels {
namespace {

struct Layout {
  bool a_transposed = false, b_transposed = false, packed = false;
  int64_t a_gap = 0, b_gap = 0, c_gap = 0;  // extra elements between rows
  int64_t inner = 1;                        // unit strides become this
};

std::vector<std::byte> bytes_for(size_t n) { return std::vector<std::byte>(n + 64, std::byte{0xff}); }
void* aligned(std::vector<std::byte>& memory) {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
}

void run_all(const Kernels& table, const Gemm& g, bool one_by_one = false) {
  std::vector<std::byte> scratch = bytes_for(table.gemm_scratch_bytes(g));
  const int64_t tiles = table.gemm_tiles(g);
  if (!one_by_one) return table.gemm(g, 0, tiles, aligned(scratch));
  for (int64_t i = tiles; i-- > 0;) {
    std::fill(scratch.begin(), scratch.end(), std::byte{0xff});
    table.gemm(g, i, i + 1, aligned(scratch));
  }
}

double activated(double x, const Epilogue& e) {
  switch (e.activation) {
    case Activation::none: return x;
    case Activation::relu: return std::max(x, 0.0);
    case Activation::clip: return std::min<double>(std::max<double>(x, e.low), e.high);
    case Activation::leaky: return x < 0 ? x * e.low : x;
    case Activation::sigmoid: return 1 / (1 + std::exp(-x));
    case Activation::tanh: return std::tanh(x);
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::gelu_erf: return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::hardswish: return x * std::min(1.0, std::max(0.0, x / 6 + 0.5));
  }
  return x;
}

template <class T>
struct Problem {
  Gemm g;
  std::vector<T> a, b, c, row_bias, column_bias, residual;
  std::vector<std::byte> packed;

  Problem(const Kernels& table, int64_t m, int64_t n, int64_t k, const Layout& s, Epilogue e = {}, double alpha = 1,
          bool biases = false) {
    const auto numbers = [](int64_t count, uint32_t seed) {
      const std::vector<float> f = random_floats(count, seed);
      return std::vector<T>(f.begin(), f.end());
    };
    g.m = m, g.n = n, g.k = k, g.alpha = alpha;
    g.a_type = g.b_type = g.c_type = sizeof(T) == 8 ? FloatType::f64 : FloatType::f32;
    const int64_t a_row = (s.a_transposed ? m : k) * s.inner + s.a_gap,
                  b_row = (s.b_transposed ? k : n) * s.inner + s.b_gap;
    a = numbers((s.a_transposed ? k : m) * a_row + 1, 1);
    b = numbers((s.b_transposed ? n : k) * b_row + 1, 2);
    g.c_row_stride = n + s.c_gap;
    c = numbers(m * g.c_row_stride + 1, 3);
    g.a_row_stride = s.a_transposed ? s.inner : a_row, g.a_column_stride = s.a_transposed ? a_row : s.inner;
    g.b_row_stride = s.b_transposed ? s.inner : b_row, g.b_column_stride = s.b_transposed ? b_row : s.inner;
    g.a = a.data(), g.b = b.data(), g.c = c.data();
    if (biases) {
      row_bias = numbers(m, 4), column_bias = numbers(n, 5), residual = numbers(m * (n + 3), 6);
      e.row_bias = row_bias.data(), e.column_bias = column_bias.data(), e.residual = residual.data();
      e.residual_row_stride = n + 3, e.residual_scale = 0.75;
    }
    g.epilogue = e;
    if (s.packed) {
      packed = bytes_for(table.gemm_pack_b_bytes(g));
      table.gemm_pack_b(g, aligned(packed));
      g.packed_b = aligned(packed);
      g.b = nullptr;
    }
  }

  void check(const Kernels& table, const char* what) {
    const std::vector<T> before = c;
    run_all(table, g);
    const std::vector<T> together = c;
    c = before;
    g.c = c.data();
    run_all(table, g, true);
    ASSERT_EQ(std::memcmp(c.data(), together.data(), c.size() * sizeof(T)), 0) << what << " depends on the grouping";
    const double epsilon = std::numeric_limits<T>::epsilon();
    for (int64_t i = 0; i < g.m; ++i) {
      for (int64_t j = 0; j < g.n; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t p = 0; p < g.k; ++p) {
          const double term = double(a[i * g.a_row_stride + p * g.a_column_stride]) *
                              double(b[p * g.b_row_stride + j * g.b_column_stride]);
          sum += term, magnitude += std::fabs(term);
        }
        sum *= g.alpha;
        if (!row_bias.empty()) {
          sum += row_bias[i] + column_bias[j] + 0.75 * residual[i * (g.n + 3) + j];
          magnitude += 4;
        }
        const double want = activated(sum, g.epilogue), got = c[i * g.c_row_stride + j];
        ASSERT_NEAR(got, want, 4 * epsilon * (magnitude * std::fabs(g.alpha) + std::fabs(want)) * std::sqrt(g.k + 1.0))
            << table.isa << " " << what << " m=" << g.m << " n=" << g.n << " k=" << g.k << " at " << i << "," << j;
      }
      for (int64_t j = g.n; j < g.c_row_stride; ++j)
        ASSERT_EQ(c[i * g.c_row_stride + j], before[i * g.c_row_stride + j]) << what << " wrote past its columns";
    }
  }
};

template <class T>
void check_shape(int64_t m, int64_t n, int64_t k) {
  const std::pair<const char*, Layout> layouts[] = {
      {"plain", {}}, {"B transposed", {.b_transposed = true}}, {"A transposed", {.a_transposed = true}},
      {"packed", {.packed = true}}, {"packed transposed", {.a_transposed = true, .b_transposed = true, .packed = true}},
      {"gaps", {.a_gap = 3, .b_gap = 5, .c_gap = 2}}, {"strided", {.inner = 2}}};
  for (const Kernels* table : all_tables())
    for (const auto& [what, layout] : layouts) {
      Problem<T>(*table, m, n, k, layout).check(*table, what);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(Gemm, MatchesDoubleSumsAtEdges) {
  for (int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 17, 25, 31})
    for (int64_t n : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 129})
      for (int64_t k : {0, 1, 2, 3, 8, 17, 64}) {
        check_shape<float>(m, n, k);
        if (HasFatalFailure()) return;
      }
}

TEST(Gemm, MatchesDoubleSumsAcrossBlocks) {
  const int64_t shapes[][3] = {{1, 300, 700},   {3, 1100, 330}, {30, 70, 641}, {150, 20, 321},
                               {147, 270, 100}, {300, 130, 37}, {7, 1037, 50}, {61, 259, 650},
                               {80, 90, 1700}, {26, 70, 6000}};
  for (const auto& s : shapes) check_shape<float>(s[0], s[1], s[2]);
}

TEST(Gemm, MatchesDoubleSumsInDouble) {
  for (int64_t m : {1, 3, 6, 11})
    for (int64_t n : {1, 4, 7, 8, 13, 35})
      for (int64_t k : {0, 1, 5, 650}) check_shape<double>(m, n, k);
  check_shape<double>(150, 270, 40);
}

TEST(Gemm, AppliesEpilogues) {
  const Activation all[] = {Activation::none,      Activation::relu,     Activation::clip, Activation::leaky,
                            Activation::sigmoid,   Activation::tanh,     Activation::silu, Activation::gelu_erf,
                            Activation::gelu_tanh, Activation::hardswish};
  for (const Kernels* table : all_tables())
    for (Activation activation : all)
      for (int64_t k : {0, 5, 700})
        for (const bool biases : {false, true}) {
          const Epilogue e{
              .activation = activation, .low = activation == Activation::leaky ? 0.1f : -0.5f, .high = 0.75f};
          Problem<float>(*table, 13, 37, k, {}, e, 0.5, biases).check(*table, "epilogue");
          Problem<float>(*table, 12, 64, k, {.packed = true}, e, 1, biases).check(*table, "epilogue, packed");
          if (activation <= Activation::leaky)
            Problem<double>(*table, 13, 37, k, {}, e, 0.5, biases).check(*table, "f64");
        }
}

// The output may be its own residual: C = AB + C.
TEST(Gemm, AddsToItsOutput) {
  for (const Kernels* table : all_tables()) {
    Problem<float> p(*table, 19, 45, 900, {});
    const std::vector<float> before = p.c;
    run_all(*table, p.g);
    const std::vector<float> product = p.c;
    p.c = before;
    p.g.epilogue = {.residual = p.c.data(), .residual_row_stride = p.g.c_row_stride, .residual_scale = -1};
    run_all(*table, p.g);
    for (size_t i = 0; i + 1 < product.size(); ++i) EXPECT_NEAR(p.c[i], product[i] - before[i], 1e-4);
  }
}

float widened(const Kernels& table, uint16_t bits, FloatType type) {
  float value;
  (type == FloatType::f16 ? table.f16_to_f32 : table.bf16_to_f32)(&bits, &value, 1);
  return value;
}

TEST(Gemm, WidensStorageTypes) {
  for (const Kernels* table : all_tables())
    for (FloatType type : {FloatType::f16, FloatType::bf16})
      for (int64_t m : {1, 7, 160})
        for (int64_t n : {5, 33, 130})
          for (const bool packed : {false, true}) {
            const int64_t k = 45;
            const auto narrow = type == FloatType::f16 ? table->f32_to_f16 : table->f32_to_bf16;
            const std::vector<float> a_wide = random_floats(m * k, 1), b_wide = random_floats(k * n, 2);
            std::vector<uint16_t> a(m * k), b(k * n), c(m * n);
            narrow(a_wide.data(), a.data(), m * k);
            narrow(b_wide.data(), b.data(), k * n);
            Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .a_row_stride = k, .b = b.data(), .b_row_stride = n,
                   .c = c.data(), .c_row_stride = n, .a_type = type, .b_type = type, .c_type = type};
            std::vector<std::byte> memory = bytes_for(table->gemm_pack_b_bytes(g));
            if (packed) table->gemm_pack_b(g, aligned(memory)), g.packed_b = aligned(memory);
            run_all(*table, g, true);
            for (int64_t i = 0; i < m; ++i)
              for (int64_t j = 0; j < n; ++j) {
                double sum = 0;
                for (int64_t p = 0; p < k; ++p)
                  sum += double(widened(*table, a[i * k + p], type)) * widened(*table, b[p * n + j], type);
                const double unit = type == FloatType::f16 ? 0x1p-11 : 0x1p-8;
                ASSERT_NEAR(widened(*table, c[i * n + j], type), sum, std::fabs(sum) * unit * 1.01 + 1e-5);
              }
          }
}

// What a table may make of operands that allow rounding: with the instructions for it products of values rounded to
// bf16, elsewhere f32. Sums are f32 either way.
TEST(Gemm, RoundsWhereBf16IsAllowed) {
  const int64_t shapes[][3] = {{1, 1, 1},   {1, 130, 65}, {3, 64, 31},   {4, 33, 200},  {5, 300, 64},   {12, 32, 2},
                               {13, 31, 3}, {24, 96, 64}, {31, 45, 129}, {67, 257, 71}, {150, 40, 1500}, {128, 384, 96}};
  for (const Kernels* table : all_tables())
    for (const auto& [m, n, k] : shapes)
      for (const Layout& layout : {Layout{.packed = true}, Layout{}, Layout{.a_transposed = true, .b_transposed = true},
                                   Layout{.b_transposed = true, .packed = true, .a_gap = 3, .c_gap = 2}}) {
        Problem<float> p(*table, m, n, k, layout, {.activation = Activation::leaky, .low = 0.5f}, 0.5, true);
        p.g.allow_bf16 = true;
        if (layout.packed) {
          p.g.b = p.b.data();
          p.packed = bytes_for(table->gemm_pack_b_bytes(p.g));
          table->gemm_pack_b(p.g, aligned(p.packed));
          p.g.packed_b = aligned(p.packed);
        }
        const bool rounds = layout.packed || (m >= 24 && n >= 32 && k >= 32);
        if (std::string_view(table->isa) == "avx512bf16" && rounds)
          for (auto* values : {&p.a, &p.b})
            for (float& x : *values) {
              uint16_t bits;
              table->f32_to_bf16(&x, &bits, 1);
              table->bf16_to_f32(&bits, &x, 1);
            }
        p.check(*table, "bf16");
        if (HasFatalFailure()) return;
      }
}

TEST(Gemm, PropagatesNanAndInfinity) {
  for (const Kernels* table : all_tables()) for (const bool bf16 : {false, true}) {
    Problem<float> p(*table, 9, 20, 30, {}, {.activation = Activation::relu});
    p.a[3 * 30 + 7] = nan;
    p.b[5 * 20 + 11] = inf;
    if (bf16) {
      p.g.allow_bf16 = true;
      p.packed = bytes_for(table->gemm_pack_b_bytes(p.g));
      table->gemm_pack_b(p.g, aligned(p.packed));
      p.g.packed_b = aligned(p.packed);
    }
    run_all(*table, p.g);
    for (int64_t i = 0; i < 9; ++i)
      for (int64_t j = 0; j < 20; ++j) {
        const float y = p.c[i * 20 + j];
        if (i == 3) EXPECT_TRUE(std::isnan(y));
        else if (j == 11) EXPECT_TRUE(y == 0 || y == inf);
        else EXPECT_TRUE(std::isfinite(y));
      }
  }
}

}  // namespace
}  // namespace outpost::kernels
