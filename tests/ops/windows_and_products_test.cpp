// Windows, products and reductions where the laws' cases do not reach: unfolding against its definition, equations,
// operands that no kernel takes as they are, and hostile values and shapes, which must be errors.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "node_run.h"
#include "ops/einsum_equation.h"
#include "ops/window.h"

namespace outpost {
namespace {

using test::error_of;
using test::i64;
using test::iota;
using test::list;
using test::run_node;

Tensor floats(std::vector<float> values, Shape shape) { return Tensor::of(values, std::move(shape)); }
Tensor zeros(DType dtype, Shape shape) {
  Tensor t(dtype, std::move(shape));
  std::memset(t.raw(), 0, t.bytes());
  return t;
}

// The element (c, tap) x position that unfold() must give, from the definition.
float unfolded(const kernels::Window& w, const std::vector<float>& x, int64_t c, const int64_t (&tap)[3], int64_t p) {
  const int64_t at[3] = {p / w.out[2] / w.out[1], p / w.out[2] % w.out[1], p % w.out[2]};
  int64_t index = c;
  for (int i = 0; i < 3; ++i) {
    const int64_t v = at[i] * w.stride[i] + tap[i] * w.dilation[i] - w.pad[i];
    if (v < 0 || v >= w.in[i]) return -1;
    index = index * w.in[i] + v;
  }
  return x[static_cast<size_t>(index)];
}

void check_unfold(const kernels::Window& w) {
  constexpr int64_t channels = 2;
  const int64_t positions = volume(w.out);
  std::vector<float> x(static_cast<size_t>(channels * volume(w.in)));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  const float fill = -1;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, positions}, {positions / 3, positions - 1}}) {
    std::vector<float> y(static_cast<size_t>(channels * volume(w.kernel) * (end - begin)));
    unfold(w, 4, channels, x.data(), begin, end, &fill, y.data());
    size_t at = 0;
    int64_t tap[3];
    for (int64_t c = 0; c < channels; ++c)
      for (tap[0] = 0; tap[0] < w.kernel[0]; ++tap[0])
        for (tap[1] = 0; tap[1] < w.kernel[1]; ++tap[1])
          for (tap[2] = 0; tap[2] < w.kernel[2]; ++tap[2])
            for (int64_t p = begin; p < end; ++p) ASSERT_EQ(y[at++], unfolded(w, x, c, tap, p)) << "position " << p;
  }
}

TEST(Window, UnfoldsByItsDefinition) {
  check_unfold({.in = {1, 5, 7}, .out = {1, 5, 7}, .kernel = {1, 3, 3}, .pad = {0, 1, 1}});
  check_unfold({.in = {1, 6, 9}, .out = {1, 3, 4}, .kernel = {1, 2, 3}, .stride = {1, 2, 2}, .pad = {0, 0, 1}});
  check_unfold({.in = {3, 4, 5}, .out = {3, 2, 3}, .kernel = {2, 2, 2}, .stride = {1, 2, 2}, .dilation = {2, 1, 3},
                .pad = {1, 0, 2}});
  check_unfold({.in = {1, 1, 3}, .out = {1, 1, 9}, .kernel = {1, 1, 4}, .pad = {0, 0, 5}});
}

TEST(Window, CeilModeDropsAWindowInTheTrailingPad) {
  WindowAttributes a;
  a.kernel = {1, {1}}, a.stride = {1, {2}}, a.ceil_mode = true;
  EXPECT_EQ(resolve_axis(a, 0, 1, 4).out, 2);  // the third window would start beyond the input
  a.kernel = {1, {3}};
  EXPECT_EQ(resolve_axis(a, 0, 1, 4).out, 2);
  EXPECT_EQ(resolve_axis(a, 0, 1, 5).out, 2);
  EXPECT_EQ(resolve_axis(a, 0, 1, 6).out, 3);
}

