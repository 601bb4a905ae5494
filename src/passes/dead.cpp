// What nobody reads: optional outputs, then whole nodes and constants.
#include <algorithm>

#include "ops/op.h"
#include "passes/passes.h"

namespace outpost {

int drop_unused_outputs(Graph& graph) {
  int changes = 0;
  for (const auto& node : graph.nodes()) {
    if (!node->def || node->arity() != static_cast<int>(node->inputs().size())) continue;
    if (node->def->max_outputs < 0) continue;  // lists, where a place has a meaning
    for (int i = std::max(1, node->def->min_outputs); i < static_cast<int>(node->outputs().size()); ++i) {
      Value* v = node->output(i);
      if (!v || !v->uses().empty() || graph.is_output(v)) continue;
      graph.drop_output(node.get(), i);
      ++changes;
    }
  }
  return changes;
}

int remove_dead(Graph& graph) { return graph.remove_dead(); }

}  // namespace outpost
