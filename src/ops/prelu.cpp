// PRelu: LeakyRelu with a slope from a tensor, which broadcasts to x (and only so).
#include <cstring>

#include "ops/elementwise.h"

namespace outpost {

namespace {

constexpr auto prelu = [](auto x, auto slope) { return x < 0 ? static_cast<decltype(x)>(slope * x) : x; };
// Integers multiply unsigned, so that they wrap.
constexpr auto prelu_integer = [](int64_t x, int64_t slope) {
  return x < 0 ? static_cast<int64_t>(uint64_t(slope) * uint64_t(x)) : x;
};

// A slope for every element (channel blocks have them so). Written in vectors: compilers keep the choice a branch.
void prelu_pairs(const float* x, const float* slope, float* y, int64_t n) {
  typedef float Four __attribute__((vector_size(16)));
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    Four a, b;
    std::memcpy(&a, x + i, sizeof a);
    std::memcpy(&b, slope + i, sizeof b);
    a = a < 0.0f ? a * b : a;
    std::memcpy(y + i, &a, sizeof a);
  }
  for (; i < n; ++i) y[i] = prelu(x[i], slope[i]);
}

// A slope for a whole row, one a channel, is what networks have.
void prelu_row(const void* x, int64_t x_step, const void* slope, int64_t slope_step, void* y, int64_t n) {
  if (!x_step) return binary_row<prelu, float>(x, x_step, slope, slope_step, y, n);
  const auto *in = static_cast<const float*>(x), *factor = static_cast<const float*>(slope);
  if (slope_step) return prelu_pairs(in, factor, static_cast<float*>(y), n);
  kernels::kernels().unary[int(kernels::Unary::leaky)](in, static_cast<float*>(y), n, *factor, 0);
}
constexpr BinaryRows rows{.f32 = prelu_row, .f64 = binary_row<prelu, double>, .i64 = binary_row<prelu_integer, int64_t>,
                          .u64 = binary_row<prelu, uint64_t>};

void infer(InferContext& c) {
  require_types(c, 0, floats | dtype_set({DType::u32, DType::u64, DType::i32, DType::i64}));
  c.require_same_dtype(0, 1);
  if (c.ranked(0) && c.ranked(1)) {
    const Dims both = broadcast(c, c.dims(0), c.dims(1));
    bool fits = both.size() == c.dims(0).size();
    for (size_t i = 0; fits && i < both.size(); ++i)
      fits = !both[i].known() || !c.dims(0)[i].known() || both[i].size == c.dims(0)[i].size;
    c.require(fits, "the slope ", c.input(1), " does not broadcast to ", c.input(0));
  }
  c.output(0, c.input(0));
}

// Before opset 7 a slope of shape (C) went with axis 1.
void upgrade(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  if (c.from >= 7 || !c.in(0) || !c.in(1)) return;
  const Type &x = c.in(0)->type, &slope = c.in(1)->type;
  if (!x.ranked || !slope.ranked || slope.rank() != 1 || x.rank() <= 2 || slope.dims[0] == Dim(1)) return;
  std::vector<int64_t> axes;
  for (int i = 1; i < x.rank() - 1; ++i) axes.push_back(i);
  c.node.set_input(1, c.emit("Unsqueeze", {c.in(1), c.integers(axes)}));
}

void gradient(GradientContext& c) {
  Value* zero = c.like(c.in(0), 0);
  Value* below = c.emit("Less", {c.in(0), zero});
  if (c.wants(0)) c.set(0, c.emit("Where", {below, c.mul(c.grad(), c.in(1)), c.grad()}));
  if (c.wants(1)) c.set(1, c.sum_to(c.emit("Where", {below, c.mul(c.grad(), c.in(0)), zero}), c.in(1)));
}

}  // namespace

OUTPOST_DEFINE_OP(
    PRelu, .name = "PRelu", .since = 16, .min_inputs = 2, .max_inputs = 2, .doc = "x, or slope x below zero",
    .infer = infer, .run = run_binary<rows>, .upgrade = upgrade, .gradient = gradient, .in_place = {{0, 0}},
    .cases =
        "| f32[2,3,4] f32[2,3,4]\n| f32[2,3,40,2] f32[3,1,1]\n| f64[3,5] f64[5]\n| f64[3,5] f64[]\n"
        "| i32[4](-9,9) i32[](2,3)\n"
        "| f32[0,3] f32[3]\n| f16[2,7] f16[7]");

}  // namespace outpost
