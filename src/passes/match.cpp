// Matching by continuations: match(pattern, value, next) binds what it can and calls `next` for the rest; where that
// fails it undoes its bindings and tries the other order of operands, or the other choice. So an early choice is
// revised when a later part of the pattern does not fit, whatever the order of the parts.
#include "passes/match.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tensor/convert.h"

namespace outpost::match {

enum class Kind : uint8_t { any, capture, constant, scalar, number, op, one_of, maybe, through };

struct Pattern::Data {
  Kind kind = Kind::any;
  std::string op, domain;
  std::vector<Pattern> parts;
  int output = 0;
  bool commutes = false, shared = false, more = false;
  double expected = 0;
  Capture* capture = nullptr;
  NodeCapture* node = nullptr;
  Number* number = nullptr;
  std::function<bool(const Node&)> where;
  std::function<bool(const Tensor&)> accepts;
};

Pattern make(Pattern::Data data) {
  Pattern p;
  p.data_ = std::make_shared<Pattern::Data>(std::move(data));
  return p;
}

Pattern::Pattern(Capture& capture) : Pattern(make({.kind = Kind::capture, .capture = &capture})) {}
Pattern::Pattern(Number& number) : Pattern(make({.kind = Kind::number, .number = &number})) {}
Pattern::Pattern(double value) : Pattern(make({.kind = Kind::scalar, .expected = value})) {}

Pattern& Pattern::domain(std::string_view domain) { return data_->domain = domain, *this; }
Pattern& Pattern::as(NodeCapture& node) { return data_->node = &node, *this; }
Pattern& Pattern::value(Capture& output) { return data_->capture = &output, *this; }
Pattern& Pattern::output(int index) { return data_->output = index, *this; }
Pattern& Pattern::shared() { return data_->shared = true, *this; }
Pattern& Pattern::more() { return data_->more = true, *this; }
Pattern& Pattern::where(std::function<bool(const Node&)> accepts) {
  if (!data_->where) data_->where = std::move(accepts);
  else data_->where = [first = data_->where, second = std::move(accepts)](const Node& n) { return first(n) && second(n); };
  return *this;
}
Pattern& Pattern::with(std::string attribute, int64_t value, int64_t fallback) {
  return where([=](const Node& n) { return n.attributes.integer(attribute, fallback) == value; });
}

Pattern op(std::string_view name, std::vector<Pattern> inputs) {
  constexpr std::string_view commuting[] = {"Add", "Mul", "Max", "Min", "And", "Or", "Equal", "Sum"};
  const bool commutes = inputs.size() == 2 && std::find(std::begin(commuting), std::end(commuting), name) != std::end(commuting);
  return make({.kind = Kind::op, .op = std::string(name), .parts = std::move(inputs), .commutes = commutes});
}
Pattern any() { return make({}); }
Pattern constant(Capture& capture) { return make({.kind = Kind::constant, .capture = &capture}); }
Pattern constant(Capture& capture, std::function<bool(const Tensor&)> accepts) {
  return make({.kind = Kind::constant, .capture = &capture, .accepts = std::move(accepts)});
}
Pattern one_of(std::vector<Pattern> choices) { return make({.kind = Kind::one_of, .parts = std::move(choices)}); }
Pattern maybe(Pattern input) { return make({.kind = Kind::maybe, .parts = {std::move(input)}}); }
Pattern through(std::string_view op, Pattern p) {
  return make({.kind = Kind::through, .op = std::string(op), .parts = {std::move(p)}});
}

namespace {

using Next = FunctionRef<bool()>;

bool is_near(double found, double expected, DType dtype) {
  const double tolerance = dtype == DType::f16 ? 1e-3 : dtype == DType::bf16 ? 1e-2 : 1e-5;
  return found == expected || std::abs(found - expected) <= tolerance * std::abs(expected);
}

// Binds the slot for as long as the rest of the match holds; a slot bound before must hold the same.
template <class T>
bool bind(T*& slot, T* to, Next next) {
  if (slot) return slot == to && next();
  slot = to;
  if (next()) return true;
  slot = nullptr;
  return false;
}

class Matcher {
 public:
  bool match(const Pattern& pattern, Value* v, Next next) {
    const Pattern::Data& p = *pattern.data();
    switch (p.kind) {
      case Kind::any: return next();
      case Kind::maybe: return v ? match(p.parts[0], v, next) : next();
      case Kind::capture: return v && bind(p.capture->value, v, next);
      case Kind::constant:
        return v && v->is_constant() && (!p.accepts || p.accepts(v->constant())) && bind(p.capture->value, v, next);
      case Kind::scalar: {
        const std::optional<double> found = scalar_of(v);
        return found && is_near(*found, p.expected, v->type.dtype) && with_rank(v->type.rank(), next);
      }
      case Kind::number: {
        const std::optional<double> found = scalar_of(v);
        if (!found) return false;
        if (!p.number->value) p.number->number = *found;
        return with_rank(v->type.rank(), [&] { return bind(p.number->value, v, next); });
      }
      case Kind::one_of:
        return std::any_of(p.parts.begin(), p.parts.end(), [&](const Pattern& q) { return match(q, v, next); });
      case Kind::through: return match(p.parts[0], v, next) || behind(p, v, next);
      case Kind::op: return node(p, v, next);
    }
    return false;
  }

