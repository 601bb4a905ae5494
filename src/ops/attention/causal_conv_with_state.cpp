// CausalConvWithState (ONNX 27): depthwise convolution along time that sees only the past, which it carries on:
//   y(t) = act(bias + sum_i w(i) x(t - (k - 1) + i)), x before the start coming from past_state (or 0).
#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "ops/carve.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { x_input, w_input, bias_input, state_input };

void infer(InferContext& c) {
  c.require_inputs(2, 4);
  c.require_dtype(x_input, {DType::f32, DType::f16, DType::bf16, DType::f64});
  for (int i : {w_input, bias_input, state_input}) c.require_same_dtype(x_input, i);
  const auto activation = c.attributes().string("activation", "none");
  c.require(activation == "none" || activation == "silu" || activation == "swish", "activation is '", activation, "'; expected none, silu or swish");
  auto check = [&](int i, const Dims& expected) {
    if (!c.has(i) || !c.ranked(i)) return;
    c.require(c.rank(i) == static_cast<int>(expected.size()), "input ", i, " has rank ", c.rank(i), "; expected ", static_cast<int>(expected.size()));
    for (size_t a = 0; a < expected.size(); ++a) {
      const Dim d = c.dims(i)[a];
      c.require(!d.known() || !expected[a].known() || d.size == expected[a].size, "input ", i, " has ", d.size, " on axis ", a, "; expected ", expected[a].size);
    }
  };
  check(x_input, {{}, {}, {}});
  check(w_input, {{}, 1, {}});
  const Dim batch = c.ranked(x_input) ? c.dims(x_input)[0] : Dim(), channels = c.ranked(x_input) ? c.dims(x_input)[1] : Dim();
  Dim kept;
  if (c.ranked(w_input) && c.dims(w_input)[2].known()) {
    kept = c.dims(w_input)[2].size - 1;
    c.require(c.dims(w_input)[2].size > 0, "the kernel is empty");
  }
  check(w_input, {channels, 1, {}});
  check(bias_input, {channels});
  check(state_input, {batch, channels, kept});
  infer_same(c);
  c.output(1, c.dtype(x_input), {batch, channels, kept});
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

void silu(float* x, int64_t n) { kernels::kernels().unary[int(kernels::Unary::silu)](x, x, n, 0, 0); }
void silu(double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] /= 1 + std::exp(-x[i]);
}

template <class T>
struct Room {
  T *x, *w;  // (k - 1 + length), (k)
};
template <class T>
Room<T> lay_out(Carve& carve, int64_t length, int64_t kernel) {
  return {carve.take<T>(length + kernel - 1), carve.take<T>(kernel)};
}

template <class T>
void run_row(const RunContext& c, const Room<T>& room, bool activate, int64_t row) {
  const View &x = c.in(x_input), &w = c.in(w_input), &y = c.out(0);
  const int64_t channel = row % x.dim(1), length = x.dim(2), kernel = w.dim(2), kept = kernel - 1;
  if (c.has(state_input)) load(x.dtype, c.in(state_input).data, row * kept, kept, type_of<T>, room.x);
  else std::fill_n(room.x, kept, T(0));
  load(x.dtype, x.data, row * length, length, type_of<T>, room.x + kept);
  load(w.dtype, w.data, channel * kernel, kernel, type_of<T>, room.w);
  T bias = 0;
  if (c.has(bias_input)) load(x.dtype, c.in(bias_input).data, channel, 1, type_of<T>, &bias);
  constexpr int64_t block = 64;
  for (int64_t first = 0; first < length; first += block) {
    const int64_t n = std::min(block, length - first);
    T sums[block];
    std::fill_n(sums, block, bias);
    for (int64_t i = 0; i < kernel; ++i) {
      const T weight = room.w[i], *from = room.x + first + i;
      if (n == block)
        for (int64_t t = 0; t < block; ++t) sums[t] += weight * from[t];
      else
        for (int64_t t = 0; t < n; ++t) sums[t] += weight * from[t];
    }
    if (activate) silu(sums, n);
    store(type_of<T>, sums, n, y.dtype, y.data, row * length + first);
  }
  if (c.wants(1)) store(type_of<T>, room.x + length, kept, c.out(1).dtype, c.out(1).data, row * kept);
}

template <class T>
size_t room_bytes(int64_t length, int64_t kernel) {
  Carve carve;
  lay_out<T>(carve, length, kernel);
  return carve.bytes();
}

template <class T>
void run_as(const RunContext& c) {
  const View& x = c.in(x_input);
  const int64_t length = x.dim(2), kernel = c.in(w_input).dim(2);
  const size_t bytes = room_bytes<T>(length, kernel);
  const bool activate = c.attributes().string("activation", "none") != "none";
  c.parallel_ranges(x.dim(0) * x.dim(1), std::max<int64_t>(1, 16384 / (length + kernel)), [&](int64_t begin, int64_t end) {
    Carve carve(c.scratch<std::byte>() + bytes * static_cast<size_t>(RunContext::worker()));
    const Room<T> room = lay_out<T>(carve, length, kernel);
    for (int64_t row = begin; row < end; ++row) run_row(c, room, activate, row);
  });
}

void run(RunContext& c) {
  if (c.in(x_input).dtype == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

size_t scratch(const ScratchContext& c) {
  const int64_t length = c.in(x_input).dim(2), kernel = c.in(w_input).dim(2);
  return (c.in(x_input).dtype == DType::f64 ? room_bytes<double>(length, kernel) : room_bytes<float>(length, kernel)) * static_cast<size_t>(c.threads);
}

Cost cost(const CostContext& c) {
  const Type& w = *c.in(w_input);
  const double kernel = w.is_static() ? double(w.dims[2].size) : 0;
  return {2 * kernel * c.count(*c.in(x_input)), 8 * c.count(*c.in(x_input))};
}

}  // namespace

OUTPOST_DEFINE_OP(CausalConvWithState, .name = "CausalConvWithState", .since = 27, .first = 27, .min_inputs = 2, .max_inputs = 4,
                  .min_outputs = 1, .max_outputs = 2, .doc = "depthwise causal convolution that carries its state", .infer = infer, .run = run,
                  .cost = cost, .scratch = scratch,
                  .cases = R"(activation="silu" | f32[2,3,70] f32[3,1,4] f32[3] f32[2,3,3]
 | f32[1,2,1] f32[2,1,4]
 | f32[2,3,0] f32[3,1,2] - f32[2,3,1])");

}  // namespace outpost
