// What undoes, repeats or does nothing: chains of Cast, of Reshape and its kin, of Transpose; Slice, Pad, Expand, Tile of
// everything; Mul by 1, Add of 0 where that changes no bit; Where and If whose condition is a constant; Split that Concat
// joins again. Every rule returns the same bits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/inline_body.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

// Can every value of `from` be written as a `to`?
bool lossless(DType from, DType to) {
  if (from == to) return true;
  auto float_bits = [](DType t) { return t == DType::f16 ? 11 : t == DType::bf16 ? 8 : t == DType::f32 ? 24 : t == DType::f64 ? 53 : 0; };
  auto is_signed = [](DType t) { return t == DType::i8 || t == DType::i16 || t == DType::i32 || t == DType::i64; };
  auto is_unsigned = [](DType t) { return t == DType::u8 || t == DType::u16 || t == DType::u32 || t == DType::u64; };
  const int integer = from == DType::boolean ? 1 : is_signed(from) ? bits(from) - 1 : is_unsigned(from) ? bits(from) : 0;
  if (integer) {
    if (from == DType::boolean && to == DType::string) return false;
    if (float_bits(to)) return integer <= float_bits(to);
    return is_signed(to) ? integer <= bits(to) - 1 : is_unsigned(to) && !is_signed(from) && integer <= bits(to);
  }
  if (from == DType::f16 || from == DType::bf16) return to == DType::f32 || to == DType::f64;
  return from == DType::f32 && to == DType::f64;
}

Value* cast(Builder& b, Node& n) {
  const Node* inner = is(&n, "Cast") && n.input(0)->producer() && is(n.input(0)->producer(), "Cast") ? n.input(0)->producer() : nullptr;
  if (!inner || !inner->input(0)->type.is_tensor()) return nullptr;
  Value* x = inner->input(0);
  const DType from = x->type.dtype, between = n.input(0)->type.dtype, to = n.output(0)->type.dtype;
  if (from == DType::undefined || !lossless(from, between)) return nullptr;
  // Text follows the source's dtype, and out of range floating point gives the least integer where integers wrap.
  if (to == DType::string && from != between) return nullptr;
  auto is_float = [](DType t) { return t == DType::f16 || t == DType::bf16 || t == DType::f32 || t == DType::f64; };
  const bool saturates = !is_float(from) && is_float(between) && !is_float(to) && to != DType::boolean;
  if (from != to && saturates && !lossless(from, to)) return nullptr;
  return from == to ? x : b.emit("Cast", {x}, n.attributes);
}

bool is_view(const Node* n) { return is(n, "Reshape") || is(n, "Flatten") || is(n, "Squeeze") || is(n, "Unsqueeze"); }

// The dims as Reshape's second input, where they say enough: one may be unknown, if none is 0.
std::optional<std::vector<int64_t>> target(const Type& t) {
  if (!t.ranked) return std::nullopt;
  std::vector<int64_t> dims;
  int open = 0;
  bool empty = false;
  for (const Dim& d : t.dims) {
    open += !d.known();
    empty = empty || d.size == 0;
    dims.push_back(d.known() ? d.size : -1);
  }
  if (open > 1 || empty) return std::nullopt;
  return dims;
}

Value* view(Builder& b, Node& n) {
  if (!is_view(&n) || !n.input(0)->type.is_tensor()) return nullptr;
  Value* x = n.input(0);
  if (same_shape(x->type, n.output(0)->type)) return x;
  if (!is_view(x->producer())) return nullptr;
  x = x->producer()->input(0);
  if (!x->type.is_tensor()) return nullptr;
  if (same_shape(x->type, n.output(0)->type)) return x;
  if (const auto dims = target(n.output(0)->type)) return b.emit("Reshape", {x, b.integers(*dims)});
  return nullptr;
}

using Order = std::vector<int64_t>;

std::optional<Order> order_of(const Node& n) {
  Order order = n.attributes.integers("perm");
  const int rank = n.output(0)->type.rank();
  if (!n.output(0)->type.ranked) return order.empty() ? std::nullopt : std::optional(order);
  if (order.empty())
    for (int i = rank; i-- > 0;) order.push_back(i);
  return order;
}

Value* transpose(Builder& b, Node& n) {
  if (!is(&n, "Transpose")) return nullptr;
  const auto outer = order_of(n);
  if (!outer) return nullptr;
  Value* x = n.input(0);
  if (is(x->producer(), "Transpose")) {
    const auto inner = order_of(*x->producer());
    if (!inner || inner->size() != outer->size()) return nullptr;
    Order merged;
    for (int64_t axis : *outer) merged.push_back((*inner)[static_cast<size_t>(axis)]);
    Value* from = x->producer()->input(0);
    return std::is_sorted(merged.begin(), merged.end()) ? from : b.emit("Transpose", {from}, {{"perm", merged}});
  }
  // Only axes of one element move: the bytes stay where they are.
  if (!x->type.ranked || x->type.rank() != static_cast<int>(outer->size())) return nullptr;
  int64_t last = -1;
  for (int64_t axis : *outer) {
    if (x->type.dims[static_cast<size_t>(axis)] == Dim(1)) continue;
    if (axis < last) return nullptr;
    last = axis;
  }
  const auto dims = target(n.output(0)->type);
  return dims ? b.emit("Reshape", {x, b.integers(*dims)}) : nullptr;
}

bool all_equal(const Value* v, int64_t value) {
  const auto list = integers_of(v);
  return list && std::all_of(list->begin(), list->end(), [&](int64_t i) { return i == value; });
}

