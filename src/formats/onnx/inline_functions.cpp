// Model-local functions: a call is replaced by the function's nodes, with its inputs and attributes filled in.
// Calls nest, overloads are told apart, attribute references reach through several levels; a function that calls itself
// and one that expands without end are errors.
#include "formats/onnx/importer.h"

#include <unordered_set>

namespace outpost::onnx {

Binding Importer::resolve(const AttributeProto& attribute, const Scope& scope) const {
  if (attribute.reference.empty()) return {&attribute, &scope};
  if (!scope.call) refuse("attribute '", attribute.name, "' refers to '", attribute.reference, "', but stands outside every function");
  auto at = scope.call->attributes.find(attribute.reference);
  return at == scope.call->attributes.end() ? Binding{nullptr, nullptr} : at->second;
}

void Importer::inline_function(const FunctionProto& function, const NodeProto& node, Scope& scope, int depth) {
  enter(depth + 1, node);
  for (auto* call = scope.call; call; call = call->caller)
    if (&call->function == &function) refuse("function '", function.name, "' calls itself");
  if (node.inputs.size() > function.inputs.size() || node.outputs.size() > function.outputs.size())
    refuse(node.label(), ": has ", node.inputs.size(), " inputs and ", node.outputs.size(), " outputs, but the function has ",
           function.inputs.size(), " and ", function.outputs.size());

  Call call{function, scope.call, {}, scope.call ? scope.call->prefix : std::string()};
  call.prefix.append(node.name.empty() ? node.op : node.name).append("/");
  budget_.charge(call.prefix.size() + sizeof(Call), "the graph");
  const Scope written{scope.graph, nullptr};  // defaults are written outside every call
  for (const auto& attribute : function.defaults) call.attributes[attribute.name] = {&attribute, &written};
  for (const auto& attribute : node.attributes) {
    auto binding = resolve(attribute, scope);
    if (binding.attribute) call.attributes[attribute.name] = binding;
  }

  Scope body{scope.graph, &call};
  for (size_t i = 0; i < function.inputs.size(); ++i) {
    auto* value = i < node.inputs.size() ? look_up(scope, node.inputs[i], node) : nullptr;
    if (!body.values.emplace(function.inputs[i], value).second)
      refuse("function '", function.name, "' has two inputs named '", function.inputs[i], "'");
  }
  add_nodes(function.nodes, body, depth + 1);
  give_outputs(node, call, body, scope);
}

// The values that the body made take the names that the caller gave them; inputs that pass through keep theirs.
void Importer::give_outputs(const NodeProto& node, const Call& call, const Scope& body, Scope& scope) {
  const auto& function = call.function;
  std::unordered_set<const Value*> named;
  for (auto name : function.inputs) named.insert(body.values.at(name));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    auto at = body.values.find(function.outputs[i]);
    if (at == body.values.end()) refuse("function '", function.name, "': output '", function.outputs[i], "' is made by none of its nodes");
    auto* value = at->second;
    if (value && named.insert(value).second)
      scope.graph.rename(value, (scope.call ? scope.call->prefix : std::string()) + std::string(node.outputs[i]));
    scope.values[node.outputs[i]] = value;
  }
}

}  // namespace outpost::onnx
