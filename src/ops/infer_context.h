// What a shape rule sees and says. The same rule runs on symbolic types (checking a graph) and on known ones (making a
// plan): read what is known, say what follows, leave the rest unknown. Never guess.
#pragma once
#include <span>

#include "base/text.h"
#include "graph/graph.h"

namespace outpost {

class InferContext {
 public:
  InferContext(const Node& node, std::span<const Type* const> inputs, std::span<const Tensor* const> values, std::span<Type> outputs)
      : node_(node), inputs_(inputs), values_(values), outputs_(outputs) {}

  const Node& node() const noexcept { return node_; }
  const Attributes& attributes() const noexcept { return node_.attributes; }
  int inputs() const noexcept { return static_cast<int>(inputs_.size()); }
  int outputs() const noexcept { return static_cast<int>(outputs_.size()); }
  bool has(int i) const noexcept { return i < inputs() && inputs_[i] != nullptr; }
  bool wants(int i) const noexcept { return i < outputs() && node_.output(i) != nullptr; }

  // The type of input i; fails with a clear message when it is absent.
  const Type& input(int i) const;
  DType dtype(int i) const { return input(i).dtype; }
  bool ranked(int i) const { return input(i).ranked; }
  int rank(int i) const { return input(i).rank(); }
  const Dims& dims(int i) const { return input(i).dims; }
  // The value of input i if it is known now (a constant, or computed from known shapes), else null.
  const Tensor* value(int i) const noexcept { return i < inputs() ? values_[i] : nullptr; }
  // The same as integers (i32 or i64 tensors); false when not known.
  bool integers(int i, std::vector<int64_t>& out) const;

  void output(int i, Type type);
  void output(int i, DType dtype, Dims dims) { output(i, Type::tensor(dtype, std::move(dims))); }
  void output(int i, DType dtype) { output(i, Type::tensor(dtype)); }  // rank not known

  // Negative axes counted from the end; fails when outside [-rank, rank).
  int axis(int64_t axis, int rank) const;
  // Inputs of a control-flow node's subgraph are typed, its body inferred, and its output types returned.
  std::vector<Type> subgraph(const Graph& graph, std::span<const Type> inputs) const;

  // Throws Error(invalid_model): "Softmax 'attn_3' (opset 13): …".
  template <class... A>
  [[noreturn]] void fail(const A&... what) const { fail_text(text(what...)); }
  template <class... A>
  void require(bool holds, const A&... what) const { if (!holds) fail_text(text(what...)); }
  void require_inputs(int least, int most) const;
  void require_dtype(int i, std::initializer_list<DType> allowed) const;
  void require_same_dtype(int i, int j) const;

 private:
  [[noreturn]] void fail_text(const std::string& what) const;
  const Node& node_;
  std::span<const Type* const> inputs_;
  std::span<const Tensor* const> values_;
  std::span<Type> outputs_;
};

// Common rules.
Dims broadcast(const InferContext&, const Dims& a, const Dims& b);  // multidirectional; fails when it cannot be
void infer_same(InferContext&);                                     // output 0 = input 0's type
void infer_broadcast(InferContext&);                                // output 0 = broadcast of all inputs, dtype of input 0

}  // namespace outpost
