// Runs of elementwise operators on tensors of one shape become one outpost.Elementwise, so that memory is walked once:
// from an operator upwards, whatever only this run uses. Operands from outside have the same shape or one element.
//
// What pays: two steps or more of which at least one is a function of one operand. Sums and products alone stay apart:
// they wait for memory that each of them has to read anyway.
#include <algorithm>
#include <unordered_set>

#include "ops/elementwise_program.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

bool single(const Value* v) {
  return v->type.ranked && std::all_of(v->type.dims.begin(), v->type.dims.end(), [](const Dim& d) { return d == Dim(1); });
}

// A run that ends in `root`: its nodes in the graph's order, and what they take from outside.
class Run {
 public:
  explicit Run(Node* root) : root_(root), members_{root}, order_{root} {}

  // Takes in producers until nothing more fits.
  void grow() {
    for (size_t i = 0; i < order_.size() && members_.size() < most_elementwise_steps; ++i) {
      const Node* n = order_[i];
      for (const Value* v : operands(*n))
        if (Node* p = v->producer(); p && !contains(p) && members_.size() < most_elementwise_steps && fits(*p)) {
          members_.insert(p);
          order_.push_back(p);
        }
    }
  }

  Value* emit(Builder& b) {
    sort();
    std::vector<Value*> inputs;
    for (const Node* n : order_)
      for (Value* v : operands(*n))
        if (!contains(v->producer()) && std::find(inputs.begin(), inputs.end(), v) == inputs.end()) inputs.push_back(v);
    // the first input gives the shape
    const auto shaped = std::find_if(inputs.begin(), inputs.end(), [&](const Value* v) { return same_shape(v, root_->output(0)); });
    if (shaped == inputs.end() || inputs.size() > most_elementwise_inputs) return nullptr;
    std::rotate(inputs.begin(), shaped, shaped + 1);
    std::vector<ElementwiseStep> steps;
    bool function = false;
    for (const Node* n : order_) {
      ElementwiseStep s = *elementwise_step(*n);
      const auto list = operands(*n);
      for (size_t i = 0; i < list.size(); ++i) s.operands[i] = index(list[i], inputs);
      function = function || !s.binary;
      steps.push_back(std::move(s));
    }
    if (steps.size() < 2 || !function) return nullptr;
    return b.emit("Elementwise", inputs, elementwise_attributes(steps, static_cast<int>(inputs.size())), "outpost");
  }

  static bool possible(const Node& n) {
    const DType t = n.outputs().size() == 1 && n.output(0) ? n.output(0)->type.dtype : DType::undefined;
    if ((t != DType::f32 && t != DType::f16 && t != DType::bf16) || !n.output(0)->type.ranked || !elementwise_step(n)) return false;
    const auto list = operands(n);
    return std::all_of(list.begin(), list.end(), [&](const Value* v) {
      return same_shape(v, n.output(0)) || (single(v) && v->type.rank() <= n.output(0)->type.rank());
    });
  }

 private:
  static std::vector<Value*> operands(const Node& n) {
    const auto step = elementwise_step(n);
    return {n.inputs().begin(), n.inputs().begin() + (step && step->binary ? 2 : 1)};
  }

  bool contains(const Node* n) const { return n && members_.contains(n); }

  bool fits(const Node& p) const {
    if (!possible(p) || !same_shape(p.output(0), root_->output(0)) || p.graph()->is_output(p.output(0))) return false;
    const auto& uses = p.output(0)->uses();
    return std::all_of(uses.begin(), uses.end(), [&](const Use& use) { return contains(use.node); });
  }

  // Producers first: every member was reached from one of its users, but others may use it later.
  void sort() {
    std::vector<Node*> sorted;
    std::unordered_set<const Node*> done;
    while (sorted.size() < order_.size())
      for (Node* n : order_) {
        const auto list = operands(*n);
        const bool ready = std::all_of(list.begin(), list.end(), [&](const Value* v) { return !contains(v->producer()) || done.contains(v->producer()); });
        if (ready && done.insert(n).second) sorted.push_back(n);
      }
    order_ = std::move(sorted);
  }

  int index(const Value* v, const std::vector<Value*>& inputs) const {
    const auto at = std::find(inputs.begin(), inputs.end(), v);
    if (at != inputs.end()) return static_cast<int>(at - inputs.begin());
    const auto step = std::find(order_.begin(), order_.end(), v->producer());
    return static_cast<int>(inputs.size()) + static_cast<int>(step - order_.begin());
  }

  Node* root_;
  std::unordered_set<const Node*> members_;
  std::vector<Node*> order_;
};

// Its only user would take it in: then that one is the root.
bool ends_here(const Node& n) {
  const Value* v = n.output(0);
  if (n.graph()->is_output(v) || v->uses().empty()) return true;
  const Node* first = v->uses()[0].node;
  const bool one = std::all_of(v->uses().begin(), v->uses().end(), [&](const Use& use) { return use.node == first; });
  return !one || !Run::possible(*first) || !same_shape(first->output(0), v);
}

}  // namespace

int fuse_elementwise(Graph& graph) {
  return rewrite_nodes(graph, [](Builder& b, Node& n) -> Value* {
    if (!Run::possible(n) || !ends_here(n)) return nullptr;
    Run run(&n);
    run.grow();
    return run.emit(b);
  });
}

}  // namespace outpost
