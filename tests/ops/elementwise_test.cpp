// Elementwise operators against the definition of broadcasting written out plainly, on shapes that take every path
// (flat, rows, tiles, short rows, narrow types), and what the conformance suite leaves open: wrapping, division by
// zero, wide shifts, casts of text, hostile values.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "node_run.h"
#include "ops/broadcast.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using test::error_of;
using test::i64;
using test::list;
using test::run_node;

Tensor random_tensor(DType dtype, const Shape& shape, Random& random) {
  std::vector<double> values(static_cast<size_t>(shape.count()));
  for (double& v : values) v = std::floor(random.uniform() * 17) - 8;
  Tensor t(dtype, shape);
  convert(DType::f64, values.data(), dtype, t.raw(), t.count());
  return t;
}
std::vector<double> reals(const Tensor& t) {
  std::vector<double> values(static_cast<size_t>(t.count()));
  convert(t.dtype(), t.raw(), DType::f64, values.data(), t.count());
  return values;
}
// Element `index` of `out` in an operand's memory, from the definition.
int64_t position(const Shape& out, const Shape& operand, int64_t index) {
  int64_t at = 0, stride = 1;
  for (int axis = out.rank() - 1, k = operand.rank() - 1; axis >= 0; --axis, --k) {
    const int64_t i = index % out[axis];
    index /= out[axis];
    if (k < 0) continue;
    at += (operand[k] == 1 ? 0 : i) * stride;
    stride *= operand[k];
  }
  return at;
}

struct Shapes {
  Shape a, b, out;
};
const Shapes shapes[] = {
    {{5}, {5}, {5}},
    {{}, {7}, {7}},
    {{3, 4}, {4}, {3, 4}},
    {{3, 4}, {3, 1}, {3, 4}},
    {{3, 1, 5}, {1, 4, 1}, {3, 4, 5}},
    {{2, 3, 50, 4}, {3, 1, 1}, {2, 3, 50, 4}},
    {{700, 3}, {3}, {700, 3}},
    {{700, 3}, {700, 1}, {700, 3}},
    {{1, 20000}, {20000}, {1, 20000}},
    {{40000}, {1, 1}, {1, 40000}},
    {{2, 1, 3, 1, 2}, {5, 1, 40, 1}, {2, 5, 3, 40, 2}},
    {{129, 1}, {1, 257}, {129, 257}},
    {{0, 3}, {3}, {0, 3}},
    {{1}, {0}, {0}},
};

TEST(Elementwise, BroadcastsLikeTheDefinition) {
  Random random(3);
  for (const Shapes& s : shapes)
    for (DType dtype : {DType::f32, DType::f64, DType::f16, DType::i32, DType::i64, DType::i8}) {
      const Tensor a = random_tensor(dtype, s.a, random), b = random_tensor(dtype, s.b, random);
      const Tensor c = random_tensor(DType::boolean, s.out, random);
      const auto sum = run_node("Add", {a, b})[0], less = run_node("Less", {a, b})[0],
                 chosen = run_node("Where", {c, a, b})[0];
      ASSERT_EQ(sum.shape(), s.out);
      const auto va = reals(a), vb = reals(b), vc = reals(c), got = reals(sum), below = reals(less),
                 picked = reals(chosen);
      int64_t wrong = 0;
      for (int64_t i = 0; i < s.out.count(); ++i) {
        const double x = va[static_cast<size_t>(position(s.out, s.a, i))],
                     y = vb[static_cast<size_t>(position(s.out, s.b, i))];
        const auto at = static_cast<size_t>(i);
        wrong += got[at] != x + y || below[at] != (x < y) || picked[at] != (vc[at] ? x : y);
      }
      EXPECT_EQ(wrong, 0) << name(dtype) << " " << to_string(s.a) << " " << to_string(s.b);
    }
}

TEST(Elementwise, CollapsesAxes) {
  const Shape out{2, 3, 4, 5}, row{5}, plane{3, 1, 1}, same{2, 3, 4, 5};
  EXPECT_EQ(make_broadcast(out, {&same, &same}).rank, 1);
  EXPECT_EQ(make_broadcast(out, {&same, &row}).rank, 2);
  EXPECT_EQ(make_broadcast(out, {&same, &plane}).rank, 3);
  const Shape one{1, 1}, none{};
  const auto scalars = make_broadcast(one, {&one, &none});
  EXPECT_EQ(scalars.rank, 0);
  EXPECT_TRUE(scalars.scalar[1] && scalars.contiguous[0]);
}

