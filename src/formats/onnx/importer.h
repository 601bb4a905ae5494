// ModelProto → Graph: resolves names, inlines functions, closes subgraphs, reads tensors.
#pragma once
#include <unordered_set>

#include "formats/onnx/onnx.h"
#include "formats/onnx/proto.h"
#include "formats/onnx/state_metadata.h"
#include "formats/onnx/tensor_reader.h"

namespace outpost::onnx {

// A function being inlined: what its nodes' attribute references and opset versions mean.
struct Scope;
struct Binding {
  const AttributeProto* attribute;
  const Scope* scope;  // where the attribute was written: a graph in it reads names from there
};
struct Call {
  const FunctionProto& function;
  const Call* caller;
  std::unordered_map<std::string_view, Binding> attributes;
  std::string prefix;  // of value and node names
};

// The names known in one body of nodes, and the graph that the body is built into.
struct Scope {
  Graph& graph;
  const Call* call = nullptr;
  std::unordered_map<std::string_view, Value*> values = {};  // null: an optional input that the caller left out
};

class Importer {
 public:
  Importer(const Source& source, const LoadOptions& options, const ModelProto& model, TensorReader& tensors, Budget& budget);
  std::shared_ptr<Graph> import();

 private:
  void find_states();
  void add_states(Scope& scope);
  std::shared_ptr<Graph> new_graph(const GraphProto& proto, std::shared_ptr<Symbols> symbols);
  void add_inputs(const GraphProto& proto, Scope& scope);
  void add_initializers(const GraphProto& proto, Scope& scope);
  void add_outputs(const GraphProto& proto, Scope& scope);
  void add_nodes(const std::vector<NodeProto>& nodes, Scope& scope, int depth);
  void add_node(const NodeProto& node, Scope& scope, int depth);

  bool add_constant(const NodeProto& node, Scope& scope);
  void inline_function(const FunctionProto& function, const NodeProto& node, Scope& scope, int depth);
  void give_outputs(const NodeProto& node, const Call& call, const Scope& body, Scope& scope);

  // The attribute itself: its own, or what the enclosing function's caller gave for it; null attribute: nothing.
  Binding resolve(const AttributeProto& attribute, const Scope& scope) const;
  void set_attributes(const NodeProto& node, Node& made, const Scope& scope, int depth);
  // Values from outside that the node's subgraphs read, in order of first use.
  std::vector<Value*> captures(const NodeProto& node, const Scope& scope) const;
  std::shared_ptr<Graph> subgraph(const GraphProto& proto, const Scope& origin, const std::vector<Value*>& captures, int depth);

  Value* look_up(const Scope& scope, std::string_view name, const NodeProto& reader) const;
  std::vector<Value*> inputs_of(const NodeProto& node, const Scope& scope) const;
  int opset(const Scope& scope, const NodeProto& node);
  const FunctionProto* find_function(const NodeProto& node) const;
  void enter(int depth, const NodeProto& node) const;
  template <class... A>
  [[noreturn]] void refuse(const A&... what) const { fail(ErrorCode::invalid_model, source_.label, ": ", what...); }

  const Source& source_;
  const LoadOptions& options_;
  const ModelProto& model_;
  TensorReader& tensors_;
  Budget& budget_;
  std::unordered_map<std::string, const FunctionProto*> functions_;
  std::unordered_set<std::string> undeclared_;  // domains used without an opset_import
  struct State {
    std::string name;
    StateNames names;
    Tensor initial;
  };
  std::vector<State> states_;
  std::unordered_map<std::string_view, size_t> states_by_input_;
  std::unordered_set<std::string_view> hidden_outputs_;  // listed in the file for other engines only
  int64_t nodes_ = 0;  // made so far, functions expanded
};

}  // namespace outpost::onnx
