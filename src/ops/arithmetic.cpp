// Arithmetic of two operands, and the variadic Min, Max, Sum and Mean that are chains of it. Integers wrap; an integer
// division by zero is an error, found before anything is written.
#include <cmath>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

using K = kernels::Binary;

// Unsigned arithmetic for integers, so that overflow wraps.
template <class T>
struct WrappingOf { using type = T; };
template <class T>
  requires std::is_integral_v<T>
struct WrappingOf<T> { using type = std::make_unsigned_t<T>; };
template <class T>
using Wrapping = typename WrappingOf<T>::type;

constexpr auto sum = [](auto a, auto b) {
  using W = Wrapping<decltype(a)>;
  return static_cast<decltype(a)>(W(a) + W(b));
};
constexpr auto difference = [](auto a, auto b) {
  using W = Wrapping<decltype(a)>;
  return static_cast<decltype(a)>(W(a) - W(b));
};
constexpr auto product = [](auto a, auto b) {
  using W = Wrapping<decltype(a)>;
  return static_cast<decltype(a)>(W(a) * W(b));
};
// b is not 0 for integers.
constexpr auto quotient = [](auto a, auto b) {
  using T = decltype(a);
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
    return b == -1 ? static_cast<T>(0 - Wrapping<T>(a)) : static_cast<T>(a / b);
  else return a / b;
};
// NaN where either is NaN.
constexpr auto lesser = [](auto a, auto b) { return a < b || a != a ? a : b; };
constexpr auto greater = [](auto a, auto b) { return a > b || a != a ? a : b; };
// The sign of the dividend (C's %), or of the divisor (Python's).
constexpr auto remainder_c = [](auto a, auto b) {
  using T = decltype(a);
  if constexpr (std::is_floating_point_v<T>) return std::fmod(a, b);
  else if constexpr (std::is_signed_v<T>) return b == -1 ? T(0) : static_cast<T>(a % b);
  else return static_cast<T>(a % b);
};
constexpr auto remainder_python = [](auto a, auto b) {
  using T = decltype(a);
  const T r = remainder_c(a, b);
  if constexpr (std::is_unsigned_v<T>) return r;
  else if constexpr (std::is_floating_point_v<T>) return r == 0 ? std::copysign(r, b) : (r < 0) != (b < 0) ? r + b : r;
  else return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
};
constexpr auto power = [](auto a, auto b) {
  using T = decltype(a);
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(a, b);
  } else {
    if (b < 0) return a == 1 ? T(1) : a == -1 ? (b % 2 ? T(-1) : T(1)) : T(0);
    Wrapping<T> result = 1, base = Wrapping<T>(a);
    for (auto e = Wrapping<T>(b); e; e >>= 1, base *= base)
      if (e & 1) result *= base;
    return static_cast<T>(result);
  }
};

constexpr BinaryRows add_rows = arithmetic_rows<sum>(int(K::add));
constexpr BinaryRows sub_rows = arithmetic_rows<difference>(int(K::subtract));
constexpr BinaryRows mul_rows = arithmetic_rows<product>(int(K::multiply));
constexpr BinaryRows div_rows = arithmetic_rows<quotient>(int(K::divide));
constexpr BinaryRows min_rows = arithmetic_rows<lesser>(int(K::min));
constexpr BinaryRows max_rows = arithmetic_rows<greater>(int(K::max));
constexpr BinaryRows fmod_rows = arithmetic_rows<remainder_c>();
constexpr BinaryRows mod_rows = arithmetic_rows<remainder_python>();
constexpr BinaryRows pow_rows{
    .f32 = binary_row<power, float>, .f64 = binary_row<power, double>, .i64 = binary_row<power, int64_t>};

void require_nonzero(RunContext& c, const View& divisor) {
  if (!contains(integers, divisor.dtype)) return;
  TileBuffer buffer;
  const DType compute = compute_type(divisor.dtype);  // both are 8 bytes wide, and zero in both is no bit set
  for (int64_t i = 0, n = divisor.count(); i < n; i += elementwise_tile) {
    const int64_t m = std::min(elementwise_tile, n - i);
    load_tile(divisor.dtype, divisor.data, i, m, compute, buffer.bytes);
    for (int64_t j = 0; j < m; ++j)
      if (reinterpret_cast<const int64_t*>(buffer.bytes)[j] == 0)
        c.fail("integer division by zero: element ", i + j, " of the divisor is 0");
  }
}

