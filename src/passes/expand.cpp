// Composite operators: those whose definition has an expansion but no implementation become ordinary nodes.
// An expansion may contain composites again; the depth is bounded so that a definition cannot chase itself.
#include "base/text.h"
#include "ops/op.h"
#include "passes/differentiate.h"
#include "passes/passes.h"

namespace outpost {
namespace {

bool is_gradient(const Node& node) { return node.op == "Gradient" && node.domain == "ai.onnx.preview.training"; }

Value* find(const Graph& graph, const Node& node, const std::string& name) {
  Value* v = graph.find(name);
  if (!v) fail(ErrorCode::invalid_model, node.label(), ": there is no tensor '", name, "' in its graph");
  return v;
}

// The Gradient operator names tensors of its own graph; its derivative is appended and the order restored.
void expand_gradient(Graph& graph, Node& node) {
  const std::vector<std::string>& names = node.attributes.strings("xs");
  std::vector<Value*> xs;
  for (size_t i = 0; i < names.size(); ++i) {
    xs.push_back(find(graph, node, names[i]));
    if (node.input(static_cast<int>(i)) != xs.back())
      fail(ErrorCode::unsupported, node.label(), ": input ", i, " is not '", names[i], "' itself; other values in its place are not supported");
  }
  Value* y = find(graph, node, std::string(node.attributes.string("y", "")));
  const std::vector<Value*> gradients = differentiate(graph, y, xs);
  for (size_t i = 0; i < node.outputs().size(); ++i)
    if (Value* v = node.output(static_cast<int>(i))) graph.replace_uses(v, gradients[i]);
  graph.erase(&node);
  graph.sort();
}

}  // namespace

int expand_composites(Graph& graph) {
  int changes = 0;
  for (int depth = 0; depth < 16; ++depth) {
    std::vector<Node*> composites;
    for (const auto& node : graph.nodes())
      if (node->def && !node->def->run && (node->def->expand || is_gradient(*node))) composites.push_back(node.get());
    if (composites.empty()) return changes;
    for (Node* node : composites) {
      ++changes;
      if (is_gradient(*node)) {
        expand_gradient(graph, *node);
        continue;
      }
      ExpandContext c(graph, *node);
      node->def->expand(c);
      graph.erase(node);
    }
  }
  fail(ErrorCode::internal, "composite operators expand into each other without end");
}

}  // namespace outpost
