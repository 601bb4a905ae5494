// outpost.PackedAttention: Attention on queries, keys and values that lie side by side in one (batch, row,
// (heads + 2 kv_heads) size), as one wide projection gives them; y (batch, row, heads * size). Nothing is split or
// transposed: attention reads its heads by their strides. Inputs: packed, mask (as Attention's). Attributes as
// Attention's: q_num_heads, kv_num_heads, scale, softcap, is_causal. Made by passes/pack_attention.cpp.
#include <algorithm>
#include <cmath>

#include "ops/attention/attend.h"
#include "ops/build.h"
#include "ops/op.h"

namespace outpost {
namespace {

struct Heads {
  int64_t q, kv;
  int64_t all() const { return q + 2 * kv; }
};

Heads heads_of(const Attributes& a) { return {a.integer("q_num_heads", 0), a.integer("kv_num_heads", 0)}; }

void infer(InferContext& c) {
  c.require_inputs(1, 2);
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  const Heads h = heads_of(c.attributes());
  constexpr int64_t most_heads = 1 << 20;
  c.require(h.q > 0 && h.kv > 0 && h.q <= most_heads && h.kv <= most_heads && h.q % h.kv == 0, "q_num_heads is ", h.q, ", kv_num_heads ", h.kv,
            "; expected positive numbers, the first a multiple of the second");
  c.require(c.attributes().real("softcap", 0) >= 0, "softcap is negative");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  c.require(x.size() == 3, "the input has rank ", x.size(), "; expected 3");
  c.require(!x[2].known() || x[2].size % h.all() == 0, "the input has ", x[2].known() ? x[2].size : 0, " columns, not a multiple of ", h.all(), " heads");
  if (c.has(1) && c.ranked(1)) {
    const Dims& m = c.dims(1);
    c.require(m.size() <= 4, "the mask has rank ", m.size(), "; expected at most 4");
    const Dim full[] = {x[1], x[1], h.q, x[0]};
    for (size_t i = 0; i < m.size(); ++i) {
      const Dim d = m[m.size() - 1 - i];
      const bool fits = !d.known() || !full[i].known() || d.size == full[i].size || (i > 0 && d.size == 1) || (i == 0 && d.size < full[i].size);
      c.require(fits, "the mask has ", d.size, " on axis ", m.size() - 1 - i, "; expected ", full[i].size);
    }
  }
  c.output(0, c.dtype(0), {x[0], x[1], x[2].known() ? Dim(x[2].size / h.all() * h.q) : Dim()});
}

// The same for planning (addresses null) and running.
template <class Context>
Attend describe(const Attributes& a, const Context& c) {
  const View &x = c.in(0), &y = c.out(0);
  const Heads h = heads_of(a);
  Attend t;
  t.batch = x.dim(0), t.heads = h.q, t.kv_heads = h.kv;
  t.queries = t.keys = x.dim(1);
  const int64_t columns = x.dim(2), size = columns / h.all();
  t.head_size = t.value_size = size;
  const auto part = [&](int64_t first_head) {
    const auto* at = static_cast<const std::byte*>(x.data);
    return AttentionOperand{at ? at + bytes_for(x.dtype, first_head * size) : nullptr, x.dtype, t.queries * columns, size, columns};
  };
  t.q = part(0), t.k = part(h.q), t.v = part(h.q + h.kv);
  t.y = {y.data, y.dtype, t.queries * h.q * size, size, h.q * size};
  t.scale = a.has("scale") ? a.real("scale", 1) : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, size)));
  t.softcap = a.real("softcap", 0);
  if (a.integer("is_causal", 0) != 0) t.right = 0;
  if (c.has(1)) t.masks[0] = broadcast_mask(c.in(1), t.keys);
  return t;
}

size_t scratch(const ScratchContext& c) { return attend_scratch_bytes(describe(c.node.attributes, c), c.threads); }

void run(RunContext& c) { attend(c, describe(c.attributes(), c), c.scratch()); }

void expand(ExpandContext& c) {
  if (!c.in(0)->type.ranked || !c.in(0)->type.dims.back().known()) fail(ErrorCode::unsupported, c.node.label(), ": the width of the input is not known");
  const Heads h = heads_of(c.attributes());
  const int64_t size = c.in(0)->type.dims.back().size / h.all();
  Node* parts = c.emit_node("Split", {c.in(0), c.integers({h.q * size, h.kv * size, h.kv * size})}, {{"axis", int64_t{-1}}}, 3);
  std::vector<Value*> inputs = parts->outputs();
  if (c.has(1)) inputs.push_back(c.in(1));
  c.replace(0, c.emit("Attention", std::move(inputs), c.attributes()));
}

Cost cost(const CostContext& c) {
  const Type& x = *c.in(0);
  if (!x.is_static()) return {};
  const Heads h = heads_of(c.node.attributes);
  const double y = c.count(x) * double(h.q) / double(h.all());
  return {4 * double(x.dims[1].size) * y, 4 * (c.count(x) + y)};
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_PackedAttention, .name = "PackedAttention", .domain = "outpost", .min_inputs = 1, .max_inputs = 2,
                  .doc = "attention on queries, keys and values side by side", .infer = infer, .run = run, .expand = expand, .cost = cost,
                  .scratch = scratch,
                  .cases = R"(q_num_heads=2 kv_num_heads=2 | f32[2,5,24]
q_num_heads=4 kv_num_heads=2 is_causal=1 softcap=3.0 | f32[1,4,24] f32[4,4]
q_num_heads=1 kv_num_heads=1 scale=0.5 | f32[2,3,12] f32[2,1,1,3]
q_num_heads=2 kv_num_heads=1 | f32[1,0,8])");

}  // namespace outpost