void run_div(RunContext& c) {
  require_nonzero(c, c.in(1));
  run_binary<div_rows>(c);
}

void run_mod(RunContext& c) {
  require_nonzero(c, c.in(1));
  const bool fmod = static_cast<const UnaryParameters*>(c.prepared_)->a != 0;
  map_binary(c, fmod ? fmod_rows : mod_rows, c.in(0), c.in(1), c.out(0));
}
std::shared_ptr<const void> prepare_mod(const PrepareContext& c) {
  return std::make_shared<UnaryParameters>(UnaryParameters{double(c.attributes().integer("fmod", 0)), 0});
}

// ---- Pow: one exponent for all is mostly 2, 0.5 or -1, for which there are kernels.
int power_kernel(double exponent) {
  if (exponent == 2) return int(kernels::Unary::square);
  if (exponent == 0.5) return int(kernels::Unary::sqrt);
  if (exponent == -1) return int(kernels::Unary::reciprocal);
  return -1;
}

void run_pow(RunContext& c) {
  const View &base = c.in(0), &exponent = c.in(1);
  DType compute = compute_type(base.dtype);
  const DType given = compute_type(exponent.dtype);
  if (compute == DType::f32 && exponent.count() == 1 && base.count() == c.out(0).count()) {
    double e;
    load(exponent.dtype, exponent.data, 0, 1, DType::f64, &e);
    if (const int kernel = power_kernel(e); kernel >= 0) return map_unary(c, {.kernel = kernel}, base, c.out(0), 0, 0);
  }
  // Integers to an integer power stay integers; what does not fit f32 exactly goes through f64.
  if (given == DType::f64 || (compute == DType::i64 && given == DType::f32)) compute = DType::f64;
  map_binary(c, pow_rows, base, exponent, c.out(0), compute);
}

void infer_pow(InferContext& c) {
  require_types(c, 0, floats | dtype_set({DType::i32, DType::i64}));
  require_types(c, 1, floats | integers);
  infer_broadcast(c);
}

// ---- chains
template <const BinaryRows& rows>
void run_chain(RunContext& c) {
  View& y = c.out(0);
  if (c.inputs() == 1) return convert(c.in(0).dtype, c.in(0).data, y.dtype, y.data, y.count());
  map_binary(c, rows, c.in(0), c.in(1), y);
  for (int i = 2; i < c.inputs(); ++i) map_binary(c, rows, y, c.in(i), y);
}

constexpr auto scaled = [](auto x, auto count, auto) { return x / count; };
constexpr UnaryRows scaled_rows = float_rows<scaled>();

void run_mean(RunContext& c) {
  run_chain<add_rows>(c);
  if (c.inputs() > 1) map_unary(c, scaled_rows, c.out(0), c.out(0), c.inputs(), 0);
}