  // The nodes of the match so far, root first, and whether each may have other users.
  struct Found {
    Node* node;
    bool shared;
  };
  std::vector<Found> found;
  int scalar_rank = 0;  // the largest rank of a scalar constant: it raises the rank of what it is added to

 private:
  bool with_rank(int rank, Next next) {
    const int before = std::exchange(scalar_rank, std::max(scalar_rank, rank));
    return next() || (scalar_rank = before, false);
  }

  bool with_node(Node* n, bool shared, Next next) {
    found.push_back({n, shared});
    if (next()) return true;
    found.pop_back();
    return false;
  }

  bool behind(const Pattern::Data& p, Value* v, Next next) {
    Node* n = v ? v->producer() : nullptr;
    if (!n || n->op != p.op || n->domain != p.domain || v->output_index() != 0 || n->inputs().empty()) return false;
    return with_node(n, false, [&] { return match(p.parts[0], n->input(0), next); });
  }

  bool node(const Pattern::Data& p, Value* v, Next next) {
    Node* n = v ? v->producer() : nullptr;
    if (!n || n->op != p.op || n->domain != p.domain || v->output_index() != p.output) return false;
    if (!p.more && n->inputs().size() > p.parts.size()) return false;
    if (p.where && !p.where(*n)) return false;
    auto rest = [&] {
      return inputs(p, *n, 0, false, next) || (p.commutes && inputs(p, *n, 0, true, next));
    };
    auto with_value = [&] { return p.capture ? bind(p.capture->value, v, rest) : rest(); };
    return with_node(n, p.shared, [&] { return p.node ? bind(p.node->node, n, with_value) : with_value(); });
  }

  bool inputs(const Pattern::Data& p, Node& n, size_t i, bool swapped, Next next) {
    if (i == p.parts.size()) return next();
    Value* v = n.input(static_cast<int>(swapped ? 1 - i : i));
    return match(p.parts[i], v, [&] { return inputs(p, n, i + 1, swapped, next); });
  }
};

void reset(const Pattern& pattern) {
  const Pattern::Data& p = *pattern.data();
  if (p.capture) p.capture->value = nullptr;
  if (p.node) p.node->node = nullptr;
  if (p.number) p.number->value = nullptr;
  for (const Pattern& part : p.parts) reset(part);
}

bool could_be_root(const Pattern& pattern, const Node& n) {
  const Pattern::Data& p = *pattern.data();
  if (p.kind == Kind::op) return n.op == p.op && n.domain == p.domain;
  if (p.kind == Kind::through && n.op == p.op && n.domain == p.domain) return true;
  return (p.kind == Kind::one_of || p.kind == Kind::through) &&
         std::any_of(p.parts.begin(), p.parts.end(), [&](const Pattern& q) { return could_be_root(q, n); });
}

bool unused(const Graph& g, const Value* v) { return !v || (v->uses().empty() && !g.is_output(v)); }

// Inner nodes are used by nodes of the match alone.
bool closed(const Graph& g, const std::vector<Matcher::Found>& found) {
  auto inside = [&](const Node* n) {
    return std::any_of(found.begin(), found.end(), [&](const Matcher::Found& f) { return f.node == n; });
  };
  for (size_t i = 1; i < found.size(); ++i) {
    if (found[i].shared) continue;
    for (const Value* v : found[i].node->outputs()) {
      if (!v) continue;
      for (const Use& use : v->uses())
        if (!inside(use.node)) return false;
      if (g.is_output(v)) return false;
    }
  }
  return true;
}

bool other_outputs_unused(const Graph& g, const Node& n, int kept) {
  for (int i = 0; i < static_cast<int>(n.outputs().size()); ++i)
    if (i != kept && !unused(g, n.output(i))) return false;
  return true;
}

bool contradicts(const Type& a, const Type& b) {
  if (a.dtype != b.dtype && a.dtype != DType::undefined && b.dtype != DType::undefined) return true;
  if (!a.ranked || !b.ranked) return false;
  if (a.rank() != b.rank()) return true;
  for (int i = 0; i < a.rank(); ++i)
    if (a.dims[i].known() && b.dims[i].known() && a.dims[i].size != b.dims[i].size) return true;
  return false;
}

// What either type knows.
void keep_type(Type& to, const Type& from) {
  if (to.kind == Type::Kind::none || (!to.ranked && from.ranked)) to = from;
  else if (to.ranked && from.ranked)
    for (int i = 0; i < to.rank(); ++i)
      if (!to.dims[i].known() && (from.dims[i].known() || to.dims[i].symbol == 0)) to.dims[i] = from.dims[i];
}

bool replace_output(Node& node, int output, Value* value) {
  Value* old = node.output(output);
  if (value == old || contradicts(value->type, old->type)) return false;
  keep_type(value->type, old->type);
  node.graph()->replace_uses(old, value);
  return true;
}

// Erases the node and what only it needed, at once: what they used counts fewer users for the matches to come.
void erase_unused(Graph& g, Node* node) {
  std::vector<Node*> candidates{node};  // each once: one that is still used comes again with its last user
  while (!candidates.empty()) {
    Node* n = candidates.back();
    candidates.pop_back();
    const auto& outs = n->outputs();
    if (!std::all_of(outs.begin(), outs.end(), [&](const Value* v) { return unused(g, v); })) continue;
    for (const Value* v : n->inputs())
      if (v && v->producer() && std::find(candidates.begin(), candidates.end(), v->producer()) == candidates.end()) candidates.push_back(v->producer());
    g.erase(n);
  }
}

// The only output in use, or -1.
int used_output(const Graph& g, const Node& n) {
  int output = 0;
  while (output < static_cast<int>(n.outputs().size()) && unused(g, n.output(output))) ++output;
  return output < static_cast<int>(n.outputs().size()) && other_outputs_unused(g, n, output) ? output : -1;
}

}  // namespace

bool matches(const Pattern& pattern, Value* value) {
  reset(pattern);
  Matcher m;
  return m.match(pattern, value, [&] { return !value->producer() || closed(*value->producer()->graph(), m.found); });
}

int rewrite(Graph& graph, const Pattern& pattern, FunctionRef<Value*(Builder&, Node&)> make) {
  int changes = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node& root = **it;
    ++it;  // a rewrite erases nodes at and before the root only
    if (!could_be_root(pattern, root)) continue;
    const int output = used_output(graph, root);
    if (output < 0) continue;
    reset(pattern);
    Matcher m;
    if (!m.match(pattern, root.output(output), [&] { return closed(graph, m.found); })) continue;
    Builder build(graph, &root);
    Value* made = make(build, root);
    if (!made || (!made->type.ranked && m.scalar_rank > 0) || !replace_output(root, output, made)) continue;
    erase_unused(graph, &root);
    ++changes;
  }
  return changes;
}

