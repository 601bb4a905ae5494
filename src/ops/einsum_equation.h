// The equation of an Einsum: "…ij,jk->…ik" as labels per operand. Source: ONNX Einsum-28, numpy.einsum.
#pragma once
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace outpost {

// Labels are 0..51 for A..Z, a..z; `dots` stands for the axes an operand does not name. Once ranks are known, dots
// become labels 52 and up, aligned at the right.
struct Equation {
  static constexpr int dots = -1, first_dotted = 52, most_labels = 64;
  using Labels = std::vector<int>;
  std::vector<Labels> inputs;
  Labels output;

  // Throws Error(invalid_model) naming the node.
  static Equation parse(const Node& node, std::string_view text);
  // Replaces dots for operands of these ranks.
  Equation with_ranks(const Node& node, std::span<const int> ranks) const;
};

std::string to_text(const Equation::Labels&);  // the inverse, for emitting equations; dots as "..."

}  // namespace outpost
