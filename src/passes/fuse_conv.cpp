// Conv, then a residual Add, then an activation, each used by the next alone, become outpost.FusedConv: the sum and the
// activation are taken while a tile of the product is in registers, so that y is written once and never read back.
// The residual must have y's shape for certain.
#include "ops/fused_activation.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

// A Conv or FusedConv whose output goes nowhere else and is not activated yet.
Node* open_convolution(const Value* v) {
  Node* n = producer_if(v, "Conv");
  if (!n) n = producer_if(v, "FusedConv", "outpost");
  return n && n->attributes.string("activation", "none") == "none" ? n : nullptr;
}

Value* with_activation(Builder& build, Node& n) {
  const auto activation = activation_attributes(n);
  Node* conv = activation ? open_convolution(n.input(0)) : nullptr;
  if (!conv) return nullptr;
  Attributes attributes = conv->attributes;
  for (const auto& [name, value] : *activation) attributes.set(name, value);
  return build.emit("FusedConv", conv->inputs(), attributes, "outpost");
}

Value* with_residual(Builder& build, Node& n) {
  if (!is(&n, "Add") && !(is(&n, "Sum") && n.inputs().size() == 2)) return nullptr;
  for (int i = 1; i >= 0; --i) {  // the second operand first: it is the longer path in most residual blocks
    Node* conv = open_convolution(n.input(i));
    if (!conv || conv->input(3) || !same_shape(n.input(0)->type, n.input(1)->type)) continue;
    return build.emit("FusedConv", {conv->input(0), conv->input(1), conv->input(2), n.input(1 - i)}, conv->attributes, "outpost");
  }
  return nullptr;
}

}  // namespace

int fuse_conv(Graph& graph) {
  int changes = rewrite_nodes(graph, with_residual);
  return changes + rewrite_nodes(graph, with_activation);
}

}  // namespace outpost
