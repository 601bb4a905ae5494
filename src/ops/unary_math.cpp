// Arithmetic, rounding, exponential and bitwise functions of one operand.
#include <cmath>
#include <limits>

#include "ops/elementwise.h"

namespace outpost {

namespace {

using K = kernels::Unary;

template <class T>
constexpr bool is_integer = std::is_integral_v<T>;

// Negation that wraps: -min = min.
template <class T>
T negate(T x) {
  if constexpr (is_integer<T>) return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(x));
  else return -x;
}

constexpr auto negation = [](auto x, auto, auto) { return negate(x); };
constexpr auto magnitude = [](auto x, auto, auto) {
  using T = decltype(x);
  if constexpr (std::is_unsigned_v<T>) return x;
  else if constexpr (is_integer<T>) return x < 0 ? negate(x) : x;
  else return std::fabs(x);
};
// NaN and zeros are their own sign.
constexpr auto sign = [](auto x, auto, auto) {
  using T = decltype(x);
  if constexpr (std::is_unsigned_v<T>) return static_cast<T>(x > 0);
  else return x > 0 ? T(1) : x < 0 ? T(-1) : x;
};
constexpr auto square_root = [](auto x, auto, auto) { return std::sqrt(x); };
constexpr auto inverse = [](auto x, auto, auto) { return 1 / x; };
constexpr auto exponential = [](auto x, auto, auto) { return std::exp(x); };
constexpr auto logarithm = [](auto x, auto, auto) { return std::log(x); };
constexpr auto error_function = [](auto x, auto, auto) { return std::erf(x); };
constexpr auto lower = [](auto x, auto, auto) { return std::floor(x); };
constexpr auto upper = [](auto x, auto, auto) { return std::ceil(x); };
constexpr auto nearest = [](auto x, auto, auto) { return std::nearbyint(x); };  // ties to even
constexpr auto complement = [](auto x, auto, auto) { return static_cast<decltype(x)>(~x); };
constexpr auto is_nan = [](auto x, auto, auto) { return x != x; };
constexpr auto is_infinite = [](auto x, auto negative, auto positive) {
  constexpr auto infinity = std::numeric_limits<decltype(x)>::infinity();
  return (x == infinity && positive != 0) || (x == -infinity && negative != 0);
};

constexpr UnaryRows neg_rows{
    .kernel = int(K::negate), .f64 = unary_row<negation, double>, .i64 = unary_row<negation, int64_t>};
constexpr UnaryRows abs_rows = number_rows<magnitude>(int(K::absolute));
constexpr UnaryRows sign_rows = number_rows<sign>();
constexpr UnaryRows sqrt_rows = float_rows<square_root, K::sqrt>();
constexpr UnaryRows reciprocal_rows = float_rows<inverse, K::reciprocal>();
constexpr UnaryRows exp_rows = float_rows<exponential, K::exp>();
constexpr UnaryRows log_rows = float_rows<logarithm, K::log>();
constexpr UnaryRows erf_rows = float_rows<error_function, K::erf>();
constexpr UnaryRows floor_rows = float_rows<lower, K::floor>();
constexpr UnaryRows ceil_rows = float_rows<upper, K::ceil>();
constexpr UnaryRows round_rows = float_rows<nearest, K::round_even>();
constexpr UnaryRows complement_rows{.i64 = unary_row<complement, int64_t>, .u64 = unary_row<complement, uint64_t>};
constexpr UnaryRows is_nan_rows{
    .f32 = unary_row<is_nan, float, uint8_t>, .f64 = unary_row<is_nan, double, uint8_t>, .predicate = true};
constexpr UnaryRows is_inf_rows{
    .f32 = unary_row<is_infinite, float, uint8_t>, .f64 = unary_row<is_infinite, double, uint8_t>, .predicate = true};

void gradient_neg(GradientContext& c) { c.set(0, c.neg(c.grad())); }
void gradient_abs(GradientContext& c) { c.set(0, c.mul(c.grad(), c.emit("Sign", {c.in(0)}))); }
void gradient_sqrt(GradientContext& c) { c.set(0, c.div(c.grad(), c.add(c.out(0), c.out(0)))); }
void gradient_reciprocal(GradientContext& c) { c.set(0, c.neg(c.mul(c.grad(), c.mul(c.out(0), c.out(0))))); }
void gradient_exp(GradientContext& c) { c.set(0, c.mul(c.grad(), c.out(0))); }
void gradient_log(GradientContext& c) { c.set(0, c.div(c.grad(), c.in(0))); }
void gradient_erf(GradientContext& c) {  // 2/sqrt(pi) exp(-x^2)
  Value* bell = c.emit("Exp", {c.neg(c.mul(c.in(0), c.in(0)))});
  c.set(0, c.mul(c.grad(), c.mul(bell, c.like(c.in(0), 1.1283791670955126))));
}

std::shared_ptr<const void> prepare_is_inf(const PrepareContext& c) {
  return std::make_shared<UnaryParameters>(UnaryParameters{double(c.attributes().integer("detect_negative", 1)),
                                                           double(c.attributes().integer("detect_positive", 1))});
}

void run_not(RunContext& c) {
  const View& x = c.in(0);
  auto *from = x.as<uint8_t>(), *to = c.out(0).as<uint8_t>();
  c.parallel_ranges(x.count(), 4 * elementwise_grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = from[i] == 0;
  });
}

