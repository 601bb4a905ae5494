// Asks for bf16 products: sets compute="bf16" on the nodes whose sums are long enough to carry the rounding of their
// operands, and that the kernels have a faster way for. A wish, not a type: values between nodes stay f32, sums stay f32,
// and a machine without the instructions computes in f32.
#include <algorithm>

#include "passes/passes.h"

namespace outpost {

int compute_in_bf16(Graph& graph) {
  static constexpr std::pair<std::string_view, std::string_view> products[] = {
      {"", "MatMul"},           {"", "Gemm"},           {"", "Conv"},           {"", "Attention"},
      {"outpost", "Linear"},    {"outpost", "Conv"},    {"outpost", "FusedConv"}, {"outpost", "BlockedConv"},
      {"outpost", "Attention"}, {"com.microsoft", "FusedMatMul"}};
  int changes = 0;
  for (const auto& node : graph.nodes()) {
    for_each_subgraph(*node, [&](const std::string&, const std::shared_ptr<Graph>& g) { changes += compute_in_bf16(*g); });
    const bool product = std::any_of(std::begin(products), std::end(products),
                                     [&](const auto& p) { return p.first == node->domain && p.second == node->op; });
    if (!product || node->attributes.has("compute")) continue;
    node->attributes.set("compute", std::string("bf16"));
    ++changes;
  }
  return changes;
}

}  // namespace outpost
