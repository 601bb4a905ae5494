// Activation functions of one operand. What a formula would lose to overflow or cancellation is rewritten (softplus,
// sigmoid, gelu); NaN passes through all of them.
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"

namespace outpost {

namespace {

using K = kernels::Unary;

template <class T>
T logistic(T x) {
  const T e = std::exp(-std::fabs(x));
  return (x >= 0 ? T(1) : e) / (1 + e);
}
template <class T>
T soft_plus(T x) {
  return (x < 0 ? T(0) : x) + std::log1p(std::exp(-std::fabs(x)));
}

constexpr auto sigmoid = [](auto x, auto, auto) { return logistic(x); };
constexpr auto relu = [](auto x, auto, auto) { return x < 0 ? decltype(x)(0) : x; };
constexpr auto leaky_relu = [](auto x, auto alpha, auto) { return x < 0 ? alpha * x : x; };
constexpr auto elu = [](auto x, auto alpha, auto) { return x < 0 ? alpha * std::expm1(x) : x; };
constexpr auto selu = [](auto x, auto alpha, auto gamma) { return gamma * (x < 0 ? alpha * std::expm1(x) : x); };
constexpr auto celu = [](auto x, auto alpha, auto) { return x < 0 ? alpha * std::expm1(x / alpha) : x; };
constexpr auto thresholded = [](auto x, auto alpha, auto) { return x > alpha || x != x ? x : decltype(x)(0); };
constexpr auto hard_sigmoid = [](auto x, auto alpha, auto beta) {
  const auto y = alpha * x + beta;
  return y < 0 ? decltype(x)(0) : y > 1 ? decltype(x)(1) : y;
};
constexpr auto hard_swish = [](auto x, auto, auto) { return x <= -3 ? decltype(x)(0) : x >= 3 ? x : x * (x + 3) / 6; };
constexpr auto softplus = [](auto x, auto, auto) { return soft_plus(x); };
constexpr auto softsign = [](auto x, auto, auto) {
  const auto magnitude = std::fabs(x);
  return magnitude > 1e30f ? std::copysign(decltype(x)(1), x) : x / (1 + magnitude);
};
constexpr auto mish = [](auto x, auto, auto) { return x * std::tanh(soft_plus(x)); };
constexpr auto swish = [](auto x, auto alpha, auto) { return x * logistic(alpha * x); };

constexpr UnaryRows sigmoid_rows = float_rows<sigmoid, K::sigmoid>();
constexpr UnaryRows relu_rows{.kernel = int(K::relu), .f64 = unary_row<relu, double>, .i64 = unary_row<relu, int64_t>};
constexpr UnaryRows leaky_rows = float_rows<leaky_relu, K::leaky>();
constexpr UnaryRows elu_rows = float_rows<elu, K::elu>();
constexpr UnaryRows selu_rows = float_rows<selu, K::selu>();
constexpr UnaryRows celu_rows = float_rows<celu, K::celu>();
constexpr UnaryRows thresholded_rows = float_rows<thresholded>();
constexpr UnaryRows hard_sigmoid_rows = float_rows<hard_sigmoid, K::hard_sigmoid>();
constexpr UnaryRows hard_swish_rows = float_rows<hard_swish, K::hardswish>();
constexpr UnaryRows softplus_rows = float_rows<softplus, K::softplus>();
constexpr UnaryRows softsign_rows = float_rows<softsign, K::softsign>();
constexpr UnaryRows mish_rows = float_rows<mish, K::mish>();

std::shared_ptr<const void> parameters(double a, double b = 0) {
  return std::make_shared<UnaryParameters>(UnaryParameters{a, b});
}

std::shared_ptr<const void> prepare_leaky(const PrepareContext& c) {
  return parameters(c.attributes().real("alpha", 0.01f));
}
std::shared_ptr<const void> prepare_alpha(const PrepareContext& c) {
  return parameters(c.attributes().real("alpha", 1));
}
std::shared_ptr<const void> prepare_selu(const PrepareContext& c) {
  return parameters(c.attributes().real("alpha", 1.67326319217681884765625f),
                    c.attributes().real("gamma", 1.05070102214813232421875f));
}
std::shared_ptr<const void> prepare_hard_sigmoid(const PrepareContext& c) {
  return parameters(c.attributes().real("alpha", 0.2f), c.attributes().real("beta", 0.5f));
}

// Selu's defaults were shorter before opset 6.
void upgrade_selu(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  if (c.from >= 6) return;
  if (!c.attributes().has("alpha")) c.node.attributes.set("alpha", 1.6732f);
  if (!c.attributes().has("gamma")) c.node.attributes.set("gamma", 1.0507f);
}

// g where the condition holds, else `other`.
Value* choose(GradientContext& c, Value* condition, Value* there, Value* elsewhere) {
  return c.emit("Where", {condition, there, elsewhere});
}
Value* is_positive(GradientContext& c, Value* x) { return c.emit("Greater", {x, c.like(x, 0)}); }

void gradient_sigmoid(GradientContext& c) {
  Value* y = c.out(0);
  c.set(0, c.mul(c.grad(), c.mul(y, c.sub(c.like(y, 1), y))));
}
void gradient_relu(GradientContext& c) { c.set(0, choose(c, is_positive(c, c.out(0)), c.grad(), c.like(c.grad(), 0))); }
void gradient_leaky(GradientContext& c) {
  const double alpha = c.attributes().real("alpha", 0.01f);
  c.set(0, choose(c, is_positive(c, c.in(0)), c.grad(), c.mul(c.grad(), c.like(c.grad(), alpha))));
}
// Below zero y = alpha (e^x - 1), so y' = y + alpha.
void gradient_elu(GradientContext& c) {
  Value* slope = c.add(c.out(0), c.like(c.out(0), c.attributes().real("alpha", 1)));
  c.set(0, choose(c, is_positive(c, c.in(0)), c.grad(), c.mul(c.grad(), slope)));
}
void gradient_selu(GradientContext& c) {
  const double alpha = c.attributes().real("alpha", 1.67326319217681884765625f),
               gamma = c.attributes().real("gamma", 1.05070102214813232421875f);
  Value* slope = c.add(c.out(0), c.like(c.out(0), alpha * gamma));
  c.set(0, c.mul(c.grad(), choose(c, is_positive(c, c.in(0)), c.like(c.grad(), gamma), slope)));
}
void gradient_celu(GradientContext& c) {
  Value* slope = c.add(c.div(c.out(0), c.like(c.out(0), c.attributes().real("alpha", 1))), c.like(c.out(0), 1));
  c.set(0, choose(c, is_positive(c, c.in(0)), c.grad(), c.mul(c.grad(), slope)));
}
void gradient_thresholded(GradientContext& c) {
  Value* above = c.emit("Greater", {c.in(0), c.like(c.in(0), c.attributes().real("alpha", 1))});
  c.set(0, choose(c, above, c.grad(), c.like(c.grad(), 0)));
}
void gradient_hard_sigmoid(GradientContext& c) {
  Value* y = c.out(0);
  Value* inside = c.emit("And", {is_positive(c, y), c.emit("Less", {y, c.like(y, 1)})});
  c.set(0, choose(c, inside, c.mul(c.grad(), c.like(y, c.attributes().real("alpha", 0.2f))), c.like(y, 0)));
}
void gradient_hard_swish(GradientContext& c) {  // (2x + 3) / 6 between -3 and 3
  Value* x = c.in(0);
  Value* slope = c.add(c.div(x, c.like(x, 3)), c.like(x, 0.5));
  Value* low = choose(c, c.emit("Greater", {x, c.like(x, -3)}), slope, c.like(x, 0));
  c.set(0, c.mul(c.grad(), choose(c, c.emit("Less", {x, c.like(x, 3)}), low, c.like(x, 1))));
}
void gradient_softplus(GradientContext& c) { c.set(0, c.mul(c.grad(), c.emit("Sigmoid", {c.in(0)}))); }
void gradient_softsign(GradientContext& c) {
  Value* root = c.add(c.emit("Abs", {c.in(0)}), c.like(c.in(0), 1));
  c.set(0, c.div(c.grad(), c.mul(root, root)));
}
void gradient_mish(GradientContext& c) {  // t + x (1 - t^2) sigmoid(x), t = tanh(softplus(x))
  Value* x = c.in(0);
  Value* t = c.emit("Tanh", {c.emit("Softplus", {x})});
  Value* rest = c.mul(x, c.mul(c.sub(c.like(x, 1), c.mul(t, t)), c.emit("Sigmoid", {x})));
  c.set(0, c.mul(c.grad(), c.add(t, rest)));
}

constexpr std::string_view any_range =
    "| f32[2,3,4](-4,4)\n| f64[5](-4,4)\n| f32[](-1,1)\n| f32[2,0,3]\n| f16[7](-2,2)\n| bf16[3,5](-4,4)";
constexpr std::string_view with_alpha =
    "| f32[2,3,4](-4,4)\nalpha=0.5 | f64[5](-4,4)\nalpha=2.0 | f32[](-1,1)\n| f32[2,0,3]\nalpha=0.3 | f16[7](-2,2)";

}  // namespace

OUTPOST_DEFINE_OP(Sigmoid, .name = "Sigmoid", .since = 13, .doc = "1 / (1 + e^-x)", .infer = infer_unary<floats>,
                  .run = run_unary<sigmoid_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_sigmoid,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Relu, .name = "Relu", .since = 14, .doc = "max(x, 0)", .infer = infer_unary<floats | signed_integers>,
                  .run = run_unary<relu_rows>, .upgrade = upgrade_consumed_inputs, .gradient = gradient_relu,
                  .in_place = {{0, 0}},
                  .cases = "| f32[2,3,4](-4,4)\n| f64[5](-4,4)\n| i8[6](-128,127)\n| f32[2,0,3]\n| f16[7](-2,2)");
OUTPOST_DEFINE_OP(LeakyRelu, .name = "LeakyRelu", .since = 16, .doc = "x, or alpha x below zero",
                  .infer = infer_unary<floats>, .run = run_unary<leaky_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_leaky, .prepare = prepare_leaky, .in_place = {{0, 0}}, .cases = with_alpha);
OUTPOST_DEFINE_OP(Elu, .name = "Elu", .since = 22, .doc = "x, or alpha (e^x - 1) below zero",
                  .infer = infer_unary<floats>, .run = run_unary<elu_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_elu, .prepare = prepare_alpha, .in_place = {{0, 0}}, .cases = with_alpha);
OUTPOST_DEFINE_OP(Selu, .name = "Selu", .since = 22, .doc = "gamma times Elu", .infer = infer_unary<floats>,
                  .run = run_unary<selu_rows>, .upgrade = upgrade_selu, .gradient = gradient_selu,
                  .prepare = prepare_selu, .in_place = {{0, 0}}, .cases = with_alpha);
OUTPOST_DEFINE_OP(Celu, .name = "Celu", .since = 28, .first = 12, .doc = "x, or alpha (e^(x/alpha) - 1) below zero",
                  .infer = infer_unary<floats>, .run = run_unary<celu_rows>, .gradient = gradient_celu,
                  .prepare = prepare_alpha, .in_place = {{0, 0}}, .cases = with_alpha);
OUTPOST_DEFINE_OP(ThresholdedRelu, .name = "ThresholdedRelu", .since = 22, .doc = "x above alpha, else 0",
                  .infer = infer_unary<floats>, .run = run_unary<thresholded_rows>, .gradient = gradient_thresholded,
                  .prepare = prepare_alpha, .in_place = {{0, 0}}, .cases = with_alpha);
OUTPOST_DEFINE_OP(HardSigmoid, .name = "HardSigmoid", .since = 22, .doc = "alpha x + beta, clipped to [0, 1]",
                  .infer = infer_unary<floats>, .run = run_unary<hard_sigmoid_rows>, .upgrade = upgrade_consumed_inputs,
                  .gradient = gradient_hard_sigmoid, .prepare = prepare_hard_sigmoid, .in_place = {{0, 0}},
                  .cases = with_alpha);
OUTPOST_DEFINE_OP(HardSwish, .name = "HardSwish", .since = 22, .first = 14, .doc = "x HardSigmoid(x) with alpha 1/6",
                  .infer = infer_unary<floats>, .run = run_unary<hard_swish_rows>, .gradient = gradient_hard_swish,
                  .in_place = {{0, 0}}, .cases = any_range);
OUTPOST_DEFINE_OP(Softplus, .name = "Softplus", .since = 22, .doc = "log(1 + e^x)", .infer = infer_unary<floats>,
                  .run = run_unary<softplus_rows>, .gradient = gradient_softplus, .in_place = {{0, 0}},
                  .cases = any_range);
OUTPOST_DEFINE_OP(Softsign, .name = "Softsign", .since = 22, .doc = "x / (1 + |x|)", .infer = infer_unary<floats>,
                  .run = run_unary<softsign_rows>, .gradient = gradient_softsign, .in_place = {{0, 0}},
                  .cases = any_range);
OUTPOST_DEFINE_OP(Mish, .name = "Mish", .since = 22, .first = 18, .doc = "x tanh(softplus(x))",
                  .infer = infer_unary<floats>, .run = run_unary<mish_rows>, .gradient = gradient_mish,
                  .in_place = {{0, 0}}, .cases = any_range);

}  // namespace outpost
