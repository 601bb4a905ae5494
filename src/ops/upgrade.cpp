// One walk: types flow from producers to users while nodes are replaced around it.
#include "ops/upgrade.h"

#include <algorithm>

#include "base/text.h"
#include "ops/infer.h"
#include "ops/op.h"

namespace outpost {
namespace {

// The newest operator sets that this build knows. A newer one may have changed the meaning of any operator.
constexpr int newest_opset = 28, newest_ml_opset = 5;

void require_known_opsets(const Graph& graph) {
  auto check = [&](const char* domain, int newest) {
    auto at = graph.opsets.find(domain);
    if (at != graph.opsets.end() && at->second > newest)
      fail(ErrorCode::unsupported, "opset ", at->second, " of domain '", *domain ? domain : "ai.onnx", "' is newer than ", newest,
           ", the newest that is known; export the model for opset ", newest);
  };
  check("", newest_opset);
  check("ai.onnx.ml", newest_ml_opset);
}

bool in_use(const Node& node) {
  return std::any_of(node.outputs().begin(), node.outputs().end(), [&](const Value* v) {
    return v && (!v->uses().empty() || node.graph()->is_output(v));
  });
}

// Subgraph inputs that are captures have the types of what they capture; ordinary ones what the file declares.
void type_captures(const Node& node, Graph& body) {
  const int captures = static_cast<int>(node.inputs().size()) - node.arity();
  const int first = static_cast<int>(body.inputs().size()) - captures;
  for (int i = 0; i < captures; ++i)
    if (auto* outside = node.input(node.arity() + i); outside && first + i >= 0) body.inputs()[first + i]->type = outside->type;
}

void infer_outputs(const Node& node) {
  std::vector<const Type*> types;
  std::vector<const Tensor*> values;
  for (const Value* v : node.inputs()) {
    types.push_back(v ? &v->type : nullptr);
    values.push_back(v && v->is_constant() ? &v->stored() : nullptr);
  }
  auto inferred = infer_node(node, types, values);
  for (size_t i = 0; i < inferred.size(); ++i)
    if (auto* value = node.outputs()[i]; value && inferred[i].kind != Type::Kind::none) value->type = std::move(inferred[i]);
}

void upgrade(Graph& graph, bool body);

// A file may leave out any output by an empty name, but operators always make those that they require: `node`, or another
// in its place that has them, which nobody reads.
Node& with_required_outputs(Graph& graph, Node& node) {
  std::vector<Value*> outputs = node.outputs();
  const auto required = static_cast<size_t>(std::max(0, node.def->min_outputs));
  outputs.resize(std::max(outputs.size(), required));
  if (std::find(outputs.data(), outputs.data() + required, nullptr) == outputs.data() + required) return node;
  Node& whole = *graph.add_node(node.op, node.domain, node.inputs(), node.attributes, static_cast<int>(outputs.size()), &node);
  whole.name = node.name, whole.version = node.version, whole.def = node.def;
  whole.set_arity(node.arity());
  std::vector<std::pair<Value*, std::string>> names;
  for (size_t i = 0; i < outputs.size(); ++i) {
    Value* value = whole.output(static_cast<int>(i));
    if (!outputs[i]) {
      if (i >= required) graph.drop_output(&whole, static_cast<int>(i));
      continue;
    }
    value->type = outputs[i]->type;
    graph.replace_uses(outputs[i], value);
    names.emplace_back(value, outputs[i]->name);
  }
  graph.erase(&node);
  for (auto& [value, name] : names) graph.rename(value, std::move(name));
  return whole;
}

void upgrade_node(Graph& graph, Node& written, bool in_body) {
  for_each_subgraph(written, [&](const std::string&, const std::shared_ptr<Graph>& body) {
    type_captures(written, *body);
    upgrade(*body, true);
  });
  resolve(written);
  Node& node = with_required_outputs(graph, written);
  const OpDef& def = *node.def;
  if (node.version < def.first)
    fail(ErrorCode::unsupported, node.label(), ": its form of opset ", node.version, " is older than ", def.first, ", the oldest that is known");
  // Rewrites read the type of the first input; that it is missing is for inference to say. Lists may begin with an absent one.
  const bool has_first = def.min_inputs == 0 || def.max_inputs < 0 || node.input(0);
  if (def.upgrade && has_first && node.version < def.since) {
    UpgradeContext context(graph, node, node.version);
    def.upgrade(context);
    if (!in_use(node)) return graph.erase(&node);
  }
  node.version = std::max(node.version, def.since);
  try {
    infer_outputs(node);
  } catch (const Error&) {
    if (!in_body) throw;  // a branch that is never taken may be wrong: the run that reaches it says so
  }
}

void upgrade(Graph& graph, bool body) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) upgrade_node(graph, *node, body);
}

}  // namespace

void upgrade_graph(Graph& graph) {
  require_known_opsets(graph);
  upgrade(graph, false);
}

}  // namespace outpost
