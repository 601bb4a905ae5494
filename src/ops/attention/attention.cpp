// Attention (ONNX 25): multi-head, grouped-query and multi-query attention on (batch, row, head * size) or
// (batch, head, row, size), with masks, causal and sliding windows, a cache inside (past) or outside (nonpad_kv_seqlen).
#include <algorithm>
#include <cmath>

#include "ops/attention/cache.h"
#include "ops/attention/expansion.h"
#include "ops/carve.h"
#include "ops/op.h"

namespace outpost {
namespace {

enum Input { q_input, k_input, v_input, mask_input, past_k_input, past_v_input, lengths_input };

constexpr int64_t unbounded = int64_t{1} << 40;  // positions are kept within this, so that sums cannot overflow

struct Heads {
  int64_t q, kv;
};

Heads heads(const Attributes& a, const View& q, const View& k) {
  if (q.rank() == 4) return {q.dim(1), k.dim(1)};
  return {a.integer("q_num_heads", 1), a.integer("kv_num_heads", 1)};
}

AttentionOperand operand(const View& v, int64_t heads) {
  if (v.rank() == 4) return {v.data, v.dtype, v.dim(1) * v.dim(2) * v.dim(3), v.dim(2) * v.dim(3), v.dim(3)};
  return {v.data, v.dtype, v.dim(1) * v.dim(2), v.dim(2) / heads, v.dim(2)};
}

AttentionOperand cache_operand(const void* data, DType dtype, int64_t heads, int64_t rows, int64_t size) {
  return {data, dtype, heads * rows * size, rows * size, size};
}

// Everything but what depends on memory. The same function serves planning (addresses null) and running.
template <class Context>
Attend describe(const Attributes& a, const Context& c, bool wants_scores) {
  const View &q = c.in(q_input), &k = c.in(k_input), &v = c.in(v_input), &y = c.out(0);
  const Heads h = heads(a, q, k);
  Attend t;
  t.batch = q.dim(0), t.heads = h.q, t.kv_heads = h.kv;
  t.q = operand(q, h.q), t.k = operand(k, h.kv), t.v = operand(v, h.kv), t.y = operand(y, h.q);
  t.queries = q.dim(q.rank() - 2);
  t.keys = k.dim(k.rank() - 2) + (c.has(past_k_input) ? c.in(past_k_input).dim(2) : 0);
  t.head_size = q.rank() == 4 ? q.dim(3) : q.dim(2) / h.q;
  t.value_size = v.rank() == 4 ? v.dim(3) : v.dim(2) / h.kv;
  if (c.has(past_k_input)) {
    t.k = cache_operand(nullptr, k.dtype, h.kv, t.keys, t.head_size);
    t.v = cache_operand(nullptr, v.dtype, h.kv, t.keys, t.value_size);
    t.offset = c.in(past_k_input).dim(2);
  }
  t.scale = a.has("scale") ? a.real("scale", 1) : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, t.head_size)));
  t.softcap = a.real("softcap", 0);
  const int64_t left = a.integer("left_window_size", -1), right = a.integer("right_window_size", -1);
  t.left = left < 0 ? -1 : std::min(left, unbounded);
  t.right = right < 0 ? -1 : std::min(right, unbounded);
  if (a.integer("is_causal", 0) != 0) t.right = 0;
  if (c.has(mask_input)) t.masks[0] = broadcast_mask(c.in(mask_input), t.keys);
  t.scores_mode = static_cast<int>(a.integer("qk_matmul_output_mode", 0));
  if (wants_scores) t.scores = &t;  // planning only asks whether
  return t;
}

struct Room {
  void *k, *v;       // joined caches that are not outputs
  int64_t* offsets;  // per batch
  void* attend;
};

Room lay_out(Carve& carve, const Attend& t, bool joins, bool wants_k, bool wants_v, int threads) {
  Room room{};
  if (joins && !wants_k) room.k = carve.take_bytes(bytes_for(t.k.dtype, t.batch * t.k.batch));
  if (joins && !wants_v) room.v = carve.take_bytes(bytes_for(t.v.dtype, t.batch * t.v.batch));
  room.offsets = carve.take<int64_t>(2 * t.batch);
  room.attend = carve.take_bytes(attend_scratch_bytes(t, threads));
  return room;
}

size_t scratch(const ScratchContext& c) {
  auto wants = [&](size_t i) { return i < c.outputs.size() && c.outputs[i]; };
  Carve carve;
  lay_out(carve, describe(c.node.attributes, c, wants(3)), c.has(past_k_input), wants(1), wants(2), c.threads);
  return carve.bytes();
}