void gradient_add(GradientContext& c) {
  for (int i = 0; i < 2; ++i)
    if (c.wants(i)) c.set(i, c.sum_to(c.grad(), c.in(i)));
}
void gradient_sub(GradientContext& c) {
  if (c.wants(0)) c.set(0, c.sum_to(c.grad(), c.in(0)));
  if (c.wants(1)) c.set(1, c.sum_to(c.neg(c.grad()), c.in(1)));
}
void gradient_mul(GradientContext& c) {
  for (int i = 0; i < 2; ++i)
    if (c.wants(i)) c.set(i, c.sum_to(c.mul(c.grad(), c.in(1 - i)), c.in(i)));
}
void gradient_div(GradientContext& c) {
  Value* over = c.div(c.grad(), c.in(1));
  if (c.wants(0)) c.set(0, c.sum_to(over, c.in(0)));
  if (c.wants(1)) c.set(1, c.sum_to(c.neg(c.mul(over, c.out(0))), c.in(1)));
}
void gradient_pow(GradientContext& c) {  // y b / a would be 0/0 at a = 0
  Value *a = c.in(0), *b = c.in(1);
  const bool same = a->type.dtype == b->type.dtype;
  Value* exponent = same ? b : c.emit("CastLike", {b, a});
  if (c.wants(0)) {
    Value* lower = c.emit("Pow", {a, c.sub(exponent, c.like(a, 1))});
    c.set(0, c.sum_to(c.mul(c.grad(), c.mul(exponent, lower)), a));
  }
  if (c.wants(1)) {
    Value* zero = c.like(a, 0);
    Value* log = c.emit("Where", {c.emit("Greater", {a, zero}), c.emit("Log", {a}), zero});
    Value* gradient = c.mul(c.grad(), c.mul(c.out(0), log));
    c.set(1, c.sum_to(same ? gradient : c.emit("CastLike", {gradient, b}), b));
  }
}
void gradient_mod(GradientContext& c) {  // a - b k, k constant between the jumps
  if (c.wants(0)) c.set(0, c.sum_to(c.grad(), c.in(0)));
  if (!c.wants(1)) return;
  Value* quotient = c.div(c.sub(c.out(0), c.in(0)), c.in(1));
  c.set(1, c.sum_to(c.mul(c.grad(), c.emit("Round", {quotient})), c.in(1)));
}
// Operands that share the extreme value share the gradient.
void gradient_extreme(GradientContext& c) {
  std::vector<Value*> chosen;
  for (Value* x : c.node.inputs()) chosen.push_back(c.emit("CastLike", {c.emit("Equal", {x, c.out(0)}), c.out(0)}));
  Value* total = chosen[0];
  for (size_t i = 1; i < chosen.size(); ++i) total = c.add(total, chosen[i]);
  Value* share = c.div(c.grad(), total);
  for (int i = 0; i < static_cast<int>(chosen.size()); ++i)
    if (c.wants(i)) c.set(i, c.sum_to(c.mul(share, chosen[static_cast<size_t>(i)]), c.in(i)));
}
void gradient_sum(GradientContext& c) {
  for (int i = 0; i < static_cast<int>(c.node.inputs().size()); ++i)
    if (c.wants(i)) c.set(i, c.sum_to(c.grad(), c.in(i)));
}
void gradient_mean(GradientContext& c) {
  const auto count = static_cast<double>(c.node.inputs().size());
  Value* share = c.div(c.grad(), c.like(c.grad(), count));
  for (int i = 0; i < static_cast<int>(c.node.inputs().size()); ++i)
    if (c.wants(i)) c.set(i, c.sum_to(share, c.in(i)));
}

constexpr uint32_t numbers = floats | integers;
constexpr std::string_view pairs =
    "| f32[2,3,4] f32[2,3,4]\n| f32[2,3,4] f32[4]\n| f32[2,1,4] f32[3,1]\n| f64[3,5] f64[]\n| f32[0,3] f32[3]\n"
    "| f16[2,7] f16[7]\n"
    "| i32[2,3](-9,9) i32[3](-9,9)\n| f32[64,33] f32[64,1]";
constexpr std::string_view divisible =
    "| f32[2,3,4] f32[2,3,4](0.5,2)\n| f32[2,3,4] f32[4](0.5,2)\n| f32[2,1,4] f32[3,1](-2,-0.5)\n"
    "| f64[3,5] f64[](1,2)\n| f32[0,3] f32[3]\n"
    "| i32[2,3](-9,9) i32[3](1,9)\n| f32[] f32[3,40](1,2)";
constexpr std::string_view chains =
    "| f32[2,3,4]\n| f32[2,3] f32[3]\n| f32[2,1,4] f32[3,1] f32[4]\n| f64[3,5] f64[] f64[5]\n| f32[0,3] f32[3]\n"
    "| f16[5] f16[5]";

}  // namespace

OUTPOST_DEFINE_OP(Add, .name = "Add", .since = 14, .min_inputs = 2, .max_inputs = 2, .doc = "a + b",
                  .infer = infer_binary<numbers>, .run = run_binary<add_rows>, .upgrade = upgrade_axis_broadcast,
                  .gradient = gradient_add, .in_place = {{0, 0}, {1, 0}}, .cases = pairs);
