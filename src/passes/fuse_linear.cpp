// Products with a matrix become outpost.Linear, and what follows goes into it: a bias, a residual of the result's shape,
// an activation. MatMul with a constant matrix and Gemm always (Linear costs no more); a product of two variable matrices
// where there is something to fuse.
#include "ops/fused_activation.h"
#include "passes/constants.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

bool is_matrix(const Value* v) { return v->type.ranked && v->type.rank() == 2; }

// x w + b of a node, as Linear's inputs.
struct Parts {
  std::vector<Value*> inputs;
  Attributes attributes;
  bool activated() const { return attributes.string("activation", "none") != "none"; }
  Value* input(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  void set(size_t i, Value* v) {
    if (inputs.size() <= i) inputs.resize(i + 1, nullptr);
    inputs[i] = v;
  }
};

std::optional<Parts> parts_of(const Node& n) {
  if (n.domain == "outpost" && n.op == "Linear") return Parts{n.inputs(), n.attributes};
  if (!n.domain.empty() || !is_floating(n.output(0)) || n.inputs().size() < 2 || !is_matrix(n.input(1))) return std::nullopt;
  const Attributes& a = n.attributes;
  if (n.op == "MatMul") {
    if (!n.input(0)->type.ranked || n.input(0)->type.rank() < 1) return std::nullopt;
    return Parts{n.inputs(), {}};
  }
  if (n.op != "Gemm" || a.integer("transA", 0) || a.real("alpha", 1) != 1 || (n.input(2) && a.real("beta", 1) != 1)) return std::nullopt;
  Parts p{{n.input(0), n.input(1)}, {}};
  if (a.integer("transB", 0)) p.attributes.set("trans_w", int64_t{1});
  if (Value* c = n.input(2)) {
    const Dim columns = n.output(0)->type.dims[1];
    if (c->type.ranked && c->type.rank() == 1 && columns.known() && c->type.dims[0] == columns) p.set(2, c);
    else if (same_shape(c->type, n.output(0)->type)) p.set(3, c);
    else return std::nullopt;
  }
  return p;
}

// The product behind v, when nothing else sees it and it is not activated yet.
std::optional<Parts> open_product(const Value* v) {
  Node* n = producer_if(v, "MatMul");
  if (!n) n = producer_if(v, "Gemm");
  if (!n) n = producer_if(v, "Linear", "outpost");
  auto p = n ? parts_of(*n) : std::nullopt;
  return p && !p->activated() ? p : std::nullopt;
}

Value* emit(Builder& build, const Parts& p) { return build.emit("Linear", p.inputs, p.attributes, "outpost"); }

Value* plain(Builder& build, Node& n) {
  if (!is(&n, "MatMul") && !is(&n, "Gemm")) return nullptr;
  if (!n.input(1)->is_constant()) return nullptr;
  const auto p = parts_of(n);
  return p ? emit(build, *p) : nullptr;
}

Value* with_sum(Builder& build, Node& n) {
  if (!is(&n, "Add") || !is_floating(n.output(0))) return nullptr;
  for (int i = 1; i >= 0; --i) {
    auto p = open_product(n.input(i));
    Value *y = n.input(i), *other = n.input(1 - i);
    if (!p || !y->type.ranked || y->type.rank() == 0) continue;
    const Dim columns = y->type.dims.back();
    const bool row = other->type.ranked && other->type.rank() == 1 && columns.known() && other->type.dims[0] == columns;
    if (row && y->type.rank() > 1 && !p->input(2)) p->set(2, other);
    else if (!p->input(3) && same_shape(y->type, other->type)) p->set(3, other);
    else continue;
    return emit(build, *p);
  }
  return nullptr;
}

Value* with_activation(Builder& build, Node& n) {
  const auto activation = activation_attributes(n);
  auto p = activation ? open_product(n.input(0)) : std::nullopt;
  if (!p) return nullptr;
  for (const auto& [name, value] : *activation) p->attributes.set(name, value);
  return emit(build, *p);
}

}  // namespace

int fuse_linear(Graph& graph) {
  int changes = rewrite_nodes(graph, plain);
  changes += rewrite_nodes(graph, with_sum);
  changes += rewrite_nodes(graph, with_sum);  // a bias, then a residual
  return changes + rewrite_nodes(graph, with_activation);
}

}  // namespace outpost
