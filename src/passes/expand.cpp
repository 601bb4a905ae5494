// Composite operators: those whose definition has an expansion but no implementation become ordinary nodes.
// An expansion may contain composites again; the depth is bounded so that a definition cannot chase itself.
#include "base/text.h"
#include "ops/op.h"
#include "passes/passes.h"

namespace outpost {

int expand_composites(Graph& graph) {
  int changes = 0;
  for (int depth = 0; depth < 16; ++depth) {
    std::vector<Node*> composites;
    for (const auto& node : graph.nodes())
      if (node->def && !node->def->run && node->def->expand) composites.push_back(node.get());
    if (composites.empty()) return changes;
    for (Node* node : composites) {
      ExpandContext c(graph, *node);
      node->def->expand(c);
      graph.erase(node);
      ++changes;
    }
  }
  fail(ErrorCode::internal, "composite operators expand into each other without end");
}

}  // namespace outpost
