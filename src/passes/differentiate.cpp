// See differentiate.h. Two walks: forward marks what depends on an x, backward visits what y depends on.
#include "passes/differentiate.h"

#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "ops/op.h"

namespace outpost {
namespace {

bool is_real(DType d) { return d == DType::f32 || d == DType::f64 || d == DType::f16 || d == DType::bf16; }

class Differentiation {
 public:
  Differentiation(Graph& graph, Value* y, std::span<Value* const> xs) : graph_(graph), y_(y), build_(graph, nullptr) {
    for (Value* x : xs) active_.insert(x);
  }

  std::vector<Value*> run(std::span<Value* const> xs, Value* seed) {
    mark();
    partials_[y_].push_back(seed ? seed : filled_like(y_, 1));
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) {
      nodes.push_back(node.get());
      if (node.get() == y_->producer()) break;
    }
    for (size_t i = nodes.size(); i-- > 0;) visit(*nodes[i]);
    std::vector<Value*> result;
    for (Value* x : xs) {
      Value* g = total(x);
      result.push_back(g ? g : filled_like(x, 0));
    }
    return result;
  }

 private:
  // What depends on an x. Operators that have no gradient but an expansion give way to it here.
  void mark() {
    for (int rounds = 0; rounds < 16; ++rounds) {
      std::vector<Node*> opaque;
      for (const auto& node : graph_.nodes()) {
        bool depends = false;
        for (const Value* v : node->inputs()) depends = depends || (v && active_.contains(v));
        if (!depends) continue;
        if (!node->def->gradient && node->def->no_gradient.empty() && node->def->expand) opaque.push_back(node.get());
        for (const Value* v : node->outputs())
          if (v && (is_real(v->type.dtype) || v->type.dtype == DType::undefined)) active_.insert(v);
      }
      if (opaque.empty()) return;
      for (Node* node : opaque) expand(*node);
    }
  }

  void expand(Node& node) {
    ExpandContext c(graph_, node);
    const std::vector<Value*> before = node.outputs();
    const int position = y_->producer() == &node ? y_->output_index() : -1;
    Value* placeholder = nullptr;
    if (position >= 0) {  // follow y through the expansion
      placeholder = build_.emit("Identity", {y_});
    }
    node.def->expand(c);
    if (placeholder) {
      y_ = placeholder->producer()->input(0);
      graph_.erase(placeholder->producer());
    }
    for (const Value* v : before) active_.erase(v);
    graph_.erase(&node);
  }

  void visit(Node& node) {
    const int outs = static_cast<int>(node.outputs().size()), ins = static_cast<int>(node.inputs().size());
    std::vector<Value*> incoming(outs, nullptr), outgoing(ins, nullptr);
    bool reached = false;
    for (int i = 0; i < outs; ++i) {
      if (!node.output(i) || !active_.contains(node.output(i))) continue;
      incoming[i] = total(node.output(i));
      reached = reached || incoming[i];
    }
    if (!reached) return;
    std::unique_ptr<bool[]> wanted(new bool[ins]());
    bool any = false;
    for (int i = 0; i < ins; ++i) any |= wanted[i] = node.input(i) && active_.contains(node.input(i));
    if (!any || !node.def->no_gradient.empty()) return;
    if (!node.def->gradient) fail(ErrorCode::unsupported, node.label(), ": operator ", node.op, " has no gradient");
    GradientContext c(graph_, node, incoming, outgoing, std::span<const bool>(wanted.get(), static_cast<size_t>(ins)));
    node.def->gradient(c);
    for (int i = 0; i < ins; ++i)
      if (outgoing[i] && wanted[i]) partials_[node.input(i)].push_back(outgoing[i]);
  }

  Value* total(Value* v) {
    auto it = partials_.find(v);
    if (it == partials_.end()) return nullptr;
    std::vector<Value*>& parts = it->second;
    Value* sum = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) sum = build_.add(sum, parts[i]);
    parts = {sum};
    return sum;
  }

  Value* filled_like(Value* v, double value) {
    Tensor fill = build_.scalar(v->type.dtype, value)->constant().reshaped(Shape{1});
    return build_.emit("ConstantOfShape", {build_.emit("Shape", {v})}, {{"value", std::move(fill)}});
  }

  Graph& graph_;
  Value* y_;
  Builder build_;
  std::unordered_set<const Value*> active_;
  std::unordered_map<Value*, std::vector<Value*>> partials_;
};

}  // namespace

std::vector<Value*> differentiate(Graph& graph, Value* y, std::span<Value* const> xs, Value* seed) {
  if (!is_real(y->type.dtype)) fail(ErrorCode::invalid_argument, "cannot differentiate '", y->name, "' of type ", y->type);
  return Differentiation(graph, y, xs).run(xs, seed);
}

}  // namespace outpost