constexpr std::string_view any_range =
    "| f32[2,3,4](-3,3)\n| f64[5](-3,3)\n| f32[](-1,1)\n| f32[2,0,3]\n| f16[7](-2,2)";
constexpr std::string_view positive = "| f32[2,3,4](0.1,4)\n| f64[5](0.1,4)\n| f32[](1,2)\n| f32[0]\n| bf16[9](0.5,2)";
constexpr std::string_view piecewise_constant = "piecewise constant: zero wherever it exists";

}  // namespace

OUTPOST_DEFINE_OP(Neg, .name = "Neg", .since = 13, .doc = "-x; integers wrap",
                  .infer = infer_unary<floats | signed_integers>, .run = run_unary<neg_rows>,
                  .upgrade = upgrade_consumed_inputs, .gradient = gradient_neg, .in_place = {{0, 0}},
                  .cases = "| f32[2,3,4](-3,3)\n| f64[5](-3,3)\n| i8[4](-128,127)\n| i64[3](-9,9)\n| f32[2,0]");
OUTPOST_DEFINE_OP(Abs, .name = "Abs", .since = 13, .doc = "|x|", .infer = infer_unary<floats | integers>,
                  .run = run_unary<abs_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_abs,
                  .in_place = {{0, 0}},
                  .cases = "| f32[2,3,4](-3,3)\n| f64[5](0.1,3)\n| i32[4](-9,9)\n| u8[3](0,255)\n| f32[0]");
OUTPOST_DEFINE_OP(Sign, .name = "Sign", .since = 13, .first = 9, .doc = "-1, 0 or 1",
                  .infer = infer_unary<floats | integers>, .run = run_unary<sign_rows>,
                  .no_gradient = piecewise_constant, .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Sqrt, .name = "Sqrt", .since = 13, .doc = "square root", .infer = infer_unary<floats>,
                  .run = run_unary<sqrt_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_sqrt,
                  .in_place = {{0, 0}}, .cases = positive);
OUTPOST_DEFINE_OP(Reciprocal, .name = "Reciprocal", .since = 13, .doc = "1 / x", .infer = infer_unary<floats>,
                  .run = run_unary<reciprocal_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_reciprocal, .in_place = {{0, 0}}, .cases = positive);
OUTPOST_DEFINE_OP(Exp, .name = "Exp", .since = 13, .doc = "e^x", .infer = infer_unary<floats>,
                  .run = run_unary<exp_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_exp,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Log, .name = "Log", .since = 13, .doc = "natural logarithm", .infer = infer_unary<floats>,
                  .run = run_unary<log_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_log,
                  .in_place = {{0, 0}}, .cases = positive);
OUTPOST_DEFINE_OP(Erf, .name = "Erf", .since = 13, .first = 9, .doc = "Gauss error function",
                  .infer = infer_unary<floats>, .run = run_unary<erf_rows>, .gradient = gradient_erf,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Floor, .name = "Floor", .since = 13, .doc = "largest integer not above x",
                  .infer = infer_unary<floats>, .run = run_unary<floor_rows>, .upgrade = upgrade_consumed_inputs,
                  .no_gradient = piecewise_constant, .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Ceil, .name = "Ceil", .since = 13, .doc = "smallest integer not below x",
                  .infer = infer_unary<floats>, .run = run_unary<ceil_rows>, .upgrade = upgrade_consumed_inputs,
                  .no_gradient = piecewise_constant, .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Round, .name = "Round", .since = 22, .first = 11, .doc = "nearest integer, ties to even",
                  .infer = infer_unary<floats>, .run = run_unary<round_rows>, .no_gradient = piecewise_constant,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(IsNaN, .name = "IsNaN", .since = 20, .first = 9, .doc = "which elements are NaN",
                  .infer = infer_predicate<floats | float8s>, .run = run_unary<is_nan_rows>,
                  .no_gradient = "the result is bool", .cases = "| f32[2,3]\n| f64[3]={nan,1,inf}\n| f16[0]");
OUTPOST_DEFINE_OP(IsInf, .name = "IsInf", .since = 20, .first = 10, .doc = "which elements are infinite",
                  .infer = infer_predicate<floats | float8s>, .run = run_unary<is_inf_rows>,
                  .no_gradient = "the result is bool", .prepare = prepare_is_inf,
                  .cases = "| f32[3]={inf,-inf,nan}\ndetect_negative=0 | f32[2]={inf,-inf}\n| f16[0]");
OUTPOST_DEFINE_OP(Not, .name = "Not", .since = 1, .doc = "logical negation", .infer = infer_unary<booleans>,
                  .run = run_not, .no_gradient = "the result is bool", .in_place = {{0, 0}},
                  .cases = "| bool[2,3]\n| bool[]\n| bool[0,2]");
OUTPOST_DEFINE_OP(BitwiseNot, .name = "BitwiseNot", .since = 18, .first = 18, .doc = "bitwise complement",
                  .infer = infer_unary<integers>, .run = run_unary<complement_rows>, .no_gradient = "integers",
                  .in_place = {{0, 0}}, .cases = "| i32[2,3](-9,9)\n| u8[5](0,255)\n| u64[0]");

}  // namespace outpost
