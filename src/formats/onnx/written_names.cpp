// Order matters: inputs and outputs are named first, since callers know them.
#include "formats/onnx/written_names.h"

#include <algorithm>

#include "base/text.h"

namespace outpost::onnx {

WrittenNames::WrittenNames(const Graph& body, const Node& node, const WrittenNames& outer) : outer_(&outer) {
  const size_t captures = node.inputs().size() - static_cast<size_t>(node.arity());
  const size_t first = body.inputs().size() - captures;
  for (size_t i = 0; i < captures; ++i)
    borrow(body.inputs()[first + i], outer.of(node.input(node.arity() + static_cast<int>(i))));
  for (const auto& value : body.values()) {
    if (!value->is_constant() || value->stored().count() == 0) continue;
    for (auto* scope = &outer; scope; scope = scope->outer_) {
      auto at = scope->constants_.find(value->stored().raw());
      if (at == scope->constants_.end()) continue;
      const Tensor &ours = value->stored(), &theirs = at->second->stored();
      if (ours.dtype() == theirs.dtype() && ours.shape() == theirs.shape() && ours.strides() == theirs.strides()) borrow(value.get(), scope->of(at->second));
      break;
    }
  }
  add(body, captures);
}

void WrittenNames::borrow(const Value* value, const std::string& outer_name) {
  names_[value] = outer_name;
  borrowed_.insert(value);
}

bool WrittenNames::is_taken(const std::string& name) const {
  for (auto* scope = this; scope; scope = scope->outer_)
    if (scope->taken_.count(name)) return true;
  return false;
}

std::string WrittenNames::fresh(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; name.empty() || is_taken(name); ++i) name = text(wanted, "_", i);
  taken_.insert(name);
  return name;
}

void WrittenNames::add(const Graph& graph, size_t captures) {
  for (size_t i = 0; i + captures < graph.inputs().size(); ++i) names_[graph.inputs()[i]] = fresh(graph.inputs()[i]->name);
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const Value* value = graph.outputs[i];
    const std::string& wanted = graph.output_name(i);
    auto known = names_.find(value);
    if (known == names_.end()) known = names_.emplace(value, fresh(wanted)).first;
    // A subgraph's outputs go by position, so any name will do, but each must be its own and made within.
    auto is_repeated = [&] { return std::find(outputs_.begin(), outputs_.end(), known->second) != outputs_.end(); };
    if (outer_ ? !borrowed_.count(value) && !is_repeated() : known->second == wanted) {
      outputs_.push_back(known->second);
      continue;
    }
    outputs_.push_back(fresh(wanted));
    aliases_.push_back({value, outputs_.back()});
  }
  for (const auto& value : graph.values()) {
    const bool live = value->is_constant() || value->producer();
    if (live && !names_.count(value.get())) names_[value.get()] = fresh(value->name);
    if (value->is_constant() && !borrowed_.count(value.get())) constants_.emplace(value->stored().raw(), value.get());
  }
}

}  // namespace outpost::onnx
