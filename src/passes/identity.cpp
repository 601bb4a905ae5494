// Nodes that return their input: Identity; Dropout at inference; Cast to the type it has; Transpose that moves nothing;
// Concat, Sum, Max, Min, Mean of one input.
#include "ops/op.h"
#include "passes/passes.h"

namespace outpost {
namespace {

bool unused(const Node& node, int output) {
  const Value* v = node.output(output);
  return !v || (v->uses().empty() && !node.graph()->is_output(v));
}

bool keeps_order(const Node& node) {
  const auto& perm = node.attributes.integers("perm");
  if (perm.empty()) return node.input(0)->type.ranked && node.input(0)->type.rank() <= 1;
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return true;
}

bool is_identity(const Node& node) {
  if (!node.domain.empty() || !node.input(0)) return false;
  const Type& type = node.input(0)->type;
  if (node.op == "Identity") return true;
  if (node.op == "Cast") return type.is_tensor() && node.attributes.integer("to", 0) == static_cast<int64_t>(type.dtype) && type.dtype != DType::undefined;
  if (node.op == "Transpose") return keeps_order(node);
  if (node.op == "Dropout") {
    const Value* training = node.input(2);
    const bool inference = !training || (training->is_constant() && training->constant().count() == 1 && !*static_cast<const bool*>(training->constant().raw()));
    return inference && unused(node, 1);
  }
  const bool many = node.op == "Concat" || node.op == "Sum" || node.op == "Max" || node.op == "Min" || node.op == "Mean";
  return many && node.inputs().size() == 1;
}

}  // namespace

int remove_identities(Graph& graph) {
  std::vector<Node*> found;
  for (const auto& node : graph.nodes())
    if (is_identity(*node)) found.push_back(node.get());
  for (Node* node : found) {
    Value *from = node->output(0), *to = node->input(0);
    if (to->type.kind == Type::Kind::none) to->type = from->type;
    graph.replace_uses(from, to);
    graph.erase(node);
  }
  return static_cast<int>(found.size());
}

}  // namespace outpost
