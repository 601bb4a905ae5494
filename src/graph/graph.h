// The graph: values (edges) and nodes in topological order. The one representation that everything is a change to.
//
// Invariants (graph/verify.h checks them):
//  - every value has one producer: a node's output, a graph input, or a constant; names are unique and not empty;
//  - nodes stand in an order in which producers come before users;
//  - subgraphs are closed: what the body of an If, Loop or Scan takes from outside is an explicit extra input of the
//    node (after its `arity` ordinary inputs, "captures") and a trailing input of every one of its subgraphs, in the
//    same order; constants are not captured but shared by copying the handle;
//  - a node's optional inputs that are absent are null; trailing nulls are trimmed.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/attribute.h"
#include "graph/type.h"

namespace outpost {

struct OpDef;  // ops/op.h
class Graph;
class Node;

struct Use {
  Node* node;
  int index;
};

// An edge. Stable address for the life of its graph.
class Value {
 public:
  std::string name;
  Type type;
  const std::string& label() const noexcept { return name; }
  Node* producer() const noexcept { return producer_; }       // null for inputs and constants
  int output_index() const noexcept { return output_index_; }
  const std::vector<Use>& uses() const noexcept { return uses_; }
  bool is_constant() const noexcept { return constant_.has_value(); }
  // The values. Where the file has them at an odd address, they are copied at the first call, which the caller must know
  // to be the only one at that time: on a graph that others use as well, stored() is what may be called.
  const Tensor& constant() const { return odd_ ? straighten() : constant_.tensor(); }
  // As they lie: for dtype, shape and place, and for whoever reads bytes (its address may be no multiple of the dtype's size).
  const Tensor& stored() const { return constant_.tensor(); }
  bool is_odd() const noexcept { return odd_; }
  int id() const noexcept { return id_; }                       // dense after Graph::renumber()

 private:
  friend class Graph;
  friend class Node;
  Node* producer_ = nullptr;
  int output_index_ = 0, id_ = -1;
  void set_constant(Tensor tensor);
  const Tensor& straighten() const;
  std::vector<Use> uses_;
  mutable Datum constant_;
  mutable bool odd_ = false;  // the constant's address does not suit its dtype
};

// An occurrence of an operator.
class Node {
 public:
  std::string name;      // from the model; may be empty
  std::string op;        // operator type, "Softmax"
  std::string domain;    // "" = ai.onnx
  int version = 0;       // opset version of its domain that the node is written in; after import: the newest
  const OpDef* def = nullptr;
  Attributes attributes;

  const std::vector<Value*>& inputs() const noexcept { return inputs_; }
  const std::vector<Value*>& outputs() const noexcept { return outputs_; }
  Value* input(int i) const noexcept { return i < static_cast<int>(inputs_.size()) ? inputs_[i] : nullptr; }
  Value* output(int i) const noexcept { return i < static_cast<int>(outputs_.size()) ? outputs_[i] : nullptr; }
  // Ordinary inputs; inputs()[arity()…] are captures. Equal to inputs().size() for nodes without subgraphs.
  int arity() const noexcept { return arity_ < 0 ? static_cast<int>(inputs_.size()) : arity_; }
  void set_arity(int arity) noexcept { arity_ = arity; }
  void set_input(int i, Value* value);        // grows the list as needed
  void set_inputs(std::vector<Value*> values);
  // Where the node stands, for messages: "Softmax 'attn_3'".
  std::string label() const;
  Graph* graph() const noexcept { return graph_; }

 private:
  friend class Graph;
  std::vector<Value*> inputs_, outputs_;
  int arity_ = -1;
  Graph* graph_ = nullptr;
  std::list<std::unique_ptr<Node>>::iterator position_;
};

// State: a value that outlives a run. `read` is a graph input bound from a State object, `write` the value that
// replaces it afterwards; `initial` is what a fresh State holds.
struct StateVariable {
  std::string name;
  Value* read;
  Value* write;
  Tensor initial;
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;

  std::string name;
  std::vector<Value*> outputs;                 // may repeat; may be inputs or constants
  std::vector<std::string> output_names;       // what callers call them, kept while passes replace values; may be empty
  std::vector<StateVariable> states;
  std::shared_ptr<Symbols> symbols;
  std::unordered_map<std::string, int> opsets;  // domain -> version the file was written in
  std::vector<std::pair<std::string, std::string>> metadata;

  const std::vector<Value*>& inputs() const noexcept { return inputs_; }
  const std::list<std::unique_ptr<Node>>& nodes() const noexcept { return nodes_; }
  const std::vector<std::unique_ptr<Value>>& values() const noexcept { return values_; }

  Value* add_input(std::string name, Type type);
  Value* add_constant(Tensor tensor, std::string name = "");
  void remove_input(int index);                // the value must be unused
  // A node before `before` (null: at the end), with `outputs` new values. Names are made unique.
  Node* add_node(std::string op, std::string domain, std::vector<Value*> inputs, Attributes attributes = {},
                 int outputs = 1, Node* before = nullptr);
  Value* add_output(Node* node, std::string name = "");  // one more output value of a node
  void drop_output(Node* node, int index);     // makes an unused output absent (null)
  // Replaces every use (in nodes, graph outputs and states) of `from` by `to`.
  void replace_uses(Value* from, Value* to);
  bool is_output(const Value*) const noexcept;
  const std::string& output_name(size_t i) const { return i < output_names.size() ? output_names[i] : outputs[i]->name; }
  void pin_output_names();                     // fills output_names from the values that are outputs now
  void erase(Node*);                           // its outputs must be unused
  void move_before(Node* node, Node* before);
  void make_constant(Value* input, Tensor tensor);  // turns a graph input into a constant
  void let_go(Value* constant);                // it keeps its type and shape, without values (is_let_go)
  Value* find(std::string_view name) const noexcept;
  void rename(Value*, std::string name);       // made unique
  std::string unique_name(std::string_view base);
  // Erases nodes whose outputs nobody uses, then unused constants. Returns how many nodes went.
  int remove_dead();
  // Gives every value a dense id in order of inputs, constants, node outputs; returns the count.
  int renumber();
  // Restores topological order (stable); throws Error(invalid_model) naming a node on a cycle.
  void sort();
  std::shared_ptr<Graph> clone(std::unordered_map<const Value*, Value*>* map = nullptr) const;

 private:
  friend class Node;
  Value* new_value(std::string name);
  std::vector<Value*> inputs_;
  std::list<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<Value>> values_;
  std::unordered_map<std::string, Value*> by_name_;
  uint64_t next_name_ = 0;
};

// A constant whose values are no longer there.
inline bool is_let_go(const Tensor& constant) noexcept { return !constant.raw() && constant.count() > 0; }

// Calls visit for every subgraph of a node.
void for_each_subgraph(const Node& node, const std::function<void(const std::string& attribute, const std::shared_ptr<Graph>&)>& visit);

}  // namespace outpost
