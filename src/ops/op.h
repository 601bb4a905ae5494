// OpDef: everything the engine knows of an operator, in one place: shape rule, run function, gradient, cost, upgrades.
// One file per operator (or family) defines it with OUTPOST_OP(Name) { return {…}; }; ops/list.def names it once.
//
// Nodes are always in the newest version of their operator: `upgrade` rewrites older ones at import.
// An operator has a `run`, or an `expand` into others (composite ONNX functions), or both (then the expansion is the
// reference that the laws compare with).
#pragma once
#include <memory>
#include <span>

#include "ops/infer_context.h"
#include "ops/packed_store.h"
#include "ops/run_context.h"

namespace outpost {

// Work of one run: floating-point (or integer) operations and bytes that must move.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// Sees the types a plan was made for.
class CostContext {
 public:
  const Node& node;
  std::span<const Type* const> inputs;
  std::span<const Type* const> outputs;
  double count(const Type& t) const;  // elements, 0 when not known
  const Type* in(int i) const { return i < static_cast<int>(inputs.size()) ? inputs[i] : nullptr; }
  const Type* out(int i) const { return i < static_cast<int>(outputs.size()) ? outputs[i] : nullptr; }
};

// The work of a node: its definition's cost, or one flop an output element and every byte once.
Cost cost_of(const CostContext&);

// Called once per node when a graph is made ready: constant inputs are given, others are null. Nodes are prepared on
// several threads at once.
class PrepareContext {
 public:
  const Node& node;
  std::span<const Tensor* const> constants;
  int threads = 1;
  PackedStore* store = nullptr;    // null: packed weights are made anew, in memory of their own
  std::string_view path = {};      // of the node within the program, in front of the store's keys
  std::span<bool> unread = {};     // by input: see consumed()
  const Tensor* constant(int i) const { return i < static_cast<int>(constants.size()) ? constants[i] : nullptr; }
  const Attributes& attributes() const { return node.attributes; }
  // Packed weights: u8[bytes], 64-byte aligned, written by `fill(memory)` or found in the cache of an earlier opening (see
  // packed_store.h). Every call of one node has another `key`.
  Tensor packed(std::string_view key, size_t bytes, FunctionRef<void(void* memory)> fill) const;
  // `run` never reads the values of constant input i (its packed form serves instead), whatever the shapes: when no
  // other node does either, its memory is let go. Its View then has no data.
  void consumed(int i) const {
    if (i < static_cast<int>(unread.size())) unread[static_cast<size_t>(i)] = true;
  }
};

// Operators that only cut or join memory: the types of one plan, all of them static.
class PartContext {
 public:
  const Node& node;
  std::span<const Type* const> inputs, outputs;  // null: absent
  std::span<const Tensor* const> values;         // of inputs whose values the plan knows, else null
};

// Shapes of one plan, for sizing scratch memory.
class ScratchContext {
 public:
  const Node& node;
  std::span<const View* const> inputs;   // data is null; absent inputs are null
  std::span<const View* const> outputs;
  const void* prepared;
  int threads = 1;
  const View& in(int i) const { return *inputs[i]; }
  const View& out(int i) const { return *outputs[i]; }
  bool has(int i) const { return i < static_cast<int>(inputs.size()) && inputs[i]; }
};

// Makes nodes in front of `node`: used by expansions, upgrades and gradients.
class Builder {
 public:
  Builder(Graph& graph, Node* before) : graph_(graph), before_(before) {}
  Graph& graph() { return graph_; }
  // One-output node; the newest version of `op` in `domain`. Types are inferred at once.
  Value* emit(std::string_view op, std::vector<Value*> inputs, Attributes attributes = {}, std::string_view domain = "");
  Node* emit_node(std::string_view op, std::vector<Value*> inputs, Attributes attributes, int outputs, std::string_view domain = "");
  Value* constant(Tensor tensor);
  Value* scalar(DType dtype, double value);       // rank 0, of that dtype
  Value* integers(std::vector<int64_t> values);   // 1-D i64
  // Shorthands for the commonest.
  Value* add(Value* a, Value* b) { return emit("Add", {a, b}); }
  Value* sub(Value* a, Value* b) { return emit("Sub", {a, b}); }
  Value* mul(Value* a, Value* b) { return emit("Mul", {a, b}); }
  Value* div(Value* a, Value* b) { return emit("Div", {a, b}); }
  Value* neg(Value* a) { return emit("Neg", {a}); }
  Value* like(Value* reference, double value);     // scalar of the reference's dtype
  Value* reshape_like(Value* x, Value* reference); // Reshape(x, Shape(reference))
  // Sums x down to reference's shape: the adjoint of broadcasting.
  Value* sum_to(Value* x, Value* reference);

