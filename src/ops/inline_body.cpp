// Nodes come in topological order, so one walk with a map from old values to new is enough.
#include "ops/inline_body.h"

#include <unordered_map>

namespace outpost {

std::vector<Value*> inline_body(Builder& b, const Graph& body, const std::vector<Value*>& inputs) {
  if (inputs.size() != body.inputs().size())
    fail(ErrorCode::invalid_model, "subgraph '", body.name, "' takes ", body.inputs().size(), " inputs; ", inputs.size(), " are given");
  std::unordered_map<const Value*, Value*> map;
  for (size_t i = 0; i < inputs.size(); ++i) map[body.inputs()[i]] = inputs[i];
  auto mapped = [&](const Value* v) -> Value* {
    if (!v) return nullptr;
    auto [it, fresh] = map.try_emplace(v, nullptr);
    if (fresh) it->second = b.constant(v->constant());
    return it->second;
  };
  for (const auto& node : body.nodes()) {
    std::vector<Value*> from;
    for (const Value* v : node->inputs()) from.push_back(mapped(v));
    Node* copy = b.emit_node(node->op, std::move(from), node->attributes, static_cast<int>(node->outputs().size()), node->domain);
    if (node->arity() != static_cast<int>(node->inputs().size())) copy->set_arity(node->arity());
    for (int i = 0; i < static_cast<int>(node->outputs().size()); ++i) {
      if (node->output(i)) map[node->output(i)] = copy->output(i);
      else b.graph().drop_output(copy, i);
    }
  }
  std::vector<Value*> outputs;
  for (const Value* v : body.outputs) outputs.push_back(mapped(v));
  return outputs;
}

}  // namespace outpost
