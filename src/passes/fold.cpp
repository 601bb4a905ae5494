// Constant folding. A node whose inputs are all constant is run once. Its result is kept when it is small or not much
// larger than the constants it frees: a model must never grow by being opened (ConstantOfShape of 10^9 stays a node).
#include <algorithm>

#include "base/mapped_file.h"
#include "base/text.h"
#include "ops/op.h"
#include "passes/passes.h"
#include "runtime/evaluate.h"

namespace outpost {
namespace {

constexpr size_t small_bytes = 64 << 10;

bool foldable(const Node& node) {
  if (!node.def || !node.def->run || node.def->random || node.outputs().empty()) return false;
  if (node.arity() != static_cast<int>(node.inputs().size())) return false;
  bool body = false;
  for_each_subgraph(node, [&](const std::string&, const std::shared_ptr<Graph>&) { body = true; });
  if (body) return false;
  for (const Value* v : node.inputs())
    if (v && !v->is_constant()) return false;
  for (const Value* v : node.outputs())
    if (v && !v->type.is_tensor()) return false;
  return true;
}

size_t freed_bytes(const Node& node) {
  size_t bytes = 0;
  for (const Value* v : node.inputs())
    if (v && v->uses().size() == 1) bytes += v->stored().bytes();
  return bytes;
}

}  // namespace

namespace {

int fold(Graph& graph, bool (*wanted)(const Node&)) {
  int changes = 0;
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    if (!wanted(*node) || !foldable(*node)) continue;
    const size_t limit = std::max(small_bytes, 2 * freed_bytes(*node));
    std::vector<const Tensor*> inputs;
    for (const Value* v : node->inputs()) inputs.push_back(v ? &v->constant() : nullptr);
    std::vector<Tensor> results;
    try {
      results = evaluate(*node, inputs, limit);
    } catch (const Error&) {
      continue;  // too large, or wrong: then the run that reaches it says so
    }
    for (const Tensor* t : inputs)
      if (t) MappedFile::release_pages(t->raw(), t->bytes());
    for (size_t i = 0; i < results.size(); ++i)
      if (Value* v = node->output(static_cast<int>(i))) graph.replace_uses(v, graph.add_constant(std::move(results[i]), v->name));
    graph.erase(node);
    ++changes;
  }
  return changes;
}

bool is_dequantize(const Node& n) { return n.op == "DequantizeLinear"; }

}  // namespace

int fold_constants(Graph& graph) {
  return fold(graph, [](const Node& n) { return !is_dequantize(n); });
}

int fold_dequantised(Graph& graph) { return fold(graph, is_dequantize); }

}  // namespace outpost
