// Transposes move through operators that do not care in which order axes stand, where that makes them fewer:
//   - up, from a Transpose through a tree of such operators that only it uses, when its leaves are constants or Transposes
//     that it cancels or merges with;
//   - down, through an operator whose operands are all transposed alike, or whose result is transposed back by a user.
// The pass `cancel` then removes pairs. What models written in another layout bring (NHWC) mostly goes.
#include <algorithm>

#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;
using Order = std::vector<int64_t>;

constexpr std::string_view unary[] = {"Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "HardSigmoid", "Swish", "Gelu", "Elu", "Selu",
                                      "Softplus", "Mish", "Erf", "Exp", "Log", "Sqrt", "Neg", "Abs", "Reciprocal", "Cast", "Clip"};
constexpr std::string_view binary[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"};

template <size_t n>
bool in(const std::string_view (&list)[n], const Node& node) {
  return node.domain.empty() && std::find(std::begin(list), std::end(list), node.op) != std::end(list);
}

// Clip's bounds and the like are scalars of their own.
bool is_unary(const Node& n) { return in(unary, n); }
bool is_binary(const Node& n) { return in(binary, n) && n.inputs().size() == 2; }
bool along_axis(const Node& n) { return is(&n, "Softmax") || is(&n, "LogSoftmax") || is(&n, "Concat"); }

std::optional<Order> order_of(const Node* n) {
  if (!is(n, "Transpose") || !n->output(0)->type.ranked) return std::nullopt;
  Order order = n->attributes.integers("perm");
  if (order.empty())
    for (int64_t i = n->output(0)->type.rank(); i-- > 0;) order.push_back(i);
  return order;
}

Order merge(const Order& inner, const Order& outer) {
  Order merged;
  for (int64_t axis : outer) merged.push_back(inner[static_cast<size_t>(axis)]);
  return merged;
}

bool is_identity(const Order& order) { return std::is_sorted(order.begin(), order.end()); }

// A constant under the order, where it is small; lower ranks count as having leading axes of 1.
bool small_constant(const Value* v, size_t rank) {
  return v->is_constant() && v->stored().rank() <= static_cast<int>(rank) && v->stored().bytes() <= (64 << 10) && v->constant().contiguous();
}

Value* turned_constant(Builder& b, const Value* v, const Order& order) {
  Shape shape = v->constant().shape();
  if (shape.count() == 1) return const_cast<Value*>(v);
  while (shape.rank() < static_cast<int>(order.size())) shape.insert(0, 1);
  return b.emit("Transpose", {b.constant(v->constant().reshaped(shape))}, {{"perm", order}});  // folded later
}

// ---- up

constexpr int too_many = 1000;

// How many more Transposes there are when this value is wanted in another order instead.
int cost(const Value* v, const Order& order, int depth) {
  if (small_constant(v, order.size())) return 0;
  const Node* n = v->producer();
  if (const auto inner = order_of(n)) {
    const bool gone = used_once(v);
    return (is_identity(merge(*inner, order)) ? 0 : 1) - (gone ? 1 : 0);
  }
  if (!n || depth == 0 || !used_once(v) || n->outputs().size() != 1 || !v->type.ranked || v->type.rank() != static_cast<int>(order.size())) return 1;
  if (is_unary(*n)) return cost(n->input(0), order, depth - 1);
  if (!is_binary(*n) && !along_axis(*n)) return 1;
  int total = 0;
  for (const Value* x : n->inputs()) {
    if (!x->type.ranked || (x->type.rank() != v->type.rank() && !small_constant(x, order.size()))) return too_many;
    total += cost(x, order, depth - 1);
  }
  return total;
}

Value* turned(Builder& b, Value* v, const Order& order, int depth) {
  if (small_constant(v, order.size())) return turned_constant(b, v, order);
  Node* n = v->producer();
  if (const auto inner = order_of(n)) {
    const Order merged = merge(*inner, order);
    return is_identity(merged) ? n->input(0) : b.emit("Transpose", {n->input(0)}, {{"perm", merged}});
  }
  const bool through = n && depth > 0 && used_once(v) && n->outputs().size() == 1 && v->type.ranked && v->type.rank() == static_cast<int>(order.size());
  if (!through || (!is_unary(*n) && !is_binary(*n) && !along_axis(*n))) return b.emit("Transpose", {v}, {{"perm", order}});
  std::vector<Value*> inputs = n->inputs();
  Attributes attributes = n->attributes;
  for (size_t i = 0; i < (is_unary(*n) ? 1 : inputs.size()); ++i) inputs[i] = turned(b, inputs[i], order, depth - 1);
  if (along_axis(*n)) {
    const int64_t axis = attributes.integer("axis", -1), wrapped = axis < 0 ? axis + static_cast<int64_t>(order.size()) : axis;
    attributes.set("axis", static_cast<int64_t>(std::find(order.begin(), order.end(), wrapped) - order.begin()));
  }
  return b.emit(n->op, inputs, attributes, n->domain);
}

Value* up(Builder& b, Node& n) {
  constexpr int depth = 12;
  const auto order = order_of(&n);
  if (!order || is_identity(*order) || order_of(n.input(0)->producer()) || n.input(0)->is_constant()) return nullptr;
  return cost(n.input(0), *order, depth) <= 0 ? turned(b, n.input(0), *order, depth) : nullptr;
}

// ---- down

Value* transposed(Builder& b, Value* v, const Order& order) { return b.emit("Transpose", {v}, {{"perm", order}}); }

Value* down_binary(Builder& b, Node& n) {
  if (!is_binary(n)) return nullptr;
  const auto left = order_of(n.input(0)->producer()), right = order_of(n.input(1)->producer());
  if (!left || !right || *left != *right || !used_once(n.input(0)) || !used_once(n.input(1))) return nullptr;
  return transposed(b, b.emit(n.op, {n.input(0)->producer()->input(0), n.input(1)->producer()->input(0)}, n.attributes), *left);
}

// Its result is used in this order and transposed back.
Value* down_unary(Builder& b, Node& n) {
  if (!is_unary(n) || n.output(0)->uses().size() < 2) return nullptr;
  const auto order = order_of(n.input(0)->producer());
  if (!order || !used_once(n.input(0))) return nullptr;
  const auto& uses = n.output(0)->uses();
  const bool back = std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    const auto outer = order_of(use.node);
    return outer && is_identity(merge(*order, *outer));
  });
  if (!back) return nullptr;
  std::vector<Value*> inputs = n.inputs();
  inputs[0] = n.input(0)->producer()->input(0);
  return transposed(b, b.emit(n.op, inputs, n.attributes), *order);
}

}  // namespace

int move_transposes(Graph& graph) {
  return rewrite_nodes(graph, [](Builder& b, Node& n) -> Value* {
    if (Value* v = up(b, n)) return v;
    if (Value* v = down_binary(b, n)) return v;
    return down_unary(b, n);
  });
}

}  // namespace outpost
