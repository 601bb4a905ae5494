// See elementwise_program.h.
#include "ops/elementwise_program.h"

#include <charconv>
#include <limits>

#include "tensor/convert.h"

namespace outpost {
namespace {

using U = kernels::Unary;
using B = kernels::Binary;

struct Entry {
  std::string_view op;
  int kernel;
  bool binary;
  std::string_view first = "", second = "";  // attributes of the parameters, and their defaults
  float first_default = 0, second_default = 0;
};

constexpr Entry entries[] = {
    {"Add", int(B::add), true}, {"Sub", int(B::subtract), true}, {"Mul", int(B::multiply), true}, {"Div", int(B::divide), true},
    {"Min", int(B::min), true}, {"Max", int(B::max), true},
    {"Relu", int(U::relu), false}, {"Neg", int(U::negate), false}, {"Abs", int(U::absolute), false}, {"Sqrt", int(U::sqrt), false},
    {"Reciprocal", int(U::reciprocal), false}, {"Exp", int(U::exp), false}, {"Log", int(U::log), false}, {"Tanh", int(U::tanh), false},
    {"Sigmoid", int(U::sigmoid), false}, {"Erf", int(U::erf), false}, {"Softplus", int(U::softplus), false},
    {"Softsign", int(U::softsign), false}, {"HardSwish", int(U::hardswish), false}, {"Mish", int(U::mish), false},
    {"Floor", int(U::floor), false}, {"Ceil", int(U::ceil), false}, {"Sin", int(U::sin), false}, {"Cos", int(U::cos), false},
    {"LeakyRelu", int(U::leaky), false, "alpha", "", 0.01f}, {"Elu", int(U::elu), false, "alpha", "", 1}, {"Celu", int(U::celu), false, "alpha", "", 1},
    {"HardSigmoid", int(U::hard_sigmoid), false, "alpha", "beta", 0.2f, 0.5f},
    {"Selu", int(U::selu), false, "alpha", "gamma", 1.67326319217681884765625f, 1.05070102214813232421875f},
    {"Clip", int(U::clip), false}, {"Gelu", int(U::gelu_erf), false}, {"GeluTanh", int(U::gelu_tanh), false}, {"Swish", int(U::silu), false},
};

const Entry* entry_of(std::string_view op) {
  for (const Entry& e : entries)
    if (e.op == op) return &e;
  return nullptr;
}

bool bound(const Value* v, float absent, float& to) {
  to = absent;
  if (!v) return true;
  if (!v->is_constant() || v->constant().count() != 1) return false;
  convert(v->constant().dtype(), v->constant().raw(), DType::f32, &to, 1);
  return true;
}

[[noreturn]] void reject(const Node& node, const std::string& step) {
  fail(ErrorCode::invalid_model, node.label(), ": step '", step, "' is not of the form 'Operator x0 s1'");
}

// "x3" or "s0" as an index over inputs and the steps before this one.
int operand_of(const Node& node, const std::string& step, std::string_view word, int inputs, int before) {
  int index = -1;
  const auto [end, error] = std::from_chars(word.data() + (word.empty() ? 0 : 1), word.data() + word.size(), index);
  if (word.size() < 2 || error != std::errc() || end != word.data() + word.size() || index < 0) reject(node, step);
  if (word[0] == 'x' && index < inputs) return index;
  if (word[0] == 's' && index < before) return inputs + index;
  reject(node, step);
}

}  // namespace

std::optional<ElementwiseStep> elementwise_step(const Node& n) {
  if (!n.domain.empty() || n.outputs().size() != 1) return std::nullopt;
  const bool by_tanh = n.op == "Gelu" && n.attributes.string("approximate", "none") == "tanh";
  const Entry* e = entry_of(by_tanh ? "GeluTanh" : n.op);
  if (!e || (n.op == "Swish" && n.attributes.real("alpha", 1) != 1)) return std::nullopt;
  if (e->binary ? n.inputs().size() != 2 : n.op != "Clip" && n.inputs().size() != 1) return std::nullopt;
  ElementwiseStep s{std::string(e->op), e->kernel, e->binary};
  if (!e->first.empty()) s.a = n.attributes.real(e->first, e->first_default);
  if (!e->second.empty()) s.b = n.attributes.real(e->second, e->second_default);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  if (n.op == "Clip" && (!bound(n.input(1), -infinity, s.a) || !bound(n.input(2), infinity, s.b))) return std::nullopt;
  return s;
}

Attributes elementwise_attributes(const std::vector<ElementwiseStep>& steps, int inputs) {
  std::vector<std::string> lines;
  std::vector<float> parameters;
  for (const ElementwiseStep& s : steps) {
    std::string line = s.op;
    for (int i = 0; i < (s.binary ? 2 : 1); ++i)
      line += s.operands[i] < inputs ? text(" x", s.operands[i]) : text(" s", s.operands[i] - inputs);
    lines.push_back(std::move(line));
    parameters.push_back(s.a), parameters.push_back(s.b);
  }
  return {{"steps", std::move(lines)}, {"parameters", std::move(parameters)}};
}

std::vector<ElementwiseStep> elementwise_steps(const Node& node) {
  const auto& lines = node.attributes.strings("steps");
  const auto& parameters = node.attributes.reals("parameters");
  if (lines.empty() || lines.size() > most_elementwise_steps || (!parameters.empty() && parameters.size() != 2 * lines.size()))
    fail(ErrorCode::invalid_model, node.label(), ": ", lines.size(), " steps and ", parameters.size(), " parameters; expected 1..",
         most_elementwise_steps, " steps and two parameters for each, or none");
  std::vector<ElementwiseStep> steps;
  const int inputs = static_cast<int>(node.inputs().size());
  for (const std::string& line : lines) {
    std::vector<std::string_view> words;
    for (std::string_view rest = line; !rest.empty();) {
      const size_t space = std::min(rest.find(' '), rest.size());
      words.push_back(rest.substr(0, space));
      rest.remove_prefix(std::min(space + 1, rest.size()));
    }
    const Entry* e = words.empty() ? nullptr : entry_of(words[0]);
    if (!e || words.size() != (e->binary ? 3u : 2u)) reject(node, line);
    ElementwiseStep s{std::string(e->op), e->kernel, e->binary};
    for (size_t i = 1; i < words.size(); ++i) s.operands[i - 1] = operand_of(node, line, words[i], inputs, static_cast<int>(steps.size()));
    if (!parameters.empty()) s.a = parameters[2 * steps.size()], s.b = parameters[2 * steps.size() + 1];
    steps.push_back(std::move(s));
  }
  return steps;
}

Value* expand_step(Builder& b, const ElementwiseStep& s, const std::vector<Value*>& values) {
  Value* x = values[static_cast<size_t>(s.operands[0])];
  if (s.binary) return b.emit(s.op, {x, values[static_cast<size_t>(s.operands[1])]});
  if (s.op == "Clip") return b.emit("Clip", {x, b.like(x, s.a), b.like(x, s.b)});
  if (s.op == "GeluTanh") return b.emit("Gelu", {x}, {{"approximate", std::string("tanh")}});
  Attributes attributes;
  const Entry& e = *entry_of(s.op);
  if (!e.first.empty()) attributes.set(std::string(e.first), s.a);
  if (!e.second.empty()) attributes.set(std::string(e.second), s.b);
  return b.emit(s.op, {x}, attributes);
}

}  // namespace outpost