OUTPOST_DEFINE_OP(Sub, .name = "Sub", .since = 14, .min_inputs = 2, .max_inputs = 2, .doc = "a - b",
                  .infer = infer_binary<numbers>, .run = run_binary<sub_rows>, .upgrade = upgrade_axis_broadcast,
                  .gradient = gradient_sub, .in_place = {{0, 0}, {1, 0}}, .cases = pairs);
OUTPOST_DEFINE_OP(Mul, .name = "Mul", .since = 14, .min_inputs = 2, .max_inputs = 2, .doc = "a b",
                  .infer = infer_binary<numbers>, .run = run_binary<mul_rows>, .upgrade = upgrade_axis_broadcast,
                  .gradient = gradient_mul, .in_place = {{0, 0}, {1, 0}}, .cases = pairs);
OUTPOST_DEFINE_OP(Div, .name = "Div", .since = 14, .min_inputs = 2, .max_inputs = 2,
                  .doc = "a / b; integers truncate, division of an integer by zero is an error",
                  .infer = infer_binary<numbers>, .run = run_div, .upgrade = upgrade_axis_broadcast,
                  .gradient = gradient_div, .in_place = {{0, 0}, {1, 0}}, .cases = divisible);
OUTPOST_DEFINE_OP(
    Mod, .name = "Mod", .since = 28, .first = 10, .min_inputs = 2, .max_inputs = 2,
    .doc = "remainder with the sign of the divisor, or of the dividend (fmod=1)", .infer = infer_binary<numbers>,
    .run = run_mod, .gradient = gradient_mod, .prepare = prepare_mod, .in_place = {{0, 0}, {1, 0}},
    .cases =
        "| i32[2,3](-9,9) i32[3](1,9)\nfmod=1 | i64[5](-9,9) i64[](2,4)\nfmod=1 | f32[2,3](-9,9) f32[3](1,2)\n"
        "| u8[4](0,255) u8[4](1,9)");
OUTPOST_DEFINE_OP(
    Pow, .name = "Pow", .since = 15, .min_inputs = 2, .max_inputs = 2, .doc = "a^b, in the type of a",
    .infer = infer_pow, .run = run_pow, .upgrade = upgrade_axis_broadcast, .gradient = gradient_pow,
    .in_place = {{0, 0}},
    .cases =
        "| f32[2,3,4](0.2,3) f32[2,3,4]\n| f32[2,3](0.2,3) f32[]={2}\n| f32[5](0.2,3) f32[]={0.5}\n"
        "| f64[2,1](0.5,2) f64[3]\n"
        "| i32[4](-3,3) i32[4](0,4)\n| f32[4](0.5,2) i64[]={3}\n| f32[0] f32[]={2}");
OUTPOST_DEFINE_OP(Min, .name = "Min", .since = 13, .max_inputs = -1, .doc = "smallest of the operands; NaN if any is",
                  .infer = infer_binary<numbers>, .run = run_chain<min_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_extreme, .in_place = {{0, 0}, {1, 0}}, .cases = chains);
OUTPOST_DEFINE_OP(Max, .name = "Max", .since = 13, .max_inputs = -1, .doc = "largest of the operands; NaN if any is",
                  .infer = infer_binary<numbers>, .run = run_chain<max_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_extreme, .in_place = {{0, 0}, {1, 0}}, .cases = chains);
OUTPOST_DEFINE_OP(Sum, .name = "Sum", .since = 13, .max_inputs = -1, .doc = "sum of the operands",
                  .infer = infer_binary<floats>, .run = run_chain<add_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_sum, .in_place = {{0, 0}, {1, 0}}, .cases = chains);
OUTPOST_DEFINE_OP(Mean, .name = "Mean", .since = 13, .max_inputs = -1, .doc = "mean of the operands",
                  .infer = infer_binary<floats>, .run = run_mean, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_mean, .in_place = {{0, 0}, {1, 0}}, .cases = chains);

}  // namespace outpost