void run(RunContext& c) {
  Attend t = describe(c.attributes(), c, c.wants(3));
  Carve carve(c.scratch());
  const Room room = lay_out(carve, t, c.has(past_k_input), c.wants(1), c.wants(2), c.threads());
  const View &k = c.in(k_input), &v = c.in(v_input);
  auto join = [&](int past, const View& fresh, AttentionOperand& operand_in_use, int64_t size, int output, void* spare) {
    if (!c.has(past) && !c.wants(output)) return;
    void* to = c.wants(output) ? c.out(output).data : spare;
    join_cache(c, c.has(past) ? &c.in(past) : nullptr, operand(fresh, t.kv_heads), fresh.dim(fresh.rank() - 2), t.batch, t.kv_heads, size, to);
    operand_in_use = cache_operand(to, fresh.dtype, t.kv_heads, t.keys, size);
  };
  join(past_k_input, k, t.k, t.head_size, 1, room.k);
  join(past_v_input, v, t.v, t.value_size, 2, room.v);
  if (c.has(lengths_input)) {
    const int64_t* lengths = c.in(lengths_input).as<int64_t>();
    for (int64_t b = 0; b < t.batch; ++b) {
      room.offsets[t.batch + b] = std::clamp<int64_t>(lengths[b], 0, t.keys);
      room.offsets[b] = std::clamp(lengths[b], -unbounded, unbounded) - t.queries;
    }
    t.offsets = room.offsets;
    t.valid_keys = room.offsets + t.batch;
  }
  t.scores = c.wants(3) ? c.out(3).data : nullptr;
  if (t.scores) t.scores_dtype = c.out(3).dtype;
  attend(c, t, room.attend);
}

void infer_attributes(InferContext& c) {
  const Attributes& a = c.attributes();
  for (const char* side : {"left_window_size", "right_window_size"})
    c.require(a.integer(side, -1) >= -1, side, " is ", a.integer(side, -1), "; expected -1 or more");
  const int64_t mode = a.integer("qk_matmul_output_mode", 0);
  c.require(mode >= 0 && mode <= 3, "qk_matmul_output_mode is ", mode, "; expected 0..3");
  c.require(a.real("softcap", 0) >= 0, "softcap is negative");
  c.require(c.has(past_k_input) == c.has(past_v_input), "past_key and past_value go together");
  c.require(!c.has(lengths_input) || !c.has(past_k_input), "nonpad_kv_seqlen cannot be combined with past_key");
}

// Of one of Q, K, V: (batch, heads, rows, size), as far as known.
struct Sides {
  Dim batch, heads, rows, size;
};

Sides sides(const InferContext& c, int i, const char* what, int64_t heads) {
  if (!c.ranked(i)) return {};
  const Dims& d = c.dims(i);
  c.require(c.rank(i) == 3 || c.rank(i) == 4, what, " has rank ", c.rank(i), "; expected 3 or 4");
  if (c.rank(i) == 4) return {d[0], d[1], d[2], d[3]};
  c.require(heads > 0, "q_num_heads and kv_num_heads are needed with inputs of rank 3");
  c.require(!d[2].known() || d[2].size % heads == 0, what, " has ", d[2].size, " columns, not a multiple of ", heads, " heads");
  return {d[0], heads, d[1], d[2].known() ? Dim(d[2].size / heads) : Dim()};
}

void require_equal(const InferContext& c, Dim a, Dim b, const char* what) {
  c.require(!a.known() || !b.known() || a.size == b.size, what, " differ: ", a.size, " and ", b.size);
}

