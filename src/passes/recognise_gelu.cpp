// Gelu (Hendrycks & Gimpel 2016) that exporters wrote out in parts, in every order of its factors:
//   exact   x (1 + erf(x / sqrt 2)) / 2
//   tanh    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
// and com.microsoft's forms of it with a bias: an Add and a Gelu, for the product in front to take in.
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

constexpr double root_half = 0.7071067811865476, root_2_pi = 0.7978845608028654, cubic = 0.044715;

Pattern times(Pattern a, Pattern b) { return op("Mul", {std::move(a), std::move(b)}); }
Pattern plus(Pattern a, Pattern b) { return op("Add", {std::move(a), std::move(b)}); }
Pattern half_of(Pattern x) { return one_of({times(x, 0.5), op("Div", {x, 2.0})}); }

// x gate / 2 with gate = 1 + f(x): the half at the end, on x, or on the gate.
Pattern halved(Pattern x, Pattern gate) {
  return one_of({half_of(times(x, gate)), times(half_of(x), gate), times(x, half_of(gate))});
}

Pattern exact_gate(Capture& x) {
  return plus(op("Erf", {one_of({op("Div", {x, 1 / root_half}), times(x, root_half)})}), 1.0);
}

// x + c x^3 as such or with x taken out: x (1 + c x^2).
Pattern tanh_gate(Capture& x) {
  const Pattern square = one_of({times(x, x), op("Pow", {x, 2.0})});
  const Pattern cube = one_of({op("Pow", {x, 3.0}), times(square, x)});
  const Pattern sum = one_of({plus(x, times(cube, cubic)), plus(x, times(square, times(x, cubic))), plus(x, times(x, times(square, cubic)))});
  const Pattern factor = plus(times(square, cubic), 1.0), factor_in_x = plus(times(times(x, cubic), x), 1.0);
  const Pattern scaled = times(x, root_2_pi);
  return plus(op("Tanh", {one_of({times(sum, root_2_pi), times(scaled, factor), times(scaled, factor_in_x), times(times(x, factor), root_2_pi)})}), 1.0);
}

Value* gelu(Builder& b, Value* x, bool by_tanh) {
  if (!is_floating(x)) return nullptr;
  return b.emit("Gelu", {x}, by_tanh ? Attributes{{"approximate", std::string("tanh")}} : Attributes{});
}

// A bias of one axis is what a Linear takes; others stay as they are.
Value* with_bias(Builder& b, Node& n, bool by_tanh) {
  Value *x = n.input(0), *bias = n.input(1);
  if (!x->type.ranked || (bias && (!bias->type.ranked || bias->type.rank() > x->type.rank()))) return nullptr;
  return gelu(b, bias ? b.add(x, bias) : x, by_tanh);
}

Value* microsoft_form(Builder& b, Node& n) {
  if (n.domain != "com.microsoft") return nullptr;
  if (n.op == "Gelu" || n.op == "BiasGelu") return with_bias(b, n, false);
  return n.op == "FastGelu" ? with_bias(b, n, true) : nullptr;
}

}  // namespace

int recognise_gelu(Graph& graph) {
  Capture x;
  int changes = rewrite(graph, halved(x, exact_gate(x)), [&](Builder& b, Node&) { return gelu(b, x, false); });
  changes += rewrite(graph, halved(x, tanh_gate(x)), [&](Builder& b, Node&) { return gelu(b, x, true); });
  return changes + rewrite_nodes(graph, microsoft_form);
}

}  // namespace outpost
