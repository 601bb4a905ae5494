// A sum and the normalisation of its rows in one walk over memory: Add in front of LayerNormalization or
// RMSNormalization becomes com.microsoft's SkipLayerNormalization or SkipSimplifiedLayerNormalization, which give the sum
// as well where others read it. Sums that a product's epilogue has taken in are gone by then, and better so.
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

bool is_row(const Value* v, const Value* x) {
  return v && v->type.ranked && v->type.rank() == 1 && v->type.dims[0] == x->type.dims.back() && v->type.dtype == x->type.dtype;
}

// What only this operator asks for: the last axis, rows, no statistics.
bool fits(const Node& n) {
  const Value* x = n.input(0);
  if (!x->type.ranked || x->type.rank() < 2 || n.outputs().size() != 1 || n.attributes.integer("stash_type", 1) != 1) return false;
  const int64_t axis = n.attributes.integer("axis", -1);
  if (axis != -1 && axis != x->type.rank() - 1) return false;
  return is_row(n.input(1), x) && (!n.input(2) || is_row(n.input(2), x));
}

Value* with_sum(Builder& b, Node& n) {
  const bool centred = is(&n, "LayerNormalization");
  if ((!centred && !is(&n, "RMSNormalization")) || !fits(n)) return nullptr;
  Value* sum = n.input(0);
  Node* add = sum->producer();
  if (!is(add, "Add") || !same_shape(add->input(0)->type, add->input(1)->type) || !same_shape(add->input(0)->type, sum->type)) return nullptr;
  std::vector<Value*> inputs{add->input(0), add->input(1), n.input(1)};
  if (n.input(2)) inputs.push_back(n.input(2));
  const Attributes attributes{{"epsilon", n.attributes.real("epsilon", 1e-5f)}};
  const bool wanted = !used_once(sum);
  // In front of the sum's other users: where the Add stands, if the parameters are there already.
  const bool early = n.input(1)->producer() == nullptr && (!n.input(2) || n.input(2)->producer() == nullptr);
  if (wanted && !early) return nullptr;
  Builder at(b.graph(), wanted ? add : &n);
  Node* made = at.emit_node(centred ? "SkipLayerNormalization" : "SkipSimplifiedLayerNormalization", std::move(inputs), attributes, wanted ? 4 : 1,
                            "com.microsoft");
  if (!wanted) return made->output(0);
  b.graph().drop_output(made, 1);
  b.graph().drop_output(made, 2);
  made->output(3)->type = sum->type;
  b.graph().replace_uses(sum, made->output(3));
  return made->output(0);
}

}  // namespace

int recognise_skip_normalization(Graph& graph) { return rewrite_nodes(graph, with_sum); }

}  // namespace outpost
