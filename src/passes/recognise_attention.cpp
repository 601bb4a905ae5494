// Scaled dot-product attention that exporters wrote out in parts becomes Attention:
//   MatMul(Softmax(scores), v), scores = MatMul(q, k^T) scaled, capped, masked in whatever order they were.
// Queries' and keys' own scale factors go into `scale`; masks are sums, Where with a constant, or both; heads that were
// repeated for grouped queries are not repeated. Then what only moves heads about goes too: where q, k, v come from
// (batch, row, head * size) and y returns to it, Attention reads and writes that itself.
//
// A row of which every score is -infinity gives zeros, where the parts gave NaN.
#include <cmath>

#include "ops/build.h"
#include "passes/match.h"
#include "passes/passes.h"

namespace outpost {
namespace {

using namespace match;
using build::transpose;

bool has_perm(const Node* n, std::vector<int64_t> perm) { return is(n, "Transpose") && n->attributes.integers("perm") == perm; }
bool rank_is(const Value* v, int rank) { return v && v->type.ranked && v->type.rank() == rank; }
Dim dim(const Value* v, int axis) { return v->type.dims[static_cast<size_t>(axis)]; }

// x for x * c and x / c, the factor multiplied into `scale`; x itself otherwise.
Value* unscaled(Value* v, double& scale) {
  while (Node* n = v->producer()) {
    if (!is(n, "Mul") && !is(n, "Div")) break;
    const int constant = scalar_of(n->input(1)) ? 1 : 0;
    const auto c = scalar_of(n->input(constant));
    Value* x = n->input(1 - constant);
    if (!c || (is(n, "Div") && (constant == 0 || *c == 0)) || !same_shape(x, v) || !used_once(v)) break;
    scale *= is(n, "Div") ? 1 / *c : *c;
    v = x;
  }
  return v;
}

struct Mask {
  Value* value;  // boolean: true is seen; or a float that is added
  bool inverted = false;
  std::optional<double> fill;  // the score where a condition hides a key; none: `value` is added
};

struct Scores {
  Value *q = nullptr, *k = nullptr;  // k transposed: (batch, head, size, key)
  double scale = 1, cap = 0;
  std::vector<Mask> masks;  // outermost first
};

// Does v come from a product by way of scalings, masks and caps?
Node* product_behind(Value* v, int depth = 0) {
  Node* n = v ? v->producer() : nullptr;
  if (!n || !n->domain.empty() || depth > 8 || !rank_is(v, 4)) return nullptr;
  if (n->op == "MatMul") return n;
  if (n->op == "Mul" || n->op == "Div" || n->op == "Tanh") {
    Node* a = product_behind(n->input(0), depth + 1);
    return a || n->op != "Mul" ? a : product_behind(n->input(1), depth + 1);
  }
  if (n->op != "Add" && n->op != "Where") return nullptr;
  for (int i = n->op == "Add" ? 0 : 1; i < (n->op == "Add" ? 2 : 3); ++i)
    if (Node* found = product_behind(n->input(i), depth + 1)) return found;
  return nullptr;
}

// Peels what was done to the scores, from the outside in.
bool peel(Value* v, Scores& s) {
  bool inside_scale = false;
  for (;;) {
    if (!used_once(v)) return false;
    if (Value* x = unscaled(v, s.scale); x != v) {
      inside_scale = true;
      v = x;
      continue;
    }
    Node* n = v->producer();
    if (is(n, "MatMul")) {
      s.q = n->input(0), s.k = n->input(1);
      return rank_is(s.q, 4) && rank_is(s.k, 4);
    }
    if (is(n, "Tanh") && s.cap == 0 && s.scale > 0) {  // c tanh(f x) = c tanh(f c x / c)
      s.cap = s.scale;
      v = unscaled(n->input(0), s.scale);
      if (std::abs(s.scale - 1) < 1e-6) s.scale = 1;
      continue;
    }
    if (inside_scale || s.cap > 0) return false;  // a mask that would be scaled or capped
    if (is(n, "Add")) {
      const int side = product_behind(n->input(0)) ? 0 : 1;
      if (product_behind(n->input(1 - side))) return false;
      s.masks.push_back({n->input(1 - side), false, std::nullopt});
      v = n->input(side);
      continue;
    }
    if (is(n, "Where")) {
      const int side = product_behind(n->input(1)) ? 1 : 2;
      const auto fill = scalar_of(n->input(3 - side));
      // Where replaces a score, a mask is added to it: the same where the fill is so large that the sum rounds to it, so
      // that a row which sees no key keeps its equal weights.
      const bool absorbs = fill && (std::isinf(*fill) || (*fill <= -1e9 && v->type.dtype != DType::f16));
      if (!absorbs || *fill > 0) return false;
      s.masks.push_back({n->input(0), side == 2, fill});
      v = n->input(side);
      continue;
    }
    return false;
  }
}

bool may_repeat(Dim mask, Dim full) { return (mask.known() && mask.size == 1) || mask == full || !mask.known() || !full.known(); }

// Can Attention take it? `full`: the scores' dims.
bool fits(const Mask& m, const Dims& full, DType dtype) {
  const Type& t = m.value->type;
  if (!t.ranked || t.rank() > 4 || t.dtype != (m.fill ? DType::boolean : dtype)) return false;
  for (int i = 1; i <= t.rank(); ++i)
    if (!may_repeat(t.dims[static_cast<size_t>(t.rank() - i)], full[full.size() - static_cast<size_t>(i)])) return false;
  return true;
}

Value* added(Builder& b, const Mask& m, const Value* scores) {
  if (!m.fill) return m.value;
  Value *zero = b.scalar(scores->type.dtype, 0), *out = b.scalar(scores->type.dtype, *m.fill);
  return b.emit("Where", m.inverted ? std::vector<Value*>{m.value, out, zero} : std::vector<Value*>{m.value, zero, out});
}

// The size of an axis as a 1-D value, read where it comes from: so that no step of the way has to be kept for its shape,
// and all layers ask the same question.
Value* size_of(Builder& b, Value* v, int axis) {
  const Dim d = dim(v, axis);
  if (d.known()) return b.integers({d.size});
  for (bool moved = true; moved && v->producer();) {
    moved = false;
    const std::vector<Value*> inputs = v->producer()->inputs();
    for (Value* x : inputs)
      for (int i = 0; x && !moved && x->type.ranked && i < x->type.rank(); ++i)
        if (dim(x, i) == d) v = x, axis = i, moved = true;
  }
  return build::dims(b, v, axis, axis + 1);
}

// All masks as one value to add, or a boolean one; null: none. Attention takes a short last axis as hidden keys: one that
// is not the keys' for certain is expanded to them.
Value* joined(Builder& b, const std::vector<Mask>& masks, Value* q, Value* k) {
  if (masks.empty()) return nullptr;
  Value* all = nullptr;
  if (masks.size() == 1 && masks[0].fill && std::isinf(*masks[0].fill)) {
    all = masks[0].inverted ? b.emit("Not", {masks[0].value}) : masks[0].value;
  } else {
    for (const Mask& m : masks) all = all ? b.add(all, added(b, m, q)) : added(b, m, q);
  }
  if (rank_is(all, 0) || (all->type.ranked && all->type.dims.back() == dim(k, 2))) return all;
  return b.emit("Expand", {all, size_of(b, k, 2)});
}

// x for heads of x repeated: Reshape(Expand(Unsqueeze(x, 2))), as far as the types show it.
Value* unrepeated(Value* v) {
  Node* reshape = v->producer();
  if (!is(reshape, "Reshape")) return v;
  Node* expand = producer_if(reshape->input(0), "Expand");
  Node* unsqueeze = expand ? producer_if(expand->input(0), "Unsqueeze") : nullptr;
  if (!unsqueeze || !rank_is(unsqueeze->input(0), 4) || !rank_is(expand->output(0), 5) || !rank_is(v, 4)) return v;
  const auto axes = integers_of(unsqueeze->input(1));
  Value* x = unsqueeze->input(0);
  const Value* wide = expand->output(0);
  if (!axes || *axes != std::vector<int64_t>{2}) return v;
  const bool heads = dim(x, 1).known() && dim(wide, 1) == dim(x, 1) && dim(wide, 2).known() && dim(v, 1).known() &&
                     dim(v, 1).size == dim(x, 1).size * dim(wide, 2).size;
  const bool rest = dim(wide, 0) == dim(x, 0) && dim(v, 0) == dim(x, 0) && dim(wide, 3) == dim(x, 2) && dim(v, 2) == dim(x, 2) &&
                    dim(v, 3) == dim(x, 3);
  return heads && rest ? x : v;
}

// Keys as (batch, head, key, size): the value, or what to transpose by which permutation.
struct Keys {
  Value* value;
  std::vector<int64_t> perm;
  Dim dim(int axis) const { return perm.empty() ? outpost::dim(value, axis) : outpost::dim(value, static_cast<int>(perm[static_cast<size_t>(axis)])); }
};

Keys keys_of(Value* k, double& scale) {
  k = unscaled(k, scale);
  const Node* turned = k->producer();
  if (has_perm(turned, {0, 1, 3, 2})) return {unscaled(turned->input(0), scale), {}};
  if (has_perm(turned, {0, 2, 3, 1})) return {turned->input(0), {0, 2, 1, 3}};
  return {k, {0, 1, 3, 2}};
}

// Queries, keys and values agree as Attention wants them.
bool agree(const Value* q, const Keys& k, const Value* v) {
  if (!rank_is(q, 4) || !rank_is(k.value, 4) || !rank_is(v, 4)) return false;
  if (q->type.dtype != k.value->type.dtype || q->type.dtype != v->type.dtype || !is_floating(q)) return false;
  const Dim heads = dim(q, 1), shared = k.dim(1);
  const bool grouped = heads.known() && shared.known() && shared.size > 0 && heads.size % shared.size == 0;
  return dim(q, 0) == k.dim(0) && dim(v, 0) == k.dim(0) && (grouped || heads == shared) && dim(v, 1) == shared;
}

// The probabilities' softmax, perhaps with the NaN of rows that see nothing put to zero.
Node* softmax_behind(Value* p) {
  Node* n = p->producer();
  if (is(n, "Where") && used_once(p)) {
    const auto zero = scalar_of(n->input(1));
    Node* test = producer_if(n->input(0), "IsNaN");
    if (!zero || *zero != 0 || !test || test->input(0) != n->input(2) || n->input(2)->uses().size() != 2) return nullptr;
    p = n->input(2), n = p->producer();
  } else if (!used_once(p)) {
    return nullptr;
  }
  if (!is(n, "Softmax") || !rank_is(p, 4)) return nullptr;
  const int64_t axis = n->attributes.integer("axis", -1);
  return axis == -1 || axis == 3 ? n : nullptr;
}

Value* attention(Builder& b, Node& n) {
  if (!is(&n, "MatMul") || !rank_is(n.output(0), 4)) return nullptr;
  Node* softmax = softmax_behind(n.input(0));
  Scores s;
  if (!softmax || !peel(softmax->input(0), s)) return nullptr;
  s.q = unscaled(s.q, s.scale);
  Keys k = keys_of(s.k, s.scale);
  Value* v = n.input(1);
  if (k.perm.empty()) {
    Value *one = unrepeated(k.value), *other = unrepeated(v);
    if (one != k.value && other != v) k.value = one, v = other;
  }
  if (!agree(s.q, k, v)) return nullptr;
  const Dims full{dim(s.q, 0), dim(s.q, 1), dim(s.q, 2), k.dim(2)};
  for (const Mask& m : s.masks)
    if (!fits(m, full, s.q->type.dtype)) return nullptr;
  if (!k.perm.empty()) k.value = transpose(b, k.value, k.perm);
  Attributes a{{"scale", static_cast<float>(s.scale)}};
  if (s.cap > 0) a.set("softcap", static_cast<float>(s.cap));
  std::vector<Value*> inputs{s.q, k.value, v};
  if (Value* mask = joined(b, s.masks, s.q, k.value)) inputs.push_back(mask);
  return b.emit("Attention", std::move(inputs), std::move(a));
}

// x (batch, row, head * size) of which v is the heads: Transpose(Reshape(x)); null where it is not.
Value* rows_of(const Value* v) {
  const Node* t = v->producer();
  if (!has_perm(t, {0, 2, 1, 3})) return nullptr;
  const Node* r = t->input(0)->producer();
  if (!is(r, "Reshape") || !rank_is(r->input(0), 3)) return nullptr;
  const Value *x = r->input(0), *split = t->input(0);
  const bool kept = dim(split, 0) == dim(x, 0) && dim(split, 1) == dim(x, 1) && dim(split, 2).known() && dim(split, 3).known();
  return kept ? r->input(0) : nullptr;
}

// The same for v = RotaryEmbedding(heads): the embedding on rows takes its place.
struct Rows {
  Value* x = nullptr;
  const Node* rotary = nullptr;  // what is still to be done to x
};

Rows rows_behind(const Value* v) {
  const Node* n = producer_if(v, "RotaryEmbedding");
  if (!n) return {rows_of(v)};
  const bool plain = n->inputs().size() == 3 && rank_is(n->input(1), 3) && rank_is(n->input(2), 3);
  return plain ? Rows{rows_of(n->input(0)), n} : Rows{};
}

Value* emit_rows(Builder& b, const Rows& r, int64_t heads) {
  if (!r.rotary) return r.x;
  Attributes a = r.rotary->attributes;
  a.set("num_heads", heads);
  return b.emit("RotaryEmbedding", {r.x, r.rotary->input(1), r.rotary->input(2)}, std::move(a));
}

// The three parts of one projection, split by head: Gather i of Transpose(Reshape(x, [b, s, 3, h, d]), [2, 0, 3, 1, 4]).
Value* packed_rows(const Value* q, const Value* k, const Value* v) {
  const Value* parts[] = {q, k, v};
  Value* source = nullptr;
  for (int64_t i = 0; i < 3; ++i) {
    const Node* g = parts[i]->producer();
    if (!is(g, "Gather") || g->attributes.integer("axis", 0) != 0 || scalar_of(g->input(1)) != static_cast<double>(i)) return nullptr;
    if (g->input(1)->type.rank() != 0 || (source && source != g->input(0))) return nullptr;
    source = g->input(0);
  }
  const Node* t = source->producer();
  if (!has_perm(t, {2, 0, 3, 1, 4})) return nullptr;
  const Node* r = t->input(0)->producer();
  if (!is(r, "Reshape") || !rank_is(r->input(0), 3)) return nullptr;
  const Value *x = r->input(0), *split = t->input(0);
  const bool kept = dim(split, 0) == dim(x, 0) && dim(split, 1) == dim(x, 1) && dim(split, 2) == Dim(3) && dim(split, 3).known() && dim(split, 4).known();
  return kept ? r->input(0) : nullptr;
}

// Reshape(Transpose(Attention on heads)) to Attention on rows.
Value* on_rows(Builder& b, Node& n) {
  if (!is(&n, "Reshape") || !rank_is(n.output(0), 3)) return nullptr;
  Node* t = producer_if(n.input(0), "Transpose");
  Node* a = t && has_perm(t, {0, 2, 1, 3}) ? producer_if(t->input(0), "Attention") : nullptr;
  if (!a || a->outputs().size() != 1 || a->inputs().size() > 4 || !rank_is(a->input(0), 4)) return nullptr;
  const Value *q = a->input(0), *k = a->input(1), *v = a->input(2);
  const Dim heads = dim(q, 1), kv_heads = dim(k, 1);
  if (!heads.known() || !kv_heads.known() || !(dim(n.output(0), 0) == dim(q, 0)) || !(dim(n.output(0), 1) == dim(q, 2))) return nullptr;
  std::vector<Value*> rows;
  if (Value* x = packed_rows(q, k, v)) {
    const int64_t width = heads.size * dim(q, 3).size;
    rows = b.emit_node("Split", {x, b.integers({width, width, width})}, {{"axis", int64_t{-1}}}, 3)->outputs();
  } else {
    const Rows parts[] = {rows_behind(q), rows_behind(k), rows_behind(v)};
    if (!parts[0].x || !parts[1].x || !parts[2].x) return nullptr;
    for (int i = 0; i < 3; ++i) rows.push_back(emit_rows(b, parts[i], (i == 0 ? heads : kv_heads).size));
  }
  if (a->input(3)) rows.push_back(a->input(3));
  Attributes attributes = a->attributes;
  attributes.set("q_num_heads", heads.size);
  attributes.set("kv_num_heads", kv_heads.size);
  return b.emit("Attention", std::move(rows), std::move(attributes));
}

}  // namespace

int recognise_attention(Graph& graph) {
  const int changes = rewrite_nodes(graph, attention);
  return changes + rewrite_nodes(graph, on_rows);
}

}  // namespace outpost
