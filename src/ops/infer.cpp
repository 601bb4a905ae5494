// One walk in topological order; the same walk serves a graph (types are stored) and a body (types are returned).
#include "ops/infer.h"

#include <atomic>
#include <unordered_map>

#include "base/text.h"
#include "ops/op.h"

namespace outpost {
namespace {

using Types = std::unordered_map<const Value*, Type>;

bool more_specific(const Type& a, const Type& b) {  // does a say at least what b says?
  if (b.kind == Type::Kind::none) return true;
  if (a.kind == Type::Kind::none) return false;
  if (a.kind != Type::Kind::tensor) return true;
  if (a.dtype == DType::undefined && b.dtype != DType::undefined) return false;
  if (!b.ranked) return true;
  if (!a.ranked) return false;
  return true;
}

Type merge(const Type& inferred, const Type& declared) {
  if (!more_specific(inferred, declared)) {
    Type t = declared;
    if (t.dtype == DType::undefined) t.dtype = inferred.dtype;
    return t;
  }
  Type t = inferred;
  if (t.is_tensor() && declared.is_tensor() && t.ranked && declared.ranked && t.rank() == declared.rank())
    for (int i = 0; i < t.rank(); ++i)
      if (!t.dims[i].known() && (declared.dims[i].known() || t.dims[i].symbol == 0)) t.dims[i] = declared.dims[i];
  return t;
}

template <class TypeOf>
std::vector<Type> infer_with(const Node& node, TypeOf&& type_of) {
  std::vector<const Type*> inputs;
  std::vector<const Tensor*> values;
  for (Value* v : node.inputs()) {
    inputs.push_back(v ? type_of(v) : nullptr);
    values.push_back(v && v->is_constant() ? &v->stored() : nullptr);
  }
  return infer_node(node, inputs, values);
}

}  // namespace

std::vector<Type> infer_node(const Node& node, std::span<const Type* const> inputs, std::span<const Tensor* const> values) {
  std::vector<Type> outputs(node.outputs().size());
  if (!node.def) fail(ErrorCode::internal, node.label(), " has no definition");
  const OpDef& def = *node.def;
  InferContext c(node, inputs, values, outputs);
  const int given = node.arity();
  if (given < def.min_inputs || (def.max_inputs >= 0 && given > def.max_inputs))
    c.fail("has ", given, " inputs; expected ", def.min_inputs, def.max_inputs < 0 ? " or more" : text("..", def.max_inputs));
  for (int i = 0; i < def.min_inputs; ++i)
    if (!inputs[i]) c.fail("input ", i, " is missing");
  if (c.outputs() < def.min_outputs || (def.max_outputs >= 0 && c.outputs() > def.max_outputs))
    c.fail("has ", c.outputs(), " outputs; expected ", def.min_outputs, def.max_outputs < 0 ? " or more" : text("..", def.max_outputs));
  if (def.infer) def.infer(c);
  return outputs;
}

namespace {

void name_dims(Type& type, Symbols& symbols) {
  static std::atomic<uint64_t> next{0};
  for (Dim& d : type.dims)
    if (!d.known() && d.symbol == 0) d = Dim::symbolic(symbols.intern(text("?", next++)));
}

void infer_nodes(Graph& graph, bool body, bool name_unknown) {
  for (const auto& node : graph.nodes()) {
    std::vector<Type> types;
    try {
      types = infer_with(*node, [](const Value* v) { return &v->type; });
    } catch (const Error&) {
      if (!body) throw;  // a body may never run; see infer_body
      continue;
    }
    for (size_t i = 0; i < types.size(); ++i) {
      Value* v = node->outputs()[i];
      if (!v) continue;
      if (!compatible(v->type, types[i]))
        fail(ErrorCode::invalid_model, node->label(), ": output '", v->name, "' is declared ", v->type, " but is ", types[i]);
      v->type = merge(types[i], v->type);
      if (name_unknown && v->type.is_tensor()) name_dims(v->type, *graph.symbols);
    }
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { infer_nodes(*g, true, name_unknown); });
  }
}

}  // namespace

void infer_graph(Graph& graph, bool name_unknown) { infer_nodes(graph, false, name_unknown); }

std::vector<Type> infer_body(const Graph& body, std::span<const Type> inputs) {
  Types types;
  for (size_t i = 0; i < body.inputs().size(); ++i)
    types[body.inputs()[i]] = i < inputs.size() && inputs[i].kind != Type::Kind::none ? inputs[i] : body.inputs()[i]->type;
  auto type_of = [&](const Value* v) -> const Type* {
    auto it = types.find(v);
    return it == types.end() ? &v->type : &it->second;
  };
  for (const auto& node : body.nodes()) {
    std::vector<Type> outputs;
    try {
      outputs = infer_with(*node, type_of);
    } catch (const Error&) {  // a branch that is not taken may be wrong for these shapes: the run that reaches it says so
      outputs.assign(node->outputs().size(), Type());
    }
    for (size_t i = 0; i < outputs.size(); ++i)
      if (Value* v = node->outputs()[i]) types[v] = std::move(outputs[i]);
  }
  std::vector<Type> result;
  for (const Value* v : body.outputs) result.push_back(*type_of(v));
  return result;
}

}  // namespace outpost