TEST(Elementwise, IntegersWrapAndNeverDivideByZero) {
  const int64_t low = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(list<int64_t>(run_node("Div", {i64({low, 7, -7}), i64({-1, 2, 2})})[0]),
            (std::vector<int64_t>{low, 3, -3}));
  EXPECT_EQ(list<int64_t>(run_node("Mod", {i64({low, -7, 7}), i64({-1, 3, -3})})[0]), (std::vector<int64_t>{0, 2, -2}));
  EXPECT_EQ(list<int64_t>(run_node("Mod", {i64({-7, 7}), i64({3, -3})}, {{"fmod", int64_t{1}}})[0]),
            (std::vector<int64_t>{-1, 1}));
  EXPECT_EQ(list<int64_t>(run_node("Neg", {i64({low})})[0]), std::vector<int64_t>{low});
  EXPECT_EQ(list<int64_t>(run_node("Abs", {i64({low})})[0]), std::vector<int64_t>{low});
  EXPECT_EQ(list<int64_t>(run_node("Mul", {i64({low}), i64({3})})[0]), std::vector<int64_t>{low});
  EXPECT_EQ(list<int64_t>(run_node("Pow", {i64({3, -2, 2, 0}), i64({40, 63, -1, 0})})[0]),
            (std::vector<int64_t>{static_cast<int64_t>(12157665459056928801u), low, 0, 1}));
  const auto message = error_of("Div", {i64({1, 2, 3}), i64({1, 0, 1})});
  EXPECT_NE(message.find("element 1 of the divisor is 0"), message.npos) << message;
  EXPECT_NE(error_of("Mod", {Tensor::of({uint8_t{1}}), Tensor::of({uint8_t{0}})}), "");
  const auto i8 = Tensor::of({int8_t{-128}});
  EXPECT_EQ(list<int8_t>(run_node("Div", {i8, Tensor::of({int8_t{-1}})})[0])[0], -128);
}

TEST(Elementwise, ShiftsPastTheWidth) {
  const auto shift = [](const Tensor& a, const Tensor& b, const char* direction) {
    return run_node("BitShift", {a, b}, {{"direction", std::string(direction)}})[0];
  };
  const auto bytes = [](std::initializer_list<uint8_t> v) { return Tensor::of(v); };
  EXPECT_EQ(list<uint8_t>(shift(bytes({255, 255, 1}), bytes({8, 200, 7}), "LEFT")), (std::vector<uint8_t>{0, 0, 128}));
  EXPECT_EQ(list<uint8_t>(shift(bytes({255, 255, 128}), bytes({8, 200, 7}), "RIGHT")), (std::vector<uint8_t>{0, 0, 1}));
  EXPECT_EQ(list<int64_t>(shift(i64({-5, -5, 5, -5}), i64({64, -1, 64, 1}), "RIGHT")),
            (std::vector<int64_t>{-1, -1, 0, -3}));
  EXPECT_EQ(list<int64_t>(shift(i64({-5, 5}), i64({64, -1}), "LEFT")), (std::vector<int64_t>{0, 0}));
  EXPECT_NE(error_of("BitShift", {i64({1}), i64({1})}, {{"direction", std::string("UP")}}), "");
}

TEST(Elementwise, NanWinsMinAndMax) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  for (const char* op : {"Min", "Max"}) {
    const auto y = list<float>(
        run_node(op, {Tensor::of({nan, 1.f, inf}), Tensor::of({1.f, nan, -inf}), Tensor::of({0.f, 0.f, 0.f})})[0]);
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1])) << op;
    EXPECT_EQ(y[2], op[1] == 'i' ? -inf : inf);
  }
  EXPECT_TRUE(
      std::isnan(list<float>(run_node("Clip", {Tensor::of({nan}), Tensor::scalar(0.f), Tensor::scalar(1.f)})[0])[0]));
  EXPECT_EQ(list<float>(run_node("Clip", {Tensor::of({5.f}), Tensor::scalar(3.f), Tensor::scalar(1.f)})[0])[0],
            1.f);  // high wins
}