void infer(InferContext& c) {
  c.require_inputs(3, 7);
  for (int i : {q_input, v_input}) c.require_dtype(i, {DType::f32, DType::f64, DType::f16, DType::bf16});
  c.require_same_dtype(q_input, k_input);
  c.require((c.dtype(q_input) == DType::f64) == (c.dtype(v_input) == DType::f64), "Q is ", c.dtype(q_input), " and V is ", c.dtype(v_input),
            "; f64 does not mix with narrower types");
  c.require_same_dtype(k_input, past_k_input);
  c.require_same_dtype(v_input, past_v_input);
  c.require_dtype(lengths_input, {DType::i64});
  infer_attributes(c);
  const Attributes& a = c.attributes();
  const Sides q = sides(c, q_input, "Q", a.integer("q_num_heads", 0)), k = sides(c, k_input, "K", a.integer("kv_num_heads", 0)),
              v = sides(c, v_input, "V", a.integer("kv_num_heads", 0));
  for (int i : {k_input, v_input})
    c.require(!c.ranked(q_input) || !c.ranked(i) || c.rank(i) == c.rank(q_input), "Q has rank ", c.rank(q_input), " and input ", i, " has rank ", c.rank(i));
  require_equal(c, q.batch, k.batch, "the batches of Q and K");
  require_equal(c, q.batch, v.batch, "the batches of Q and V");
  require_equal(c, k.heads, v.heads, "the heads of K and V");
  require_equal(c, k.rows, v.rows, "the lengths of K and V");
  require_equal(c, q.size, k.size, "the head sizes of Q and K");
  c.require(!q.heads.known() || !k.heads.known() || (k.heads.size > 0 && q.heads.size % k.heads.size == 0) || q.heads.size == k.heads.size, "Q has ",
            q.heads.size, " heads, not a multiple of K's ", k.heads.size);
  Dim past(0);
  for (int i : {past_k_input, past_v_input}) {
    if (!c.has(i)) continue;
    past = c.ranked(past_k_input) && c.rank(past_k_input) == 4 ? c.dims(past_k_input)[2] : Dim();
    if (!c.ranked(i)) continue;
    c.require(c.rank(i) == 4, "the past of input ", i, " has rank ", c.rank(i), "; expected 4");
    require_equal(c, c.dims(i)[0], q.batch, "the batches of the past and Q");
    require_equal(c, c.dims(i)[1], k.heads, "the heads of the past and K");
    require_equal(c, c.dims(i)[2], past, "the lengths of past_key and past_value");
    require_equal(c, c.dims(i)[3], i == past_k_input ? k.size : v.size, "the head sizes of the past and the new");
  }
  const Dim keys = past + k.rows;
  if (c.has(mask_input) && c.ranked(mask_input)) {
    c.require(c.rank(mask_input) <= 4, "attn_mask has rank ", c.rank(mask_input), "; expected at most 4");
    const Dim full[] = {keys, q.rows, q.heads, q.batch};
    for (int i = 0; i < c.rank(mask_input); ++i) {
      const Dim d = c.dims(mask_input)[static_cast<size_t>(c.rank(mask_input) - 1 - i)];
      if (!d.known() || !full[i].known() || d.size == full[i].size || (i > 0 && d.size == 1)) continue;
      c.require(i == 0 && d.size < full[0].size, "attn_mask has ", d.size, " on axis ", c.rank(mask_input) - 1 - i, "; expected ", full[i].size);
    }
  }
  if (c.has(lengths_input) && c.ranked(lengths_input)) {
    c.require(c.rank(lengths_input) == 1, "nonpad_kv_seqlen has rank ", c.rank(lengths_input), "; expected 1");
    require_equal(c, c.dims(lengths_input)[0], q.batch, "the lengths of nonpad_kv_seqlen and the batch");
  }
  if (!c.ranked(q_input)) c.output(0, c.dtype(q_input));
  else if (c.rank(q_input) == 4) c.output(0, c.dtype(q_input), {q.batch, q.heads, q.rows, v.size});
  else c.output(0, c.dtype(q_input), {q.batch, q.rows, q.heads * v.size});
  c.output(1, c.dtype(k_input), {k.batch, k.heads, keys, k.size});
  c.output(2, c.dtype(v_input), {v.batch, v.heads, keys, v.size});
  c.output(3, c.dtype(q_input), {q.batch, q.heads, q.rows, keys});
}

Cost cost(const CostContext& c) {
  const Type &q = *c.in(q_input), &k = *c.in(k_input), &v = *c.in(v_input);
  if (!q.is_static() || !k.is_static() || !v.is_static()) return {};
  const int64_t kv_heads = q.rank() == 4 ? k.dims[1].size : c.node.attributes.integer("kv_num_heads", 1);
  const double keys = double(k.dims[static_cast<size_t>(k.rank() - 2)].size);
  const double past = c.in(past_k_input) && c.in(past_k_input)->is_static() ? double(c.in(past_k_input)->dims[2].size) : 0;
  const double values = double(v.dims.back().size) / double(v.rank() == 3 ? std::max<int64_t>(1, kv_heads) : 1);
  const double rows = q.rank() == 4 ? c.count(q) / double(std::max<int64_t>(1, q.dims[3].size))
                                    : double(q.dims[0].size * q.dims[1].size * c.node.attributes.integer("q_num_heads", 1));
  return {2 * (keys + past) * (c.count(q) + rows * values), 4 * (2 * c.count(q) + c.count(k) + c.count(v))};
}

}  // namespace

OUTPOST_DEFINE_OP(Attention, .name = "Attention", .since = 25, .first = 23, .min_inputs = 3, .max_inputs = 7, .min_outputs = 1, .max_outputs = 4,
                  .doc = "scaled dot-product attention with masks, windows and caches", .infer = infer, .run = run,
                  .expand = expand_attention, .cost = cost, .scratch = scratch,
                  .cases = R"(is_causal=1 | f32[2,4,5,8] f32[2,2,5,8] f32[2,2,5,6]
q_num_heads=3 kv_num_heads=3 softcap=2.0 | f32[2,4,24] f32[2,6,24] f32[2,6,30] f32[4,6]
qk_matmul_output_mode=3 | f32[1,2,3,4] f32[1,2,2,4] f32[1,2,2,4] - f32[1,2,3,4] f32[1,2,3,4]
left_window_size=1 right_window_size=0 | f32[2,4,1,8] f32[2,2,5,8] f32[2,2,5,8] - - - i64[2]={3,5}
 | f32[1,2,3,4] f32[1,2,0,4] f32[1,2,0,4])");

}  // namespace outpost
