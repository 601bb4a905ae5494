// Windows: a constant Pad in front of Conv, AveragePool or MaxPool becomes the window's own padding; the mean over all
// spatial axes is GlobalAveragePool.
#include <algorithm>
#include <limits>

#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

struct Padding {
  Value* x;
  std::vector<int64_t> spatial;  // begins, then ends
  double value;
};

// A Pad that nobody else sees, of spatial axes only, outwards.
std::optional<Padding> padding_of(const Value* v) {
  Node* n = producer_if(v, "Pad");
  if (!n || n->attributes.string("mode", "constant") != "constant" || !v->type.ranked || n->input(3)) return std::nullopt;
  const int rank = v->type.rank();
  const auto pads = integers_of(n->input(1));
  if (!pads || rank < 3 || static_cast<int>(pads->size()) != 2 * rank) return std::nullopt;
  Padding p{n->input(0), {}, 0};
  if (n->input(2)) {
    const auto value = scalar_of(n->input(2));
    if (!value) return std::nullopt;
    p.value = *value;
  }
  for (int i = 0; i < 2 * rank; ++i) {
    const int64_t pad = (*pads)[static_cast<size_t>(i)];
    if (i % rank < 2 ? pad != 0 : pad < 0) return std::nullopt;
    if (i % rank >= 2) p.spatial.push_back(pad);
  }
  return p;
}

bool explicit_padding(const Node& n) {
  const std::string_view mode = n.attributes.string("auto_pad", "NOTSET");
  return (mode == "NOTSET" || mode.empty() || mode == "VALID") && n.attributes.integer("ceil_mode", 0) == 0;
}

bool all_zero(const std::vector<int64_t>& pads) {
  return std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; });
}

// Both paddings; nothing where that is as wide as the kernel (pooling refuses it).
std::optional<std::vector<int64_t>> sum(const std::vector<int64_t>& own, const std::vector<int64_t>& more, const std::vector<int64_t>& kernel) {
  std::vector<int64_t> pads = more;
  for (size_t i = 0; i < pads.size(); ++i) {
    if (i < own.size()) pads[i] += own[i];
    if (!kernel.empty() && pads[i] >= kernel[i % kernel.size()]) return std::nullopt;
  }
  return pads;
}

Value* merge_pad(Builder& b, Node& n) {
  const bool pool = is(&n, "AveragePool") || is(&n, "MaxPool");
  if ((!pool && !is(&n, "Conv")) || !explicit_padding(n)) return nullptr;
  const auto p = padding_of(n.input(0));
  if (!p) return nullptr;
  const std::vector<int64_t> own = n.attributes.string("auto_pad", "NOTSET") == "VALID" ? std::vector<int64_t>() : n.attributes.integers("pads");
  Attributes attributes = n.attributes;
  if (is(&n, "MaxPool")) {
    const bool lowest = p->value == -std::numeric_limits<double>::infinity() || p->value <= std::numeric_limits<float>::lowest();
    for (int64_t d : n.attributes.integers("dilations"))
      if (d != 1) return nullptr;
    const bool positive = p->value == 0 && is(p->x->producer(), "Relu");  // a window has at least one element that is real
    if (n.outputs().size() > 1 || (!lowest && !positive) || !is_floating(p->x)) return nullptr;
  } else if (p->value != 0) {
    return nullptr;
  } else if (is(&n, "AveragePool")) {
    if (!all_zero(own) && !n.attributes.integer("count_include_pad", 0)) return nullptr;
    attributes.set("count_include_pad", int64_t{1});
  }
  const auto pads = sum(own, p->spatial, pool ? n.attributes.integers("kernel_shape") : std::vector<int64_t>());
  if (!pads) return nullptr;
  attributes.erase("auto_pad");
  attributes.set("pads", *pads);
  std::vector<Value*> inputs = n.inputs();
  inputs[0] = p->x;
  return b.emit(n.op, inputs, attributes);
}

Value* global_average(Builder& b, Node& n) {
  if (!is(&n, "ReduceMean") || !is_floating(n.input(0)) || !n.input(0)->type.ranked) return nullptr;
  const int rank = n.input(0)->type.rank();
  auto axes = integers_of(n.input(1));
  if (!axes || rank < 4 || static_cast<int>(axes->size()) != rank - 2) return nullptr;
  for (int64_t& axis : *axes) axis += axis < 0 ? rank : 0;
  std::sort(axes->begin(), axes->end());
  for (int i = 2; i < rank; ++i)
    if ((*axes)[static_cast<size_t>(i - 2)] != i) return nullptr;
  Value* y = b.emit("GlobalAveragePool", {n.input(0)});
  return n.attributes.integer("keepdims", 1) ? y : b.emit("Squeeze", {y, b.integers(*axes)});
}

}  // namespace

int merge_pads(Graph& graph) {
  return rewrite_nodes(graph, [](Builder& b, Node& n) -> Value* {
    if (Value* v = merge_pad(b, n)) return v;
    return global_average(b, n);
  });
}

}  // namespace outpost