TEST(Window, HostileAttributesAreErrors) {
  const Tensor x = iota({1, 1, 4, 4}), w = iota({1, 1, 2, 2});
  const int64_t huge = std::numeric_limits<int64_t>::max();
  for (const char* name : {"strides", "dilations"}) {
    EXPECT_NE(error_of("Conv", {x, w}, {{name, std::vector<int64_t>{0, 1}}}), "") << name;
    EXPECT_NE(error_of("Conv", {x, w}, {{name, std::vector<int64_t>{huge, 1}}}), "") << name;
    EXPECT_NE(error_of("Conv", {x, w}, {{name, std::vector<int64_t>{1}}}), "") << name;
  }
  EXPECT_NE(error_of("Conv", {x, w}, {{"pads", std::vector<int64_t>{-1, 0, 0, 0}}}), "");
  EXPECT_NE(error_of("Conv", {x, w}, {{"group", huge}}), "");
  EXPECT_NE(error_of("Conv", {x, w}, {{"auto_pad", std::string("SAME")}}), "");
  EXPECT_NE(error_of("Conv", {x, zeros(DType::f32, {1, 1, 0, 2})}), "");
  EXPECT_NE(error_of("Conv", {x, iota({1, 1, 5, 5})}), "");
  EXPECT_NE(error_of("ConvTranspose", {x, w}, {{"output_shape", std::vector<int64_t>{huge, huge}}}), "");
  EXPECT_NE(error_of("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{huge, 1}}}), "");
  EXPECT_NE(error_of("MaxPool", {x}), "");
}

TEST(Regions, HostileValuesAreErrors) {
  const Tensor x = iota({1, 1, 4, 4}), whole = floats({0, 0, 3, 3}, {1, 4});
  EXPECT_EQ(error_of("RoiAlign", {x, whole, i64({0})}), "");
  for (int64_t batch : {int64_t{1}, int64_t{-1}, std::numeric_limits<int64_t>::min()})
    EXPECT_NE(error_of("RoiAlign", {x, whole, i64({batch})}), "");
  for (float v : {std::nanf(""), INFINITY, 1e30f})
    EXPECT_NE(error_of("RoiAlign", {x, floats({0, 0, v, v}, {1, 4}), i64({0})}), "") << v;
  const Attributes pooled{{"pooled_shape", std::vector<int64_t>{1, 1}}};
  EXPECT_NE(error_of("MaxRoiPool", {x, floats({7, 0, 0, 3, 3}, {1, 5})}, pooled), "");
  EXPECT_NE(error_of("MaxRoiPool", {x, floats({0, 0, 0, NAN, 3}, {1, 5})}, pooled), "");
  const Attributes two{{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}};
  const Tensor one = iota({1, 1, 1, 1});
  for (int64_t index : {int64_t{-1}, int64_t{4}, std::numeric_limits<int64_t>::max()})
    EXPECT_NE(error_of("MaxUnpool", {one, Tensor::of(std::vector<int64_t>{index}, {1, 1, 1, 1})}, two), "") << index;
}

TEST(MatMulNBits, HostileValuesAreErrors) {
  const Attributes a{{"K", int64_t{16}}, {"N", int64_t{1}}, {"bits", int64_t{4}}, {"block_size", int64_t{16}}};
  const Tensor x = iota({1, 16}), b = zeros(DType::u8, {1, 1, 8}), scale = iota({1});
  Tensor group = zeros(DType::i32, {16});
  EXPECT_EQ(error_of("MatMulNBits", {x, b, scale, {}, group}, a, 1, "com.microsoft"), "");
  group.data<int32_t>()[3] = 1;
  EXPECT_NE(error_of("MatMulNBits", {x, b, scale, {}, group}, a, 1, "com.microsoft"), "");
  EXPECT_NE(error_of("MatMulNBits", {x, zeros(DType::u8, {1, 1, 7}), scale}, a, 1, "com.microsoft"), "");
}

TEST(Einsum, ReadsEquations) {
  Node node;
  const Equation e = Equation::parse(node, "...i, ij");
  EXPECT_EQ(to_text(e.output), "...j");
  EXPECT_EQ(to_text(Equation::parse(node, "ba").output), "ab");
  for (const char* bad : {"i1->i", "i->ij", "ij->ii", "i...j...->ij", "i->i->i", "..i"})
    EXPECT_THROW(Equation::parse(node, bad), Error) << bad;
  const Tensor x = iota({2, 3});
  EXPECT_NE(error_of("Einsum", {x}, {{"equation", std::string("ijk->i")}}), "");
  EXPECT_NE(error_of("Einsum", {x, x}, {{"equation", std::string("ij,jk->ik")}}), "");
  EXPECT_NE(error_of("Einsum", {x}, {{"equation", std::string("ij,jk->ik")}}), "");
}

TEST(Einsum, DiagonalsSumsAndBroadcast) {
  const Tensor x = iota({3, 3});
  auto of = [](const char* equation, std::vector<Tensor> in) {
    return list<float>(run_node("Einsum", in, {{"equation", std::string(equation)}})[0]);
  };
  EXPECT_EQ(of("ii->i", {x}), (std::vector<float>{0, 4, 8}));
  EXPECT_EQ(of("ii", {x}), (std::vector<float>{12}));
  EXPECT_EQ(of("ij->j", {x}), (std::vector<float>{9, 12, 15}));
  EXPECT_EQ(of("ij,j->i", {x, floats({2}, {1})}), (std::vector<float>{6, 24, 42}));  // a size of 1 broadcasts
}

TEST(Reduce, EmptyAndNarrow) {
  const Tensor axes = i64({1});
  const Tensor empty = zeros(DType::i8, {2, 0});
  EXPECT_EQ(list<int8_t>(run_node("ReduceMax", {empty, axes})[0]), (std::vector<int8_t>{-128, -128}));
  EXPECT_EQ(list<int8_t>(run_node("ReduceMin", {empty, axes})[0]), (std::vector<int8_t>{127, 127}));
  const Tensor bits = Tensor::of(std::vector<uint8_t>{200, 100, 50}, {1, 3});
  EXPECT_EQ(run_node("ReduceMax", {bits, axes})[0].data<uint8_t>()[0], 200);
  EXPECT_NE(error_of("ReduceSum", {iota({2, 2}), i64({2})}), "");
  EXPECT_NE(error_of("ReduceSum", {iota({2, 2}), i64({std::numeric_limits<int64_t>::min()})}), "");
}

}  // namespace
}  // namespace outpost