TEST(Cast, TextBothWays) {
  const auto cast = [](const Tensor& x, DType to) { return run_node("Cast", {x}, {{"to", int64_t(to)}})[0]; };
  const auto words = Tensor::of(std::vector<std::string>{" 1.5", "-2e3", "+INF", "nan", "0x", "7"}, {6});
  EXPECT_NE(error_of("Cast", {words}, {{"to", int64_t(DType::f32)}}).find("\"0x\""), std::string::npos);
  const auto numbers = Tensor::of(std::vector<std::string>{" 1.5", "-2e3", "+INF", "nan", "1e-50", "7"}, {6});
  const auto f = list<float>(cast(numbers, DType::f32));
  EXPECT_EQ(f[0], 1.5f);
  EXPECT_EQ(f[1], -2000.f);
  EXPECT_TRUE(std::isinf(f[2]) && std::isnan(f[3]));
  EXPECT_EQ(f[4], 0.f);
  EXPECT_EQ(
      list<int64_t>(cast(Tensor::of(std::vector<std::string>{"9223372036854775807", "100.5", "-3"}, {3}), DType::i64)),
      (std::vector<int64_t>{INT64_MAX, 100, -3}));
  const auto texts = [&](const Tensor& x) { return list<std::string>(cast(x, DType::string)); };
  EXPECT_EQ(texts(Tensor::of({1.f, 0.1f, -2.5e-7f, 1e20f, std::nanf(""), 314.15926f})),
            (std::vector<std::string>{"1.0", "0.1", "-2.5e-07", "1e+20", "nan", "314.15927"}));
  EXPECT_EQ(texts(cast(Tensor::of({0.1f, 65504.f}), DType::f16)), (std::vector<std::string>{"0.1", "65500.0"}));
  EXPECT_EQ(texts(i64({-7})), std::vector<std::string>{"-7"});
  EXPECT_EQ(texts(Tensor::of({true, false})), (std::vector<std::string>{"True", "False"}));
  for (int64_t to : {0, 14, 27, -1}) EXPECT_NE(error_of("Cast", {i64({1})}, {{"to", to}}), "");
}

TEST(Constants, HostileSizesAreErrors) {
  const int64_t big = int64_t{1} << 40;
  for (auto& shape : {i64({-1}), i64({big, big}), i64({big}), i64(std::vector<int64_t>(70, 1))})
    EXPECT_NE(error_of("ConstantOfShape", {shape}), "");
  const auto scalar = [](int64_t v) { return Tensor::scalar(v); };
  EXPECT_NE(error_of("Range", {scalar(0), scalar(5), scalar(0)}), "");
  EXPECT_NE(error_of("Range", {scalar(INT64_MIN), scalar(INT64_MAX), scalar(1)}), "");
  EXPECT_NE(error_of("Range", {Tensor::scalar(0.f), Tensor::scalar(INFINITY), Tensor::scalar(1.f)}), "");
  EXPECT_NE(error_of("Range", {Tensor::scalar(0.f), Tensor::scalar(NAN), Tensor::scalar(1.f)}), "");
  EXPECT_EQ(list<int64_t>(run_node("Range", {scalar(INT64_MAX - 2), scalar(INT64_MAX), scalar(2)})[0]),
            (std::vector<int64_t>{INT64_MAX - 2}));
  EXPECT_EQ(run_node("Range", {scalar(3), scalar(-4), scalar(-2)})[0].count(), 4);
}

TEST(RandomTensors, SeededDropoutIsNumpys) {
  // numpy.random.RandomState(0).uniform(size=5): .5488 .7152 .6028 .5449 .4237
  const auto y =
      run_node("Dropout", {Tensor::of({1.f, 1.f, 1.f, 1.f, 1.f}), Tensor::scalar(0.6f), Tensor::scalar(true)},
               {{"seed", int64_t{0}}}, 2);
  EXPECT_EQ(list<bool>(y[1]), (std::vector<bool>{false, true, true, false, false}));
  EXPECT_FLOAT_EQ(list<float>(y[0])[1], 2.5f);
  EXPECT_NE(error_of("Dropout", {Tensor::of({1.f}), Tensor::scalar(1.f), Tensor::scalar(true)}), "");
  const auto u = run_node("RandomUniform", {}, {{"shape", std::vector<int64_t>{2}}, {"seed", 0.f}})[0];
  EXPECT_FLOAT_EQ(list<float>(u)[0], 0.5488135f);
  const auto n = run_node("RandomNormal", {}, {{"shape", std::vector<int64_t>{2}}, {"seed", 0.f}})[0];
  EXPECT_FLOAT_EQ(list<float>(n)[0], 1.7640524f);
  EXPECT_FLOAT_EQ(list<float>(n)[1], 0.4001572f);
}

TEST(RandomTensors, HaveTheirMoments) {
  const auto n = list<float>(
      run_node("RandomNormal", {}, {{"shape", std::vector<int64_t>{50000}}, {"mean", 1.f}, {"scale", 2.f}})[0]);
  double sum = 0, squares = 0;
  for (float v : n) {
    sum += v;
    squares += v * v;
  }
  const double mean = sum / 50000, variance = squares / 50000 - mean * mean;
  EXPECT_NEAR(mean, 1, 0.05);
  EXPECT_NEAR(variance, 4, 0.15);
  EXPECT_NE(error_of("Multinomial", {Tensor::of(std::vector<float>{NAN, 1}, {1, 2})}), "");
}

}  // namespace
}  // namespace outpost
