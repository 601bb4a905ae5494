// Common subexpressions: nodes with the same operator, attributes and inputs compute the same, so one is enough; constants
// with the same bytes are one constant. Random operators and nodes with bodies stay apart. Large constants are compared
// by address only: opening a model must not touch weights.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/hash.h"
#include "ops/op.h"
#include "passes/passes.h"

namespace outpost {
namespace {

constexpr size_t small_bytes = 4096;

bool same_tensor(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape()) || !a.contiguous() || !b.contiguous()) return false;
  if (a.raw() == b.raw()) return true;
  return a.dtype() != DType::string && a.bytes() <= small_bytes && (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

bool same_attribute(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&](const auto& x) {
    using T = std::decay_t<decltype(x)>;
    const T& y = std::get<T>(b);
    if constexpr (std::is_same_v<T, Tensor>) return same_tensor(x, y);
    else if constexpr (std::is_same_v<T, float>) return std::memcmp(&x, &y, sizeof x) == 0;
    else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<int64_t>> ||
                       std::is_same_v<T, std::vector<float>> || std::is_same_v<T, std::vector<std::string>>) return x == y;
    else return false;  // bodies, types, lists of tensors: rare, and not worth comparing
  }, a);
}

bool same_attributes(const Attributes& a, const Attributes& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const Attributes::Entry& e) {
    const Attribute* other = b.find(e.first);
    return other && same_attribute(e.second, *other);
  });
}

bool same_node(const Node& a, const Node& b) {
  if (a.def != b.def || a.inputs() != b.inputs() || a.outputs().size() != b.outputs().size()) return false;
  for (size_t i = 0; i < a.outputs().size(); ++i)
    if (!a.outputs()[i] != !b.outputs()[i]) return false;
  return same_attributes(a.attributes, b.attributes);
}

int merge_constants(Graph& graph) {
  std::unordered_multimap<uint64_t, Value*> seen;
  int changes = 0;
  for (const auto& owned : graph.values()) {
    Value* v = owned.get();
    if (!v->is_constant() || v->uses().empty() || !v->type.is_tensor()) continue;
    const Tensor& t = v->stored();
    Hash64 hash;
    hash.add(t.dtype()).add(t.count());
    if (t.contiguous() && t.dtype() != DType::string && t.bytes() <= small_bytes) hash.add(t.raw(), t.bytes());
    else hash.add(reinterpret_cast<uintptr_t>(t.raw()));
    const auto [first, last] = seen.equal_range(hash.value());
    const auto same = std::find_if(first, last, [&](const auto& e) { return same_tensor(e.second->stored(), t); });
    if (same == last) {
      seen.emplace(hash.value(), v);
      continue;
    }
    graph.replace_uses(v, same->second);
    ++changes;
  }
  return changes;
}

int merge_nodes(Graph& graph) {
  std::unordered_multimap<uint64_t, Node*> seen;
  int changes = 0;
  for (auto it = graph.nodes().begin(); it != graph.nodes().end();) {
    Node* n = (it++)->get();
    if (!n->def || n->def->random || n->inputs().empty() || n->arity() != static_cast<int>(n->inputs().size())) continue;
    Hash64 hash;
    hash.add(reinterpret_cast<uintptr_t>(n->def));
    for (const Value* v : n->inputs()) hash.add(reinterpret_cast<uintptr_t>(v));
    const auto [first, last] = seen.equal_range(hash.value());
    const auto same = std::find_if(first, last, [&](const auto& e) { return same_node(*e.second, *n); });
    if (same == last) {
      seen.emplace(hash.value(), n);
      continue;
    }
    for (size_t i = 0; i < n->outputs().size(); ++i)
      if (n->outputs()[i]) graph.replace_uses(n->outputs()[i], same->second->outputs()[i]);
    graph.erase(n);
    ++changes;
  }
  return changes;
}

}  // namespace

int merge_common(Graph& graph) {
  const int changes = merge_constants(graph);
  return changes + merge_nodes(graph);
}

}  // namespace outpost
