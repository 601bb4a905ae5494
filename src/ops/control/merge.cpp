// Merging, and the walk to a fixed point: every step only forgets, so it ends.
#include "ops/control/merge.h"

#include <algorithm>

namespace outpost {

Type merge_types(const Type& a, const Type& b) {
  if (a.kind == Type::Kind::none) return b;
  if (b.kind == Type::Kind::none) return a;
  if (a.kind != b.kind) {  // a value, where an optional of it may be
    if (a.kind == Type::Kind::optional) return a.element ? Type::optional(merge_types(*a.element, b)) : a;
    if (b.kind == Type::Kind::optional) return merge_types(b, a);
    return {};
  }
  Type t = a;
  if (a.element && b.element) t.element = std::make_shared<const Type>(merge_types(*a.element, *b.element));
  if (a.dtype != b.dtype) t.dtype = DType::undefined;
  t.ranked = a.ranked && b.ranked && a.rank() == b.rank();
  if (!t.ranked) t.dims.clear();
  for (int i = 0; i < t.rank(); ++i)
    if (!(t.dims[i] == b.dims[i])) t.dims[i] = Dim();
  return t;
}

bool same_type(const Type& a, const Type& b) {
  if (a.kind != b.kind || a.dtype != b.dtype || a.ranked != b.ranked || a.rank() != b.rank() || !a.element != !b.element) return false;
  if (a.element && !same_type(*a.element, *b.element)) return false;
  return std::equal(a.dims.begin(), a.dims.end(), b.dims.begin(), [](const Dim& x, const Dim& y) { return x.size == y.size && x.symbol == y.symbol; });
}

std::vector<Type> captured_types(const InferContext& c) {
  std::vector<Type> types;
  for (int i = c.node().arity(); i < c.inputs(); ++i) types.push_back(c.has(i) ? c.input(i) : Type());
  return types;
}

void append_captures(RunContext& ctx, std::vector<Datum>& inputs) {
  for (int i = ctx.node().arity(); i < ctx.inputs(); ++i) inputs.push_back(ctx.datum(i));
}

std::vector<Type> infer_iterations(const InferContext& c, const Graph& body, std::vector<Type>& initial, size_t first,
                                   FunctionRef<std::vector<Type>(std::span<const Type>)> inputs) {
  constexpr int patience = 3;  // then a dimension that still changes costs the whole shape
  for (int round = 0;; ++round) {
    std::vector<Type> outputs = c.subgraph(body, inputs(initial));
    bool stable = true;
    for (size_t i = 0; i < initial.size(); ++i) {
      Type merged = merge_types(initial[i], outputs[first + i]);
      if (same_type(merged, initial[i])) continue;
      stable = false;
      if (round >= patience && merged.is_tensor()) merged = Type::tensor(merged.dtype);
      if (round >= 2 * patience) merged = Type();
      initial[i] = std::move(merged);
    }
    if (stable || round > 3 * patience) return outputs;
  }
}

}  // namespace outpost