bool whole_slice(const Node& n) {
  const auto ends = integers_of(n.input(2));
  if (!all_equal(n.input(1), 0) || !ends || (n.input(4) && !all_equal(n.input(4), 1))) return false;
  const auto axes = n.input(3) ? integers_of(n.input(3)) : std::optional(std::vector<int64_t>());
  if (!axes || (!axes->empty() && axes->size() != ends->size())) return false;
  const Type& x = n.input(0)->type;
  for (size_t i = 0; i < ends->size(); ++i) {
    if ((*ends)[i] >= std::numeric_limits<int32_t>::max()) continue;
    if (!x.ranked) return false;
    const int64_t axis = axes->empty() ? static_cast<int64_t>(i) : (*axes)[i] < 0 ? (*axes)[i] + x.rank() : (*axes)[i];
    if (axis < 0 || axis >= x.rank() || !x.dims[static_cast<size_t>(axis)].known() || (*ends)[i] < x.dims[static_cast<size_t>(axis)].size) return false;
  }
  return true;
}

// Neutral operands: exact for every float, -0 and NaN included.
Value* neutral(const Node& n) {
  auto keeps = [&](int other) {  // the constant's broadcast changes nothing
    const Value *c = n.input(other), *x = n.input(1 - other);
    return scalar_of(c) && c->type.rank() <= (x->type.ranked ? x->type.rank() : 0);
  };
  const bool integral = !is_floating(n.output(0));
  for (int i = 1; i >= 0; --i) {
    if (n.inputs().size() != 2 || !scalar_of(n.input(i)) || !keeps(i)) continue;
    const double v = *scalar_of(n.input(i));
    const bool negative_zero = v == 0 && std::signbit(v);
    if (is(&n, "Mul") && v == 1) return n.input(1 - i);
    if (is(&n, "Add") && v == 0 && (integral || negative_zero)) return n.input(1 - i);
    if (i == 1 && ((is(&n, "Div") && v == 1) || (is(&n, "Pow") && v == 1) || (is(&n, "Sub") && v == 0 && !negative_zero))) return n.input(0);
  }
  return nullptr;
}

Value* chosen(const Node& n) {  // Where
  if (!n.input(0)->is_constant() || n.input(0)->type.dtype != DType::boolean) return nullptr;
  const Tensor& t = n.input(0)->constant();
  const auto* flags = static_cast<const bool*>(t.raw());
  const int64_t count = t.count();
  if (count == 0 || !t.contiguous() || !std::all_of(flags, flags + count, [&](bool f) { return f == flags[0]; })) return nullptr;
  Value* v = n.input(flags[0] ? 1 : 2);
  return same_shape(v->type, n.output(0)->type) ? v : nullptr;
}

// Concat of all outputs of a Split in their order, along the same axis.
Value* rejoined(const Node& n) {
  const Node* split = n.input(0) ? n.input(0)->producer() : nullptr;
  if (!is(&n, "Concat") || !is(split, "Split") || split->outputs() != n.inputs() || !n.output(0)->type.ranked) return nullptr;
  const int rank = n.output(0)->type.rank();
  auto wrap = [&](int64_t axis) { return axis < 0 ? axis + rank : axis; };
  return wrap(n.attributes.integer("axis", 0)) == wrap(split->attributes.integer("axis", 0)) ? split->input(0) : nullptr;
}

Value* nothing(const Node& n) {
  Value* x = n.input(0);
  if (!n.domain.empty() || !x) return nullptr;
  if (n.op == "Slice") return whole_slice(n) ? x : nullptr;
  if (n.op == "Pad") return all_equal(n.input(1), 0) ? x : nullptr;
  if (n.op == "Tile") return all_equal(n.input(1), 1) ? x : nullptr;
  if (n.op == "Expand") {
    if (same_shape(x->type, n.output(0)->type)) return x;
    const auto dims = integers_of(n.input(1));
    return all_equal(n.input(1), 1) && x->type.ranked && static_cast<int>(dims->size()) <= x->type.rank() ? x : nullptr;
  }
  if (n.op == "Split") return n.outputs().size() == 1 ? x : nullptr;
  if (n.op == "Where") return chosen(n);
  if (n.op == "Neg" || n.op == "Not") return x->producer() && is(x->producer(), n.op) ? x->producer()->input(0) : nullptr;
  if (Value* v = rejoined(n)) return v;
  return neutral(n);
}

// An If whose condition is known is the branch that is taken.
int take_branches(Graph& graph) {
  std::vector<Node*> known;
  for (const auto& n : graph.nodes())
    if (is(n.get(), "If") && n->input(0) && n->input(0)->is_constant() && n->input(0)->type.dtype == DType::boolean && n->input(0)->constant().count() == 1)
      known.push_back(n.get());
  for (Node* n : known) {
    const bool taken = *static_cast<const bool*>(n->input(0)->constant().raw());
    Builder b(graph, n);
    const std::vector<Value*> captures(n->inputs().begin() + 1, n->inputs().end());
    const std::vector<Value*> outputs = inline_body(b, *n->attributes.graph(taken ? "then_branch" : "else_branch"), captures);
    for (size_t i = 0; i < n->outputs().size(); ++i)
      if (Value* v = n->outputs()[i]) graph.replace_uses(v, outputs[i]);
    graph.erase(n);
  }
  return static_cast<int>(known.size());
}

}  // namespace

int cancel_pairs(Graph& graph) {
  const int changes = take_branches(graph);
  return changes + rewrite_nodes(graph, [](Builder& b, Node& n) -> Value* {
    if (!n.domain.empty()) return nullptr;
    if (Value* v = nothing(n)) return v;
    if (Value* v = cast(b, n)) return v;
    if (Value* v = view(b, n)) return v;
    return transpose(b, n);
  });
}

}  // namespace outpost