 private:
  Graph& graph_;
  Node* before_;
};

// Replaces `node` by others. Call replace(i, value) for every output in use.
class ExpandContext : public Builder {
 public:
  ExpandContext(Graph& graph, Node& node) : Builder(graph, &node), node(node) {}
  Node& node;
  const Attributes& attributes() const { return node.attributes; }
  Value* in(int i) const { return node.input(i); }
  bool has(int i) const { return node.input(i) != nullptr; }
  bool wants(int i) const { return node.output(i) && (!node.output(i)->uses().empty() || node.graph()->is_output(node.output(i))); }
  void replace(int output, Value* value);
};

// Turns a node written in opset `from` into the newest form, in place or by building nodes around it.
class UpgradeContext : public ExpandContext {
 public:
  UpgradeContext(Graph& graph, Node& node, int from) : ExpandContext(graph, node), from(from) {}
  const int from;
  // Moves an attribute to an input: ("axes", 1) for Squeeze-11 → 13. Nothing when absent.
  void integers_to_input(std::string_view attribute, int input);
  void real_to_input(std::string_view attribute, int input, DType dtype);
};

// Emits the gradient of a node as ordinary nodes.
class GradientContext : public Builder {
 public:
  GradientContext(Graph& graph, Node& node, std::span<Value* const> output_gradients, std::span<Value*> input_gradients,
                  std::span<const bool> wanted)
      : Builder(graph, nullptr), node(node), output_gradients_(output_gradients), input_gradients_(input_gradients), wanted_(wanted) {}
  Node& node;
  const Attributes& attributes() const { return node.attributes; }
  Value* in(int i) const { return node.input(i); }
  Value* out(int i) const { return node.output(i); }
  bool has(int i) const { return node.input(i) != nullptr; }
  // The gradient that flows into output i; null when nothing depends on it.
  Value* grad(int i = 0) const { return i < static_cast<int>(output_gradients_.size()) ? output_gradients_[i] : nullptr; }
  bool wants(int i) const { return i < static_cast<int>(wanted_.size()) && wanted_[i]; }
  void set(int input, Value* gradient) { input_gradients_[input] = gradient; }

 private:
  std::span<Value* const> output_gradients_;
  std::span<Value*> input_gradients_;
  std::span<const bool> wanted_;
};

struct OpDef {
  std::string_view name, domain = "";
  int since = 1;                   // the opset that introduced the form the engine holds (its newest version)
  int first = 1;                   // the oldest opset whose form `upgrade` understands
  int min_inputs = 1, max_inputs = 1, min_outputs = 1, max_outputs = 1;  // max -1: any number
  std::string_view doc = "";       // one line, for docs/operators.md
  void (*infer)(InferContext&) = nullptr;
  void (*run)(RunContext&) = nullptr;
  void (*expand)(ExpandContext&) = nullptr;
  void (*upgrade)(UpgradeContext&) = nullptr;
  void (*gradient)(GradientContext&) = nullptr;
  std::string_view no_gradient = "";  // why there is none (integer output, piecewise constant, …)
  Cost (*cost)(const CostContext&) = nullptr;  // default: one flop an output element, all bytes once
  std::shared_ptr<const void> (*prepare)(const PrepareContext&) = nullptr;
  size_t (*scratch)(const ScratchContext&) = nullptr;
  // Pairs {input, output} that may share memory when the input dies here (same bytes).
  std::initializer_list<std::pair<int, int>> in_place = {};
  // Outputs that are a stretch of input 0's bytes (Split, Slice), or with `joins` inputs that are a stretch of output 0's
  // (Concat): where part i begins, in bytes; -1 where it is not one stretch. The plan lays parts into the whole where it
  // can, and `run` then finds them there: it moves nothing whose addresses agree.
  int64_t (*part)(const PartContext&, int i) = nullptr;
  bool joins = false;
  bool any_address = false;        // takes constant inputs where the file has them, even if that does not suit their dtype
  bool view_only = false;          // output 0 is input 0's bytes under another type (Reshape): never moves memory when it can alias
  bool random = false;             // never folded, never merged with an equal node
  bool host_shape = false;         // reads only its inputs' shapes (Shape, Size)
  // Cases for the laws, one a line (grammar: docs/adding_an_operator.md):
  //   "axis=1 | f32[2,3,4] f32[3](0.5,2) i64[2]={0,1} -"      attributes | inputs: dtype[dims](range) or ={values}; - absent
  std::string_view cases = "";
};

// The definition for a domain and name, or null. "ai.onnx" and "" are the same domain.
const OpDef* find_op(std::string_view domain, std::string_view name) noexcept;
// All of them, in list order.
std::span<const OpDef* const> all_ops() noexcept;
// Adds an operator that a program brings along; it must live as long as the process. Throws Error(invalid_argument) when
// there is one of that domain and name. Thread-safe, as the look-ups are.
void register_op(const OpDef& def);
// Resolves node.def; throws Error(unsupported) naming the node and near matches.
void resolve(Node& node);

#define OUTPOST_OP(id) const ::outpost::OpDef& outpost_op_##id()
// Defines the function behind a line of list.def:  OUTPOST_DEFINE_OP(Relu, .name = "Relu", .infer = …, .run = …)
#define OUTPOST_DEFINE_OP(id, ...)              \
  const ::outpost::OpDef& outpost_op_##id() {   \
    static const ::outpost::OpDef def{__VA_ARGS__}; \
    return def;                                 \
  }                                             \
  static_assert(true)

}  // namespace outpost
