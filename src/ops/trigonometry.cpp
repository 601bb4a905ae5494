// Circular and hyperbolic functions and their inverses.
#include <cmath>

#include "ops/elementwise.h"

namespace outpost {

namespace {

using K = kernels::Unary;

constexpr auto sine = [](auto x, auto, auto) { return std::sin(x); };
constexpr auto cosine = [](auto x, auto, auto) { return std::cos(x); };
constexpr auto tangent = [](auto x, auto, auto) { return std::tan(x); };
constexpr auto arc_sine = [](auto x, auto, auto) { return std::asin(x); };
constexpr auto arc_cosine = [](auto x, auto, auto) { return std::acos(x); };
constexpr auto arc_tangent = [](auto x, auto, auto) { return std::atan(x); };
constexpr auto sine_h = [](auto x, auto, auto) { return std::sinh(x); };
constexpr auto cosine_h = [](auto x, auto, auto) { return std::cosh(x); };
constexpr auto tangent_h = [](auto x, auto, auto) { return std::tanh(x); };
constexpr auto area_sine_h = [](auto x, auto, auto) { return std::asinh(x); };
constexpr auto area_cosine_h = [](auto x, auto, auto) { return std::acosh(x); };
constexpr auto area_tangent_h = [](auto x, auto, auto) { return std::atanh(x); };

constexpr UnaryRows sin_rows = float_rows<sine, K::sin>();
constexpr UnaryRows cos_rows = float_rows<cosine, K::cos>();
constexpr UnaryRows tan_rows = float_rows<tangent>();
constexpr UnaryRows asin_rows = float_rows<arc_sine>();
constexpr UnaryRows acos_rows = float_rows<arc_cosine>();
constexpr UnaryRows atan_rows = float_rows<arc_tangent>();
constexpr UnaryRows sinh_rows = float_rows<sine_h>();
constexpr UnaryRows cosh_rows = float_rows<cosine_h>();
constexpr UnaryRows tanh_rows = float_rows<tangent_h, K::tanh>();
constexpr UnaryRows asinh_rows = float_rows<area_sine_h>();
constexpr UnaryRows acosh_rows = float_rows<area_cosine_h>();
constexpr UnaryRows atanh_rows = float_rows<area_tangent_h>();

// s + t x^2
Value* quadratic(GradientContext& c, double s, double t, Value* x) {
  Value* square = c.mul(x, x);
  return c.add(t == 1 ? square : t == -1 ? c.neg(square) : c.mul(square, c.like(x, t)), c.like(x, s));
}

void gradient_sin(GradientContext& c) { c.set(0, c.mul(c.grad(), c.emit("Cos", {c.in(0)}))); }
void gradient_cos(GradientContext& c) { c.set(0, c.neg(c.mul(c.grad(), c.emit("Sin", {c.in(0)})))); }
void gradient_tan(GradientContext& c) { c.set(0, c.mul(c.grad(), quadratic(c, 1, 1, c.out(0)))); }
void gradient_asin(GradientContext& c) { c.set(0, c.div(c.grad(), c.emit("Sqrt", {quadratic(c, 1, -1, c.in(0))}))); }
void gradient_acos(GradientContext& c) {
  c.set(0, c.neg(c.div(c.grad(), c.emit("Sqrt", {quadratic(c, 1, -1, c.in(0))}))));
}
void gradient_atan(GradientContext& c) { c.set(0, c.div(c.grad(), quadratic(c, 1, 1, c.in(0)))); }
void gradient_sinh(GradientContext& c) { c.set(0, c.mul(c.grad(), c.emit("Cosh", {c.in(0)}))); }
void gradient_cosh(GradientContext& c) { c.set(0, c.mul(c.grad(), c.emit("Sinh", {c.in(0)}))); }
void gradient_tanh(GradientContext& c) { c.set(0, c.mul(c.grad(), quadratic(c, 1, -1, c.out(0)))); }
void gradient_asinh(GradientContext& c) { c.set(0, c.div(c.grad(), c.emit("Sqrt", {quadratic(c, 1, 1, c.in(0))}))); }
void gradient_acosh(GradientContext& c) { c.set(0, c.div(c.grad(), c.emit("Sqrt", {quadratic(c, -1, 1, c.in(0))}))); }
void gradient_atanh(GradientContext& c) { c.set(0, c.div(c.grad(), quadratic(c, 1, -1, c.in(0)))); }

constexpr std::string_view unit =
    "| f32[2,3,4](-0.9,0.9)\n| f64[5](-0.9,0.9)\n| f32[](-0.5,0.5)\n| f32[2,0,3]\n| f16[7](-0.9,0.9)";
constexpr std::string_view wide = "| f32[2,3,4](-3,3)\n| f64[5](-3,3)\n| f32[](-1,1)\n| f32[2,0,3]\n| bf16[7](-2,2)";
constexpr std::string_view above_one =
    "| f32[2,3,4](1.1,5)\n| f64[5](1.1,5)\n| f32[](1.5,2)\n| f32[0]\n| f16[7](1.5,4)";

}  // namespace

OUTPOST_DEFINE_OP(Sin, .name = "Sin", .since = 22, .first = 7, .doc = "sine", .infer = infer_unary<floats>,
                  .run = run_unary<sin_rows>, .gradient = gradient_sin, .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Cos, .name = "Cos", .since = 22, .first = 7, .doc = "cosine", .infer = infer_unary<floats>,
                  .run = run_unary<cos_rows>, .gradient = gradient_cos, .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Tan, .name = "Tan", .since = 22, .first = 7, .doc = "tangent", .infer = infer_unary<floats>,
                  .run = run_unary<tan_rows>, .gradient = gradient_tan, .in_place = {{0, 0}}, .cases = unit);
OUTPOST_DEFINE_OP(Asin, .name = "Asin", .since = 22, .first = 7, .doc = "inverse sine", .infer = infer_unary<floats>,
                  .run = run_unary<asin_rows>, .gradient = gradient_asin, .in_place = {{0, 0}}, .cases = unit);
OUTPOST_DEFINE_OP(Acos, .name = "Acos", .since = 22, .first = 7, .doc = "inverse cosine", .infer = infer_unary<floats>,
                  .run = run_unary<acos_rows>, .gradient = gradient_acos, .in_place = {{0, 0}}, .cases = unit);
OUTPOST_DEFINE_OP(Atan, .name = "Atan", .since = 22, .first = 7, .doc = "inverse tangent", .infer = infer_unary<floats>,
                  .run = run_unary<atan_rows>, .gradient = gradient_atan, .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Sinh, .name = "Sinh", .since = 22, .first = 9, .doc = "hyperbolic sine", .infer = infer_unary<floats>,
                  .run = run_unary<sinh_rows>, .gradient = gradient_sinh, .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Cosh, .name = "Cosh", .since = 22, .first = 9, .doc = "hyperbolic cosine",
                  .infer = infer_unary<floats>, .run = run_unary<cosh_rows>, .gradient = gradient_cosh,
                  .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Tanh, .name = "Tanh", .since = 13, .doc = "hyperbolic tangent", .infer = infer_unary<floats>,
                  .run = run_unary<tanh_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_tanh,
                  .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Asinh, .name = "Asinh", .since = 22, .first = 9, .doc = "inverse hyperbolic sine",
                  .infer = infer_unary<floats>, .run = run_unary<asinh_rows>, .gradient = gradient_asinh,
                  .in_place = {{0, 0}}, .cases = wide);
OUTPOST_DEFINE_OP(Acosh, .name = "Acosh", .since = 22, .first = 9, .doc = "inverse hyperbolic cosine",
                  .infer = infer_unary<floats>, .run = run_unary<acosh_rows>, .gradient = gradient_acosh,
                  .in_place = {{0, 0}}, .cases = above_one);
OUTPOST_DEFINE_OP(Atanh, .name = "Atanh", .since = 22, .first = 9, .doc = "inverse hyperbolic tangent",
                  .infer = infer_unary<floats>, .run = run_unary<atanh_rows>, .gradient = gradient_atanh,
                  .in_place = {{0, 0}}, .cases = unit);

}  // namespace outpost
