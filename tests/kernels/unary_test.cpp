// Unary and binary kernels against double references: every function, every instruction set, odd lengths, in place,
// special values, and the ulp bounds that vector_math.h states, over floats of every exponent.
#include "kernels/kernels_check.h"

#include <cstring>
#include <functional>

namespace outpost::kernels {
namespace {

struct Case {
  const char* name;
  Unary function;
  std::function<double(double)> reference;
  double ulps;
  float a = 0, b = 0;
  double relative_to_x = 0;  // where > 0 the error is bounded by this times |x| instead
};

double unit(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

const std::vector<Case>& cases() {
  static const double half_root = std::sqrt(0.5);
  static const std::vector<Case> list{
      {"relu", Unary::relu, [](double x) { return x < 0 ? 0 : x; }, 0},
      {"leaky", Unary::leaky, [](double x) { return x < 0 ? x * 0.01f : x; }, 0.51, 0.01f},
      {"negate", Unary::negate, [](double x) { return -x; }, 0},
      {"absolute", Unary::absolute, [](double x) { return std::fabs(x); }, 0},
      {"square", Unary::square, [](double x) { return x * x; }, 0.51},
      {"sqrt", Unary::sqrt, [](double x) { return std::sqrt(x); }, 0.51},
      {"rsqrt", Unary::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 1.5},
      {"reciprocal", Unary::reciprocal, [](double x) { return 1 / x; }, 0.51},
      {"exp", Unary::exp, [](double x) { return std::exp(x); }, 2},
      {"log", Unary::log, [](double x) { return std::log(x); }, 2},
      {"tanh", Unary::tanh, [](double x) { return std::tanh(x); }, 4},
      {"sigmoid", Unary::sigmoid, sigmoid_of, 3},
      {"erf", Unary::erf, [](double x) { return std::erf(x); }, 4},
      {"gelu_erf", Unary::gelu_erf, [](double x) { return 0.5 * x * std::erfc(-x * half_root); }, 0, 0, 0, 0x1p-21},
      {"gelu_tanh", Unary::gelu_tanh,
       [](double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }, 0, 0, 0,
       0x1p-21},
      {"silu", Unary::silu, [](double x) { return x * sigmoid_of(x); }, 4},
      {"softplus", Unary::softplus, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }, 3},
      {"softsign", Unary::softsign, [](double x) { return x / (1 + std::fabs(x)); }, 2},
      {"hardswish", Unary::hardswish,
       [](double x) { return x * unit(x * (1.0f / 6) + 0.5); }, 0, 0, 0, 0x1p-22},
      {"hard_sigmoid", Unary::hard_sigmoid,
       [](double x) { return unit(x * double(0.2f) + 0.5); }, 1e6, 0.2f, 0.5f},
      {"elu", Unary::elu, [](double x) { return x < 0 ? 1.5 * std::expm1(x) : x; }, 3, 1.5f},
      {"celu", Unary::celu, [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }, 3, 2.0f},
      {"selu", Unary::selu, [](double x) { return 1.25 * (x < 0 ? 1.5 * std::expm1(x) : x); }, 4, 1.5f, 1.25f},
      {"mish", Unary::mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, 4},
      {"clip", Unary::clip, [](double x) { return x < -2 ? -2 : x > 3 ? 3 : x; }, 0, -2, 3},
      {"floor", Unary::floor, [](double x) { return std::floor(x); }, 0},
      {"ceil", Unary::ceil, [](double x) { return std::ceil(x); }, 0},
      {"round_even", Unary::round_even, [](double x) { return std::nearbyint(x); }, 0},
      {"sin", Unary::sin, [](double x) { return std::sin(x); }, 2},
      {"cos", Unary::cos, [](double x) { return std::cos(x); }, 2},
  };
  return list;
}

// Limits that a formula in double gets wrong (inf * 0): what the function tends to.
double limit_at_infinity(const Case& c, float x) {
  switch (c.function) {
    case Unary::silu: case Unary::gelu_erf: case Unary::gelu_tanh: case Unary::mish: case Unary::hardswish:
      return x > 0 ? inf : 0;
    case Unary::softsign: return x > 0 ? 1 : -1;
    default: return c.reference(x);
  }
}

void check(const Kernels& table, const Case& c, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  table.unary[int(c.function)](x.data(), y.data(), int64_t(x.size()), c.a, c.b);
  double worst = 0;
  float worst_x = 0, worst_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = std::isinf(x[i]) ? limit_at_infinity(c, x[i]) : c.reference(x[i]);
    double error = ulp_error(y[i], want);
    const bool product = c.function == Unary::silu || c.function == Unary::mish;
    if (product && std::fabs(y[i] - want) <= std::fabs(x[i]) * 0x1p-149) error = 0;
    if (c.relative_to_x > 0 && std::isfinite(x[i]))
      error = std::fabs(y[i] - want) <= c.relative_to_x * std::fabs(x[i]) + 1e-44 ? 0 : error + c.ulps + 1;
    if (!(error <= worst)) worst = error, worst_x = x[i], worst_y = y[i];
  }
  EXPECT_LE(worst, c.ulps) << table.isa << " " << c.name << " at " << worst_x << " gives " << worst_y << ", not "
                           << c.reference(worst_x);
}

std::vector<float> specials() {
  std::vector<float> values{0.0f, -0.0f, 1, -1, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, inf, -inf, nan, 1e-45f, -1e-45f, 1e-39f,
                            -1e-39f, 1.17549435e-38f, 3.4e38f, -3.4e38f, 88.7f, 88.73f, 89, -87.4f, -103.9f, -104.1f,
                            -200, 200, 1e10f, -1e10f, 8388607.5f, 8388609, -8388607.5f, 4194303.5f, 0.49999997f};
  return values;
}

// Every `step`-th float of both signs.
std::vector<float> sweep(uint32_t step) {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += step) {
    const uint32_t narrow = uint32_t(bits);
    float x;
    std::memcpy(&x, &narrow, 4);
    if (!std::isnan(x)) values.push_back(x);
  }
  return values;
}