int rewrite_nodes(Graph& graph, const std::function<Value*(Builder&, Node&)>& make) {
  int changes = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node& node = **it;
    ++it;
    const int output = used_output(graph, node);
    if (output < 0) continue;
    Builder build(graph, &node);
    Value* made = make(build, node);
    if (!made || !replace_output(node, output, made)) continue;
    erase_unused(graph, &node);
    ++changes;
  }
  return changes;
}

bool is_floating(const Value* v) noexcept {
  const DType t = v ? v->type.dtype : DType::undefined;
  return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16;
}

bool used_once(const Value* v) noexcept {
  return v->uses().size() == 1 && !v->uses()[0].node->graph()->is_output(v);
}

std::optional<double> scalar_of(const Value* v) {
  if (!v || !v->is_constant()) return std::nullopt;
  const Tensor& t = v->stored();
  if (t.count() != 1 || !t.contiguous() || t.dtype() == DType::string || bits(t.dtype()) < 8 || bits(t.dtype()) > 64) return std::nullopt;
  if (t.dtype() == DType::complex64) return std::nullopt;
  double value;
  convert(t.dtype(), t.raw(), DType::f64, &value, 1);
  return value;
}

std::optional<std::vector<int64_t>> integers_of(const Value* v) {
  if (!v || !v->is_constant() || v->stored().rank() > 1) return std::nullopt;
  const Tensor& t = v->constant();
  if (t.rank() > 1 || (t.dtype() != DType::i64 && t.dtype() != DType::i32) || !t.contiguous()) return std::nullopt;
  std::vector<int64_t> values(static_cast<size_t>(t.count()));
  convert(t.dtype(), t.raw(), DType::i64, values.data(), t.count());
  return values;
}

bool same_shape(const Type& a, const Type& b) noexcept {
  return a.ranked && b.ranked && std::equal(a.dims.begin(), a.dims.end(), b.dims.begin(), b.dims.end());
}

bool same_shape(const Value* a, const Value* b) noexcept { return a == b || same_shape(a->type, b->type); }

bool is(const Node* n, std::string_view op) noexcept { return n && n->domain.empty() && n->op == op; }

Node* producer_if(const Value* v, std::string_view op, std::string_view domain) noexcept {
  Node* n = v ? v->producer() : nullptr;
  return n && n->op == op && n->domain == domain && used_once(v) && other_outputs_unused(*n->graph(), *n, v->output_index()) ? n : nullptr;
}

}  // namespace outpost::match
