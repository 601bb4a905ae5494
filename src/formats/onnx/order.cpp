// Topological order by depth-first search with its own stack: a file decides how deep the chain of nodes is.
#include "formats/onnx/order.h"

#include <algorithm>
#include <unordered_set>

namespace outpost::onnx {
namespace {

constexpr int given_outside = -1;

class Body {
 public:
  Body(const std::string& file, std::vector<NodeProto>& nodes, std::span<const std::string_view> given)
      : file_(file), nodes_(nodes) {
    for (auto name : given) makers_.emplace(name, given_outside);
    for (size_t i = 0; i < nodes.size(); ++i)
      for (auto name : nodes[i].outputs)
        if (!name.empty()) add_maker(name, static_cast<int>(i));
  }

  // Calls visit(name) for every name that a node reads, subgraphs included.
  template <class F>
  static void for_each_read(const NodeProto& node, F visit) {
    for (auto name : node.inputs)
      if (!name.empty()) visit(name);
    for (const auto& attribute : node.attributes)
      for (const auto& graph : attribute.graphs)
        for (auto name : graph->free_names) visit(name);
  }

  std::vector<std::string_view> free_names(std::span<const std::string_view> wanted) const {
    std::vector<std::string_view> free;
    std::unordered_set<std::string_view> seen;
    auto visit = [&](std::string_view name) {
      if (!makers_.count(name) && seen.insert(name).second) free.push_back(name);
    };
    for (const auto& node : nodes_) for_each_read(node, visit);
    for (auto name : wanted)
      if (!name.empty()) visit(name);
    return free;
  }

  void sort() {
    auto order = sorted();
    if (std::is_sorted(order.begin(), order.end())) return;
    std::vector<NodeProto> result;
    result.reserve(nodes_.size());
    for (int i : order) result.push_back(std::move(nodes_[i]));
    nodes_ = std::move(result);
  }

 private:
  void add_maker(std::string_view name, int node) {
    auto [at, added] = makers_.emplace(name, node);
    if (added) return;
    auto first = at->second == given_outside ? std::string("an input or initializer") : nodes_[at->second].label();
    fail(ErrorCode::invalid_model, file_, ": the name '", name, "' is given twice: by ", first, " and by ",
         nodes_[node].label());
  }

  struct Visit {
    int node;
    std::vector<int> needs;  // producers not yet looked at
  };

  Visit visit_of(int node) const {
    Visit visit{node, {}};
    for_each_read(nodes_[node], [&](std::string_view name) {
      auto at = makers_.find(name);
      if (at != makers_.end() && at->second != given_outside) visit.needs.push_back(at->second);
    });
    std::reverse(visit.needs.begin(), visit.needs.end());
    return visit;
  }

  std::vector<int> sorted() const {
    enum : char { untouched, open, done };
    std::vector<char> state(nodes_.size(), untouched);
    std::vector<int> order;
    std::vector<Visit> stack;
    order.reserve(nodes_.size());
    for (int start = 0; start < static_cast<int>(nodes_.size()); ++start) {
      if (state[start] != untouched) continue;
      state[start] = open;
      stack.push_back(visit_of(start));
      while (!stack.empty()) {
        auto& top = stack.back();
        if (top.needs.empty()) {
          state[top.node] = done;
          order.push_back(top.node);
          stack.pop_back();
          continue;
        }
        int need = top.needs.back();
        top.needs.pop_back();
        if (state[need] == open)
          fail(ErrorCode::invalid_model, file_, ": ", nodes_[need].label(), " depends on its own output, through ",
               nodes_[top.node].label(), "; a graph must have no cycle");
        if (state[need] == untouched) {
          state[need] = open;
          stack.push_back(visit_of(need));
        }
      }
    }
    return order;
  }

  const std::string& file_;
  std::vector<NodeProto>& nodes_;
  std::unordered_map<std::string_view, int> makers_;
};

}  // namespace

std::vector<std::string_view> order_nodes(const std::string& file, std::vector<NodeProto>& nodes,
                                          std::span<const std::string_view> given,
                                          std::span<const std::string_view> wanted) {
  Body body(file, nodes, given);
  body.sort();
  return body.free_names(wanted);  // after sorting: `nodes` has moved, makers_ is by name only here
}

}  // namespace outpost::onnx