TEST(UnaryKernels, KeepTheirBoundsOverAllExponents) {
  const std::vector<float> x = sweep(24593), near = random_floats(60000, 1, -12, 12);
  const std::vector<float> far = random_floats(9999, 2, -110, 110);
  for (const Kernels* table : all_tables())
    for (const Case& c : cases()) {
      check(*table, c, x);
      check(*table, c, near);
      check(*table, c, far);
    }
}

TEST(UnaryKernels, GiveSpecialValues) {
  for (const Kernels* table : all_tables())
    for (const Case& c : cases()) check(*table, c, specials());
}

TEST(UnaryKernels, WorkAtEveryLengthAndInPlaceAndStayInside) {
  for (const Kernels* table : all_tables())
    for (const Case& c : cases())
      for (int64_t n : odd_sizes()) {
        const std::vector<float> x = random_floats(n + 1, 3, -3, 3);
        std::vector<float> y = x, again(n + 1, 77.0f);
        table->unary[int(c.function)](y.data(), y.data(), n, c.a, c.b);
        table->unary[int(c.function)](x.data(), again.data(), n, c.a, c.b);
        EXPECT_EQ(again[n], 77.0f);
        EXPECT_EQ(y[n], x[n]);
        for (int64_t i = 0; i < n; ++i) {
          float alone;  // the same function on one element must give the same bits wherever it stands
          table->unary[int(c.function)](&x[i], &alone, 1, c.a, c.b);
          ASSERT_EQ(std::memcmp(&alone, &y[i], 4), 0) << c.name << " " << table->isa << " n=" << n << " i=" << i;
          ASSERT_EQ(std::memcmp(&again[i], &y[i], 4), 0);
        }
      }
}

TEST(UnaryKernels, KeepTheSignOfZero) {
  for (const Kernels* table : all_tables())
    for (Unary f : {Unary::floor, Unary::ceil, Unary::round_even, Unary::tanh, Unary::erf, Unary::sin, Unary::sqrt}) {
      const float x = -0.0f;
      float y;
      table->unary[int(f)](&x, &y, 1, 0, 0);
      EXPECT_TRUE(y == 0 && std::signbit(y)) << table->isa << " " << int(f);
    }
}

TEST(BinaryKernels, MatchPlainArithmeticForEveryPairOfSteps) {
  using Reference = float (*)(float, float);
  const Reference references[] = {
      [](float a, float b) { return a + b; }, [](float a, float b) { return a - b; },
      [](float a, float b) { return a * b; }, [](float a, float b) { return a / b; },
      [](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b); },
      [](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b); }};
  for (const Kernels* table : all_tables())
    for (int f = 0; f < int(Binary::count); ++f)
      for (int64_t n : odd_sizes()) {
        std::vector<float> a = random_floats(n + 1, 4), b = random_floats(n + 1, 5);
        for (int64_t i = 0; i + 2 < n; i += 5) a[i] = nan, b[i + 1] = nan, a[i + 2] = -inf;
        for (int steps = 0; steps < 4; ++steps) {
          const int64_t a_step = steps & 1, b_step = steps >> 1;
          std::vector<float> y(n + 1, 5.0f);
          table->binary[f](a.data(), a_step, b.data(), b_step, y.data(), n);
          for (int64_t i = 0; i < n; ++i) {
            const float want = references[f](a[i * a_step], b[i * b_step]);
            ASSERT_TRUE(y[i] == want || (std::isnan(y[i]) && std::isnan(want))) << table->isa << f << " " << i;
          }
          EXPECT_EQ(y[n], 5.0f);
        }
      }
}

}  // namespace
}  // namespace outpost::kernels
