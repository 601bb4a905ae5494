// Nodes come in topological order, so one walk with a map from old values to new is enough.
#include "ops/inline_body.h"

#include <unordered_map>

#include "ops/infer.h"

namespace outpost {
namespace {

// A node with captures: its arity must be known before its types can be inferred. The Identity marks the builder's place.
Node* copy_with_captures(Builder& b, const Node& node, std::vector<Value*> from) {
  Node* mark = b.emit_node("Identity", {from.back()}, {}, 1);
  const int outputs = static_cast<int>(node.outputs().size());
  Node* copy = b.graph().add_node(node.op, node.domain, std::move(from), node.attributes, outputs, mark);
  b.graph().erase(mark);
  copy->name = node.name, copy->version = node.version;
  copy->set_arity(node.arity());
  resolve(*copy);
  std::vector<const Type*> types;
  std::vector<const Tensor*> values;
  for (Value* v : copy->inputs()) {
    types.push_back(v ? &v->type : nullptr);
    values.push_back(v && v->is_constant() ? &v->stored() : nullptr);
  }
  std::vector<Type> inferred = infer_node(*copy, types, values);
  for (size_t i = 0; i < inferred.size(); ++i) copy->output(static_cast<int>(i))->type = std::move(inferred[i]);
  return copy;
}

}  // namespace

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
    const bool captures = node->arity() != static_cast<int>(node->inputs().size());
    Node* copy = captures ? copy_with_captures(b, *node, std::move(from))
                          : b.emit_node(node->op, std::move(from), node->attributes, static_cast<int>(node->outputs().size()), node->domain);
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
