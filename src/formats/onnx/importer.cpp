// Names, inputs, initializers, nodes and subgraphs. Functions are in inline_functions.cpp.
//
// A subgraph is closed while it is built: the names it takes from outside are known beforehand (GraphProto::free_names),
// so constants among them are added to it by handle and the rest become trailing inputs, the same for all subgraphs of
// one node.
#include "formats/onnx/importer.h"

#include <algorithm>
#include <unordered_set>

#include "formats/onnx/attribute_reader.h"
#include "formats/onnx/type_reader.h"

namespace outpost::onnx {
namespace {

std::string function_key(std::string_view domain, std::string_view name, std::string_view overload) {
  std::string key(domain);
  key.append(1, '\0').append(name).append(1, '\0').append(overload);
  return key;
}

}  // namespace

Importer::Importer(const Source& source, const LoadOptions& options, const ModelProto& model, TensorReader& tensors, Budget& budget)
    : source_(source), options_(options), model_(model), tensors_(tensors), budget_(budget) {
  for (const auto& function : model.functions)
    if (!functions_.emplace(function_key(function.domain, function.name, function.overload), &function).second)
      refuse("function '", function.name, "' of domain '", function.domain, "' is defined twice");
}

std::shared_ptr<Graph> Importer::import() {
  auto graph = new_graph(model_.graph, std::make_shared<Symbols>());
  find_states();
  for (const auto& entry : model_.metadata)
    if (!entry.first.starts_with(state_prefix)) graph->metadata.push_back(entry);
  Scope scope{*graph};
  add_inputs(model_.graph, scope);
  add_initializers(model_.graph, scope);
  add_nodes(model_.graph.nodes, scope, 1);
  add_outputs(model_.graph, scope);
  add_states(scope);
  for (const auto& domain : undeclared_) graph->opsets.emplace(domain, 1);
  return graph;
}

void Importer::find_states() {
  for (const auto& [key, value] : model_.metadata) {
    if (!key.starts_with(state_prefix)) continue;
    State state{key.substr(state_prefix.size()), {}, {}};
    if (!StateNames::parse(value, state.names)) refuse("metadata '", key, "': expected three lines: read, write, listed or hidden");
    states_.push_back(std::move(state));
  }
  for (size_t i = 0; i < states_.size(); ++i) {
    const auto& names = states_[i].names;
    if (!states_by_input_.emplace(names.read, i).second) refuse("two state variables are read from '", names.read, "'");
    if (!names.listed) hidden_outputs_.insert(names.write);
  }
}

void Importer::add_states(Scope& scope) {
  auto& graph = scope.graph;
  for (auto& state : states_) {
    auto read = scope.values.find(state.names.read), write = scope.values.find(state.names.write);
    if (read == scope.values.end() || write == scope.values.end() || !read->second || !write->second ||
        read->second->producer() || read->second->is_constant())
      refuse("state variable '", state.name, "': '", state.names.read, "' must be an input and '", state.names.write, "' a value of the graph");
    graph.states.push_back({state.name, read->second, write->second, std::move(state.initial)});
  }
}

std::shared_ptr<Graph> Importer::new_graph(const GraphProto& proto, std::shared_ptr<Symbols> symbols) {
  auto graph = std::make_shared<Graph>();
  graph->name = proto.name;
  graph->symbols = std::move(symbols);
  graph->opsets = model_.opsets;
  return graph;
}

void Importer::add_inputs(const GraphProto& proto, Scope& scope) {
  std::unordered_set<std::string_view> initialized;
  if (!options_.keep_overridable_inputs)
    for (const auto* list : {&proto.initializers, &proto.sparse_initializers})
      for (const auto& tensor : *list) initialized.insert(tensor.name);
  for (const auto& input : proto.inputs) {
    if (initialized.count(input.name) && !(&proto == &model_.graph && states_by_input_.count(input.name))) continue;
    auto [place, added] = scope.values.emplace(input.name, nullptr);
    if (!added) refuse("two inputs are named '", input.name, "'");
    place->second = scope.graph.add_input(std::string(input.name), read_type(source_, input.bytes, *scope.graph.symbols));
  }
}

void Importer::add_initializers(const GraphProto& proto, Scope& scope) {
  std::unordered_set<std::string_view> seen;
  auto add = [&](const NamedBytes& item, bool sparse) {
    if (!seen.insert(item.name).second) refuse("two initializers are named '", item.name, "'");
    auto state = states_by_input_.find(item.name);
    const bool is_input = scope.values.count(item.name) > 0;  // which may override it
    if (is_input && state == states_by_input_.end()) return;
    Tensor tensor = sparse ? tensors_.sparse_tensor(item.bytes) : is_input ? tensors_.tensor(item.bytes) : tensors_.constant(item.bytes);
    if (is_input) {
      states_[state->second].initial = std::move(tensor);
      return;
    }
    scope.values[item.name] = scope.graph.add_constant(std::move(tensor), std::string(item.name));
  };
  for (const auto& item : proto.initializers) add(item, false);
  for (const auto& item : proto.sparse_initializers) add(item, true);
}

void Importer::add_outputs(const GraphProto& proto, Scope& scope) {
  auto& graph = scope.graph;
  for (const auto& output : proto.outputs) {
    auto at = scope.values.find(output.name);
    if (at == scope.values.end() || !at->second) refuse("graph output '", output.name, "' is made by no node");
    auto* value = at->second;
    // What inference cannot tell (an operator without a rule) is what the file says.
    if (value->type.kind == Type::Kind::none) value->type = read_type(source_, output.bytes, *graph.symbols);
    if (&proto == &model_.graph && hidden_outputs_.count(output.name)) continue;
    graph.outputs.push_back(value);
    graph.output_names.emplace_back(output.name);
  }
}

void Importer::add_nodes(const std::vector<NodeProto>& nodes, Scope& scope, int depth) {
  for (const auto& node : nodes) add_node(node, scope, depth);
}

void Importer::add_node(const NodeProto& node, Scope& scope, int depth) {
  if (++nodes_ > options_.max_nodes)
    fail(ErrorCode::limit, source_.label, ": functions expand to more than ", options_.max_nodes, " nodes (LoadOptions::max_nodes)");
  const std::string prefix = scope.call ? scope.call->prefix : std::string();
  uint64_t attribute_bytes = 0;
  for (const auto& attribute : node.attributes) attribute_bytes += 8 * attribute.bytes.size();
  budget_.charge(256 + (node.outputs.size() + 1) * (128 + prefix.size()) + attribute_bytes, "the graph");

  if (auto* function = find_function(node)) return inline_function(*function, node, scope, depth);
  if (node.op == "Constant" && node.domain.empty() && add_constant(node, scope)) return;

  size_t count = node.outputs.size();
  while (count > 0 && node.outputs[count - 1].empty()) --count;
  if (count == 0) return;  // nobody can see what it does
  auto inputs = inputs_of(node, scope);
  auto arity = static_cast<int>(inputs.size());
  auto captured = captures(node, scope);
  inputs.insert(inputs.end(), captured.begin(), captured.end());
  auto* made = scope.graph.add_node(std::string(node.op), std::string(node.domain), std::move(inputs), {}, 0);
  if (!node.name.empty()) made->name = prefix + std::string(node.name);
  made->version = opset(scope, node);
  set_attributes(node, *made, scope, depth);
  if (std::any_of(node.attributes.begin(), node.attributes.end(), [&](const auto& a) {
        auto binding = resolve(a, scope);
        return binding.attribute && !binding.attribute->graphs.empty();
      }))
    made->set_arity(arity);
  for (size_t i = 0; i < count; ++i) {
    const auto name = node.outputs[i];
    auto* value = scope.graph.add_output(made, name.empty() ? std::string() : prefix + std::string(name));
    if (name.empty()) scope.graph.drop_output(made, static_cast<int>(i));
    else scope.values[name] = value;
  }
}

std::vector<Value*> Importer::inputs_of(const NodeProto& node, const Scope& scope) const {
  std::vector<Value*> inputs;
  inputs.reserve(node.inputs.size());
  for (auto name : node.inputs) inputs.push_back(look_up(scope, name, node));
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  return inputs;
}

Value* Importer::look_up(const Scope& scope, std::string_view name, const NodeProto& reader) const {
  if (name.empty()) return nullptr;
  auto at = scope.values.find(name);
  if (at == scope.values.end())
    refuse(reader.label(), " reads '", name, "', which no node, input or initializer makes");
  return at->second;
}

bool Importer::add_constant(const NodeProto& node, Scope& scope) {
  if (node.outputs.size() != 1 || node.outputs[0].empty()) refuse(node.label(), ": expected one output");
  Tensor tensor;
  for (const auto& written : node.attributes) {
    auto binding = resolve(written, scope);
    if (!binding.attribute) continue;
    auto attribute = read_attribute(source_, *binding.attribute, tensors_, *scope.graph.symbols);
    if (auto* t = std::get_if<Tensor>(&attribute)) tensor = *t;
    else if (auto* i = std::get_if<int64_t>(&attribute)) tensor = Tensor::scalar(*i);
    else if (auto* f = std::get_if<float>(&attribute)) tensor = Tensor::scalar(*f);
    else if (auto* s = std::get_if<std::string>(&attribute)) tensor = Tensor::scalar(*s);
    else if (auto* is = std::get_if<std::vector<int64_t>>(&attribute)) tensor = Tensor::of(*is, {int64_t(is->size())});
    else if (auto* fs = std::get_if<std::vector<float>>(&attribute)) tensor = Tensor::of(*fs, {int64_t(fs->size())});
    else if (auto* ss = std::get_if<std::vector<std::string>>(&attribute)) tensor = Tensor::of(*ss, {int64_t(ss->size())});
  }
  if (!tensor.defined()) refuse(node.label(), ": has none of the attributes value, sparse_value, value_int, value_float, …");
  auto name = (scope.call ? scope.call->prefix : std::string()) + std::string(node.outputs[0]);
  scope.values[node.outputs[0]] = scope.graph.add_constant(std::move(tensor), scope.graph.unique_name(name));
  return true;
}

void Importer::set_attributes(const NodeProto& node, Node& made, const Scope& scope, int depth) {
  const std::vector<Value*> captured(made.inputs().end() - static_cast<std::ptrdiff_t>(captures(node, scope).size()), made.inputs().end());
  for (const auto& written : node.attributes) {
    auto [attribute, origin] = resolve(written, scope);
    if (!attribute) continue;
    std::string name(written.name);
    if (attribute->type != AttributeType::graph && attribute->type != AttributeType::graphs) {
      made.attributes.set(std::move(name), read_attribute(source_, *attribute, tensors_, *scope.graph.symbols));
      continue;
    }
    enter(depth + 1, node);
    std::vector<std::shared_ptr<Graph>> graphs;
    for (const auto& graph : attribute->graphs) graphs.push_back(subgraph(*graph, *origin, captured, depth + 1));
    if (attribute->type == AttributeType::graphs) made.attributes.set(std::move(name), std::move(graphs));
    else if (graphs.empty()) refuse(node.label(), ": attribute '", name, "' has no graph");
    else made.attributes.set(std::move(name), std::move(graphs.back()));
  }
}

std::vector<Value*> Importer::captures(const NodeProto& node, const Scope& scope) const {
  std::vector<Value*> captured;
  std::unordered_set<const Value*> seen;
  for (const auto& written : node.attributes) {
    auto [attribute, origin] = resolve(written, scope);
    if (!attribute) continue;
    for (const auto& graph : attribute->graphs) {
      if (&origin->graph != &scope.graph)
        fail(ErrorCode::unsupported, source_.label, ": ", node.label(), ": a graph given to a function is used inside one of its subgraphs");
      for (auto name : graph->free_names) {
        auto* value = look_up(*origin, name, node);
        if (value && !value->is_constant() && seen.insert(value).second) captured.push_back(value);
      }
    }
  }
  return captured;
}

std::shared_ptr<Graph> Importer::subgraph(const GraphProto& proto, const Scope& origin, const std::vector<Value*>& captures, int depth) {
  auto graph = new_graph(proto, origin.graph.symbols);
  Scope scope{*graph, origin.call};
  add_inputs(proto, scope);
  std::unordered_map<const Value*, Value*> inside;
  for (const auto* value : captures)
    inside[value] = graph->add_input(graph->unique_name(value->name), value->type);
  for (auto name : proto.free_names) {
    auto* outside = origin.values.at(name);
    auto& local = scope.values[name];
    if (!outside) local = nullptr;
    else if (outside->is_constant()) local = graph->add_constant(outside->stored(), graph->unique_name(outside->name));
    else local = inside.at(outside);
  }
  add_initializers(proto, scope);
  add_nodes(proto.nodes, scope, depth);
  add_outputs(proto, scope);
  return graph;
}

int Importer::opset(const Scope& scope, const NodeProto& node) {
  const std::string domain(node.domain);
  if (scope.call)
    if (auto at = scope.call->function.opsets.find(domain); at != scope.call->function.opsets.end()) return at->second;
  if (auto at = model_.opsets.find(domain); at != model_.opsets.end()) return at->second;
  if (domain.empty() || domain == "ai.onnx.ml")
    refuse(node.label(), ": the model has no opset_import for domain '", domain, "', so its version is not known");
  undeclared_.insert(domain);
  return 1;  // domains with a single version are often not declared
}

const FunctionProto* Importer::find_function(const NodeProto& node) const {
  if (functions_.empty()) return nullptr;
  auto at = functions_.find(function_key(node.domain, node.op, node.overload));
  return at == functions_.end() ? nullptr : at->second;
}

void Importer::enter(int depth, const NodeProto& node) const {
  if (depth > options_.max_depth)
    fail(ErrorCode::limit, source_.label, ": ", node.label(), ": subgraphs and functions are nested more than ", options_.max_depth, " deep");
}

}  // namespace outpost::onnx
