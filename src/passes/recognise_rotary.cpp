// Rotary positions (Su et al. 2021) as transformers exports them, x of (batch, head, row, size):
//   x cos + rotated(x) sin, rotated(x) = Concat(-second half, first half)
// become RotaryEmbedding, whose caches hold half of cos and sin each: their halves must be equal, which shows where both
// come from Concat(angles, angles).
#include <algorithm>

#include "ops/build.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;

// Are the first and the second half of the last axis the same for certain?
bool halves_equal(const Value* v) {
  for (int depth = 0; depth < 12; ++depth) {
    const Node* n = v->producer();
    if (!n || !n->domain.empty() || !v->type.ranked) return false;
    if (n->op == "Concat") {
      const int64_t axis = n->attributes.integer("axis", 0);
      return n->inputs().size() == 2 && n->input(0) == n->input(1) && (axis == -1 || axis == v->type.rank() - 1);
    }
    if (n->op == "Unsqueeze") {
      const auto axes = integers_of(n->input(1));
      if (!axes) return false;
      for (int64_t a : *axes)
        if (a == -1 || a == v->type.rank() - 1) return false;
    } else if (n->op == "Mul") {
      if (!scalar_of(n->input(1)) || n->input(1)->type.rank() > 0) return false;
    } else if (n->op != "Cos" && n->op != "Sin" && n->op != "Cast") {
      return false;
    }
    v = n->input(0);
  }
  return false;
}

// Columns [begin, end) of the last axis?
bool cuts(const Node* n, int64_t begin, int64_t end, int64_t size) {
  const int rank = n->input(0)->type.rank();
  const auto first = integers_of(n->input(1)), last = integers_of(n->input(2)), axes = integers_of(n->input(3));
  if (!first || !last || !axes || first->size() != 1 || last->size() != 1 || axes->size() != 1) return false;
  if (n->input(4) && integers_of(n->input(4)) != std::vector<int64_t>{1}) return false;
  auto place = [&](int64_t i) { return std::min(i < 0 ? i + size : i, size); };
  return ((*axes)[0] == -1 || (*axes)[0] == rank - 1) && place((*first)[0]) == begin && place((*last)[0]) == end;
}

Value* cache_of(Builder& b, Value* v, int64_t half) { return build::squeeze(b, build::slice(b, v, -1, 0, half), 1); }

}  // namespace

int recognise_rotary(Graph& graph) {
  Capture x, cos, sin;
  NodeCapture first, second, split, joined;
  auto part = [&](NodeCapture& n) { return op("Slice", {x, any(), any(), any()}).more().as(n); };
  auto half = [&](int i) { return op("Split", {x}).more().output(i).as(split); };
  auto rotated = [&](Pattern low, Pattern high) { return op("Concat", {op("Neg", {std::move(high)}), std::move(low)}).as(joined); };
  const Pattern turned = one_of({rotated(part(first), part(second)), rotated(half(0), half(1))});
  return rewrite(graph, op("Add", {op("Mul", {x, cos}), op("Mul", {turned, sin})}), [&](Builder& b, Node&) -> Value* {
    if (!is_floating(x) || !x->type.ranked || x->type.rank() != 4 || !x->type.dims[3].known()) return nullptr;
    const int64_t size = x->type.dims[3].size, axis = joined->attributes.integer("axis", 0);
    if (size % 2 != 0 || (axis != -1 && axis != 3)) return nullptr;
    if (first.node && (!cuts(first, 0, size / 2, size) || !cuts(second, size / 2, size, size))) return nullptr;
    if (split.node) {
      const int64_t along = split->attributes.integer("axis", 0);
      const Type& t = split->output(0)->type;
      if ((along != -1 && along != 3) || !t.ranked || !(t.dims.back() == Dim(size / 2)) || split->outputs().size() != 2) return nullptr;
    }
    for (const Value* v : {cos.value, sin.value}) {
      const Type& t = v->type;
      if (!t.ranked || t.rank() != 4 || t.dtype != x->type.dtype || !(t.dims[1] == Dim(1)) || !(t.dims[3] == Dim(size))) return nullptr;
      if (!(t.dims[0] == x->type.dims[0]) || !(t.dims[2] == x->type.dims[2]) || !halves_equal(v)) return nullptr;
    }
    return b.emit("RotaryEmbedding", {x, cache_of(b, cos, size / 2), cache_of(b, sin, size / 2)});
  });
}

}  // namespace outpost
