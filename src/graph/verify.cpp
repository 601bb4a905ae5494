// One walk over the nodes recounts what the graph keeps about itself (producers, uses, names, order) and compares.
#include "graph/verify.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"

namespace outpost {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, std::string_view after) : graph_(graph), after_(after) {
    for (const auto& value : graph.values()) owned_.insert(value.get());
  }

  void run() {
    for (const Value* input : graph_.inputs()) check_input(input);
    for (const auto& node : graph_.nodes()) check_node(*node);
    for (const auto& value : graph_.values()) check_value(*value);
    check_outputs();
  }

 private:
  template <class... A>
  void require(bool holds, const A&... what) const {
    if (holds) return;
    fail(ErrorCode::internal, "graph '", graph_.name, "'", after_.empty() ? "" : text(" after '", after_, "'"), ": ", what...);
  }

  void check_input(const Value* input) {
    require(owned_.count(input), "an input is not a value of this graph");
    require(!input->producer() && !input->is_constant(), "input '", input->name, "' has a producer or is a constant");
    require(made_.insert(input).second, "input '", input->name, "' is listed twice");
  }

  void check_node(const Node& node) {
    require(!node.op.empty(), "a node has no operator");
    require(node.graph() == &graph_, node.label(), " belongs to another graph");
    const int count = static_cast<int>(node.inputs().size());
    require(node.arity() >= 0 && node.arity() <= count, node.label(), " has arity ", node.arity(), " but ", count, " inputs");
    require(node.arity() == 0 || node.input(node.arity() - 1), node.label(), " ends in an absent input");
    for (int i = 0; i < count; ++i) {
      const Value* value = node.input(i);
      require(value || i < node.arity(), node.label(), ": capture ", i, " is absent");
      if (!value) continue;
      require(owned_.count(value), node.label(), ": input ", i, " is a value of another graph");
      require(value->is_constant() || made_.count(value), node.label(), " reads '", value->name, "' before it is made");
      ++uses_[value];
    }
    for (size_t i = 0; i < node.outputs().size(); ++i) check_output(node, static_cast<int>(i));
    for_each_subgraph(node, [&](const std::string& name, const std::shared_ptr<Graph>& body) { check_body(node, name, body); });
  }

  void check_output(const Node& node, int i) {
    const Value* value = node.output(i);
    if (!value) return;
    require(owned_.count(value), node.label(), ": output ", i, " is a value of another graph");
    require(value->producer() == &node && value->output_index() == i, node.label(), ": output '", value->name, "' has another producer");
    require(!value->is_constant(), node.label(), ": output '", value->name, "' is a constant");
    require(made_.insert(value).second, "'", value->name, "' is made twice");
  }

  void check_body(const Node& node, const std::string& name, const std::shared_ptr<Graph>& body) {
    require(body != nullptr, node.label(), ": subgraph '", name, "' is null");
    const size_t captures = node.inputs().size() - static_cast<size_t>(node.arity());
    require(body->inputs().size() >= captures, node.label(), ": subgraph '", name, "' has ", body->inputs().size(), " inputs for ", captures, " captures");
    require(body->symbols == graph_.symbols, node.label(), ": subgraph '", name, "' has symbols of its own");
    Verifier(*body, after_).run();
  }

  // Values that passes left behind (no producer, no input, no constant) are dead until remove_dead collects them.
  void check_value(const Value& value) {
    auto at = uses_.find(&value);
    require(value.uses().size() == (at == uses_.end() ? 0 : at->second), "'", value.name, "' lists ", value.uses().size(), " uses; nodes have ",
            at == uses_.end() ? 0 : at->second);
    for (const Use& use : value.uses())
      require(use.node->input(use.index) == &value, "'", value.name, "' lists a use by ", use.node->label(), " that is none");
    if (!value.is_constant() && !made_.count(&value)) {
      require(!value.producer() && value.uses().empty(), "'", value.name, "' is read, but no node makes it");
      return;
    }
    require(!value.name.empty(), "a value has no name");
    require(names_.insert(value.name).second, "two values are named '", value.name, "'");
    require(graph_.find(value.name) == &value, "'", value.name, "' is not found by its name");
  }

  void check_outputs() {
    require(graph_.output_names.size() <= graph_.outputs.size(), "more output names than outputs");
    auto live = [&](const Value* v) { return v && owned_.count(v) && (v->is_constant() || made_.count(v)); };
    for (const Value* output : graph_.outputs) require(live(output), "an output is no live value of this graph");
    for (const auto& state : graph_.states) {
      require(std::count(graph_.inputs().begin(), graph_.inputs().end(), state.read) == 1, "state '", state.name, "' is not read from an input");
      require(live(state.write), "state '", state.name, "' is written from no live value");
    }
  }

  const Graph& graph_;
  std::string_view after_;
  std::unordered_set<const Value*> owned_, made_;
  std::unordered_map<const Value*, size_t> uses_;
  std::unordered_set<std::string_view> names_;
};

}  // namespace

void verify_graph(const Graph& graph, std::string_view after) { Verifier(graph, after).run(); }

}  // namespace outpost
