// Channel blocks: chains of convolutions, poolings and what stands between them run on (batch, ceil(C / B), height,
// width, B), B the lanes of the instruction set in use, with a conversion only where a chain begins and ends.
//
// Which nodes can (layout_nodes.h) is asked in graph order, so that a node knows whether its inputs are blocked. Nodes
// joined by blocked values are an island. An island stays as it is where converting at its shores costs more than the
// blocked kernels win: they are a third faster at peak, and an element converted costs about as much as 200 flops of that
// gain (a lone 3x3 convolution of 64 channels pays, a lone 1x1 of 64 does not). Unknown extents count as 32, a batch as 1.
#include <unordered_map>
#include <unordered_set>

#include "ops/blocked/blocked.h"
#include "passes/layout_nodes.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using layout::Kind;

constexpr double flops_an_element = 200;

double elements(const Type& t) {
  double n = 1;
  for (size_t i = 0; i < t.dims.size(); ++i)
    n *= t.dims[i].known() ? static_cast<double>(t.dims[i].size) : i == 0 ? 1 : 32;
  return n;
}

double flops_of(const Node& n) {
  const Dims& w = n.input(1)->type.dims;
  return 2 * elements(n.output(0)->type) * static_cast<double>(w[1].size * w[2].size * w[3].size);
}

class Layout {
 public:
  explicit Layout(Graph& graph) : graph_(graph), block_(native_block()) {}

  int run() {
    choose();
    drop_poor_islands();
    int changes = 0;
    std::vector<Node*> old;
    for (Node* n : order_)
      if (kinds_.contains(n)) rewrite(*n, kinds_.at(n)), old.push_back(n), ++changes;
    for (auto n = old.rbegin(); n != old.rend(); ++n) graph_.erase(*n);
    return changes;
  }

 private:
  bool chosen(const Node* n) const { return kinds_.contains(n); }
  bool is_blocked(const Value* v) const { return v && island_.contains(v); }

  void choose() {
    for (const auto& node : graph_.nodes()) {
      const Kind kind = layout::kind_of(*node, block_, [&](const Value* v) { return is_blocked(v); });
      if (kind == Kind::none) continue;
      kinds_.emplace(node.get(), kind);
      order_.push_back(node.get());
      const int island = static_cast<int>(parents_.size());
      parents_.push_back(island);
      for (const Value* v : node->inputs())
        if (is_blocked(v)) parents_[root(island_.at(v))] = island;
      for (const Value* v : node->outputs())
        if (v) island_.emplace(v, island);
    }
  }

  int root(int island) const {
    while (parents_[island] != island) island = parents_[island];
    return island;
  }

  bool used_outside(const Value* v) const {
    if (graph_.is_output(v)) return true;
    for (const Use& u : v->uses())
      if (!chosen(u.node)) return true;
    return false;
  }

  // Inputs of a chosen node that it wants blocked.
  template <class F>
  void for_operands(Node& n, Kind kind, F&& body) const {
    if (kind == Kind::convolution) {
      if (is_blocked(n.input(0)) || !layout::reads_planar(n, block_)) body(n.input(0));
      if (n.input(3)) body(n.input(3));
    } else if (kind == Kind::binary || kind == Kind::concat) {
      for (Value* v : n.inputs())
        if (!layout::is_scalar(v)) body(v);
    } else {
      body(n.input(0));
    }
  }

  void drop_poor_islands() {
    std::vector<double> gain(parents_.size());
    std::unordered_set<const Value*> converted;
    for (size_t i = 0; i < order_.size(); ++i) {
      Node& n = *order_[i];
      double& g = gain[root(static_cast<int>(i))];
      if (kinds_.at(&n) == Kind::convolution) g += flops_of(n);
      for_operands(n, kinds_.at(&n), [&](const Value* v) {
        if (!is_blocked(v) && !v->is_constant() && converted.insert(v).second) g -= flops_an_element * elements(v->type);
      });
      for (const Value* v : n.outputs())
        if (v && used_outside(v)) g -= flops_an_element * elements(v->type);
    }
    for (size_t i = 0; i < order_.size(); ++i) {
      if (gain[root(static_cast<int>(i))] > 0) continue;
      kinds_.erase(order_[i]);
      for (const Value* v : order_[i]->outputs()) island_.erase(v);
    }
  }

  // The blocked form of an operand, made in front of the node that wants it where there is none yet.
  Value* blocked(Builder& b, Value* v) {
    Value*& made = made_[v];
    if (!made) made = b.emit("BlockChannels", {layout::with_batch_axis(b, v)}, {{"block", block_}}, "outpost");
    return made;
  }

  void finish(Builder& b, Node& n, int output, Value* value) {
    Value* old = n.output(output);
    made_[old] = value;
    if (!used_outside(old)) return;
    Value* planar = b.emit("UnblockChannels", {value}, {{"channels", old->type.dims[1].size}}, "outpost");
    graph_.replace_uses(old, planar);
    made_[planar] = value;
  }

  void rewrite(Node& n, Kind kind) {
    Builder b(graph_, &n);
    std::vector<Value*> inputs = n.inputs();
    for_operands(n, kind, [&](Value* v) {
      Value* to = blocked(b, v);
      for (Value*& input : inputs)
        if (input == v) input = to;
    });
    const layout::Rewritten made = layout::blocked_form(n, kind, block_, b);
    if (inputs.size() < made.replaced_inputs.size()) inputs.resize(made.replaced_inputs.size(), nullptr);
    for (size_t i = 0; i < made.replaced_inputs.size(); ++i)
      if (made.replaced_inputs[i]) inputs[i] = made.replaced_inputs[i];
    Node* node = b.emit_node(made.op, inputs, made.attributes, static_cast<int>(n.outputs().size()), made.domain);
    for (int i = 0; i < static_cast<int>(n.outputs().size()); ++i)
      if (n.output(i)) finish(b, n, i, node->output(i));
  }

  Graph& graph_;
  const int64_t block_;
  std::unordered_map<const Node*, Kind> kinds_;
  std::vector<Node*> order_;                        // chosen at first, in graph order; its index is the node's island
  std::vector<int> parents_;                        // of islands that were joined
  std::unordered_map<const Value*, int> island_;    // of values that chosen nodes give
  std::unordered_map<const Value*, Value*> made_;   // blocked forms
};

}  // namespace

int block_layout(Graph& graph) { return Layout(graph).run(); }

}  // namespace outpost
