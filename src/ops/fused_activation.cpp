// See fused_activation.h.
#include "ops/fused_activation.h"

#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

using A = kernels::Activation;
using U = kernels::Unary;

struct Entry {
  std::string_view name;
  A kind;
  U kernel;
};

constexpr Entry entries[] = {
    {"none", A::none, U::count},         {"relu", A::relu, U::relu},
    {"clip", A::clip, U::clip},          {"leaky", A::leaky, U::leaky},
    {"sigmoid", A::sigmoid, U::sigmoid}, {"tanh", A::tanh, U::tanh},
    {"silu", A::silu, U::silu},          {"gelu_erf", A::gelu_erf, U::gelu_erf},
    {"gelu_tanh", A::gelu_tanh, U::gelu_tanh}, {"hardswish", A::hardswish, U::hardswish},
};

double in_f64(A kind, double x, double low, double high) {
  const double e = std::exp(-std::fabs(x)), logistic = (x >= 0 ? 1.0 : e) / (1 + e);
  switch (kind) {
    case A::none: return x;
    case A::relu: return x < 0 ? 0 : x;
    case A::clip: return x < low ? (low > high ? high : low) : x > high ? high : x;
    case A::leaky: return x < 0 ? low * x : x;
    case A::sigmoid: return logistic;
    case A::tanh: return std::tanh(x);
    case A::silu: return x * logistic;
    case A::gelu_erf: return x / 2 * std::erfc(x * -0.7071067811865476);
    case A::gelu_tanh: return x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case A::hardswish: return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6;
  }
  return x;
}

// A constant of one element; `absent` where there is no input.
std::optional<float> bound(const Value* v, float absent) {
  if (!v) return absent;
  if (!v->is_constant() || v->constant().count() != 1) return std::nullopt;
  float value;
  convert(v->constant().dtype(), v->constant().raw(), DType::f32, &value, 1);
  return value;
}

Attributes named(std::string_view name) { return {{"activation", std::string(name)}}; }

}  // namespace

FusedActivation FusedActivation::of(const Node& node) {
  const std::string_view name = node.attributes.string("activation", "none");
  for (const Entry& e : entries)
    if (e.name == name)
      return {e.kind, node.attributes.real("activation_low", 0), node.attributes.real("activation_high", 0)};
  fail(ErrorCode::invalid_model, node.label(), ": activation '", name, "' is not known");
}

void FusedActivation::apply(const float* x, float* y, int64_t n) const {
  for (const Entry& e : entries)
    if (e.kind == kind && e.kernel != U::count) kernels::kernels().unary[int(e.kernel)](x, y, n, low, high);
}

void FusedActivation::apply(const double* x, double* y, int64_t n) const {
  for (int64_t i = 0; i < n; ++i) y[i] = in_f64(kind, x[i], low, high);
}

Value* expand_activation(Builder& b, Value* y, const Attributes& attributes) {
  const std::string name(attributes.string("activation", "none"));
  const float low = attributes.real("activation_low", 0), high = attributes.real("activation_high", 0);
  if (name == "relu") return b.emit("Relu", {y});
  if (name == "clip") return b.emit("Clip", {y, b.like(y, low), b.like(y, high)});
  if (name == "leaky") return b.emit("LeakyRelu", {y}, {{"alpha", low}});
  if (name == "sigmoid") return b.emit("Sigmoid", {y});
  if (name == "tanh") return b.emit("Tanh", {y});
  if (name == "silu") return b.emit("Swish", {y});
  if (name == "gelu_erf") return b.emit("Gelu", {y});
  if (name == "gelu_tanh") return b.emit("Gelu", {y}, {{"approximate", std::string("tanh")}});
  if (name == "hardswish") return b.emit("HardSwish", {y});
  return y;
}

std::optional<Attributes> activation_attributes(const Node& n) {
  const Attributes& a = n.attributes;
  if (n.domain == "com.microsoft" && n.op == "Gelu") return named("gelu_erf");
  if (!n.domain.empty() || n.outputs().size() != 1) return std::nullopt;
  if (n.op == "Relu") return named("relu");
  if (n.op == "Sigmoid") return named("sigmoid");
  if (n.op == "Tanh") return named("tanh");
  if (n.op == "HardSwish") return named("hardswish");
  if (n.op == "Swish" && a.real("alpha", 1) == 1) return named("silu");
  if (n.op == "Gelu") return named(a.string("approximate", "none") == "tanh" ? "gelu_tanh" : "gelu_erf");
  if (n.op == "LeakyRelu") {
    Attributes leaky = named("leaky");
    leaky.set("activation_low", a.real("alpha", 0.01f));
    return leaky;
  }
  if (n.op != "Clip") return std::nullopt;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::optional<float> low = bound(n.input(1), -infinity), high = bound(n.input(2), infinity);
  if (!low || !high || !(*low <= *high)) return std::nullopt;
  Attributes clip = named("clip");
  clip.set("activation_low", *low);
  clip.set("activation_high", *high);
  return clip;
}

}  // namespace outpost
