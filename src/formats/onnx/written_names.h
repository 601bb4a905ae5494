// Names for a graph's values in a file. ONNX has one scope for a graph and everything within it: a subgraph reads outer
// values by name and must not use their names for its own. Inputs and outputs keep theirs; what collides is renamed.
#pragma once
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "graph/graph.h"

namespace outpost::onnx {

class WrittenNames {
 public:
  // For the top graph.
  explicit WrittenNames(const Graph& graph) : outer_(nullptr) { add(graph, 0); }
  // For a subgraph of `node`, which is in the graph that `outer` is for: captures take the outer names, and so do
  // constants that the outer graph holds too.
  WrittenNames(const Graph& body, const Node& node, const WrittenNames& outer);

  const std::string& of(const Value* value) const { return names_.at(value); }
  // True for constants and captures, which the outer graph writes.
  bool is_outer(const Value* value) const { return borrowed_.count(value) > 0; }
  // Outputs that need an Identity: their value bears another name, is an output twice, or is made outside a subgraph.
  struct Alias {
    const Value* value;
    std::string name;
  };
  const std::vector<Alias>& aliases() const { return aliases_; }
  const std::vector<std::string>& outputs() const { return outputs_; }

 private:
  void add(const Graph& graph, size_t captures);
  void borrow(const Value* value, const std::string& outer_name);
  std::string fresh(const std::string& wanted);
  bool is_taken(const std::string& name) const;

  const WrittenNames* outer_;
  std::unordered_map<const Value*, std::string> names_;
  std::unordered_set<std::string> taken_;
  std::unordered_set<const Value*> borrowed_;
  std::unordered_map<const void*, const Value*> constants_;  // by the address of their data
  std::vector<Alias> aliases_;
  std::vector<std::string> outputs_;
};

}  // namespace outpost::onnx
