// com.microsoft GroupQueryAttention: causal attention of language models on a cache: rotary positions, several query heads
// a key head, a local window, sinks. seqlens_k holds the last position of each sequence: total length - 1. Past and
// present are buffers (batch, kv head, room, size) of which each sequence uses its own length.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/attention/cache.h"
#include "ops/attention/rotate.h"
#include "ops/carve.h"
#include "ops/microsoft/padding_mask.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input {
  q_input, k_input, v_input, past_k_input, past_v_input, last_input, total_input, cos_input, sin_input, positions_input, score_input, sink_input
};

struct Sizes {
  int64_t batch, queries, heads, kv_heads, size;
  bool packed;
};

template <class Context>
Sizes sizes(const Context& c, const Attributes& a) {
  const View& q = c.in(q_input);
  Sizes s{q.dim(0), q.dim(1), a.integer("num_heads", 1), a.integer("kv_num_heads", 1), 0, !c.has(k_input)};
  s.size = q.dim(2) / (s.packed ? s.heads + 2 * s.kv_heads : s.heads);
  return s;
}

void infer(InferContext& c) {
  c.require_inputs(7, 14);
  for (int i : {q_input, last_input, total_input}) c.input(i);  // must be there
  c.require_dtype(q_input, {DType::f32, DType::f16, DType::bf16});
  for (int i : {k_input, v_input, past_k_input, past_v_input, cos_input, sin_input}) c.require_same_dtype(q_input, i);
  for (int i : {last_input, total_input}) c.require_dtype(i, {DType::i32});
  c.require_dtype(positions_input, {DType::i64});
  for (int i = sink_input + 1; i < c.inputs(); ++i) c.require(!c.has(i), "input ", i, " (a quantised cache) is not supported");
  const Attributes& a = c.attributes();
  const int64_t heads = a.integer("num_heads", 0), kv_heads = a.integer("kv_num_heads", 0);
  c.require(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "num_heads is ", heads, " and kv_num_heads ", kv_heads, "; expected a positive multiple");
  c.require(c.has(k_input) == c.has(v_input), "key and value go together");
  c.require(c.has(past_k_input) == c.has(past_v_input), "past_key and past_value go together");
  const bool rotary = a.integer("do_rotary", 0) != 0;
  c.require(!rotary || (c.has(cos_input) && c.has(sin_input)), "do_rotary needs cos_cache and sin_cache");
  const int64_t output = a.integer("qk_output", 0);
  c.require(output >= 0 && output <= 2, "qk_output is ", output, "; expected 0..2");
  Dim batch, rows, size, past;
  if (c.ranked(q_input)) {
    c.require(c.rank(q_input) == 3, "the query has rank ", c.rank(q_input), "; expected 3");
    batch = c.dims(q_input)[0], rows = c.dims(q_input)[1];
    const int64_t parts = c.has(k_input) ? heads : heads + 2 * kv_heads;
    const Dim d = c.dims(q_input)[2];
    c.require(!d.known() || d.size % parts == 0, "the query has ", d.size, " columns, not a multiple of ", parts, " heads");
    if (d.known()) size = d.size / parts;
  }
  auto expect = [&](int i, const Dims& expected) {
    if (!c.has(i) || !c.ranked(i)) return;
    c.require(c.rank(i) == static_cast<int>(expected.size()), "input ", i, " has rank ", c.rank(i), "; expected ", static_cast<int>(expected.size()));
    for (size_t axis = 0; axis < expected.size(); ++axis) {
      const Dim d = c.dims(i)[axis];
      c.require(!d.known() || !expected[axis].known() || d.size == expected[axis].size, "input ", i, " has ", d.size, " on axis ", axis, "; expected ", expected[axis].size);
    }
  };
  for (int i : {k_input, v_input}) expect(i, {batch, rows, Dim(kv_heads) * size});
  if (c.has(past_k_input) && c.ranked(past_k_input) && c.rank(past_k_input) == 4) past = c.dims(past_k_input)[2];
  for (int i : {past_k_input, past_v_input}) expect(i, {batch, kv_heads, past, size});
  if (rotary)
    for (int i : {cos_input, sin_input}) {
      expect(i, {{}, {}});
      if (c.ranked(i) && c.dims(i)[1].known() && size.known())
        c.require(c.dims(i)[1].size * 2 <= size.size && c.dims(i)[1].size > 0, "input ", i, " has ", c.dims(i)[1].size, " columns; heads have ", size.size);
    }
  expect(positions_input, {batch, rows});
  expect(sink_input, {heads});
  if (c.has(last_input) && c.ranked(last_input)) {
    Dim n(1);
    for (Dim d : c.dims(last_input)) n = n * d;
    c.require(!n.known() || !batch.known() || n.size == batch.size, "seqlens_k has ", n.size, " values; expected ", batch.size);
  }
  std::vector<int64_t> total;
  Dim keys;
  if (c.integers(total_input, total) && total.size() == 1 && (!c.has(past_k_input) || past.known())) {
    c.require(total[0] >= 0, "total_sequence_length is ", total[0]);
    keys = std::max(total[0], c.has(past_k_input) ? past.size : 0);
  }
  c.output(0, c.dtype(q_input), {batch, rows, Dim(heads) * size});
  for (int i : {1, 2}) c.output(i, c.dtype(q_input), {batch, kv_heads, keys, size});
  c.output(3, c.dtype(q_input), {batch, heads, rows, {}});
}

// Where the parts of the (possibly packed) input lie.
struct Parts {
  AttentionOperand q, k, v;
};
Parts parts(const RunContext& c, const Sizes& s) {
  const View& q = c.in(q_input);
  auto operand = [&](const View& v, int64_t first, int64_t columns) {
    return AttentionOperand{static_cast<const std::byte*>(v.data) + bytes_for(v.dtype, first), v.dtype, s.queries * columns, s.size, columns};
  };
  const int64_t wide = s.heads * s.size, narrow = s.kv_heads * s.size;
  if (!s.packed) return {operand(q, 0, wide), operand(c.in(k_input), 0, narrow), operand(c.in(v_input), 0, narrow)};
  return {operand(q, 0, wide + 2 * narrow), operand(q, wide, wide + 2 * narrow), operand(q, wide + narrow, wide + 2 * narrow)};
}

// Each sequence's place in the cache.
struct Places {
  int64_t *past, *total;  // (batch)
  int64_t room;           // rows of present
};

Places places(RunContext& c, const Sizes& s) {
  const auto* last = c.in(last_input).as<int32_t>();
  c.require(c.in(last_input).count() == s.batch && c.in(total_input).count() == 1, "seqlens_k has ", c.in(last_input).count(), " values; expected ", s.batch);
  const int64_t longest = *c.in(total_input).as<int32_t>(), past_room = c.has(past_k_input) ? c.in(past_k_input).dim(2) : 0;
  auto* room = static_cast<int64_t*>(c.temporary(static_cast<size_t>(s.batch) * 2 * sizeof(int64_t) + 64));
  Places p{room, room + s.batch, std::max(longest, past_room)};
  const bool prompt = s.queries == longest;
  for (int64_t b = 0; b < s.batch; ++b) {
    p.total[b] = int64_t{last[b]} + 1;
    p.past[b] = prompt ? 0 : p.total[b] - s.queries;
    c.require(p.total[b] >= 0 && p.total[b] <= longest && p.past[b] >= 0 && p.past[b] <= past_room && p.past[b] + s.queries <= p.room, "seqlens_k[", b, "] is ",
              last[b], " for ", s.queries, " new rows, a past of ", past_room, " and a total of ", longest);
  }
  return p;
}

// What came before, then the new rows, turned for keys. Rows beyond stay zero.
void fill_cache(const RunContext& c, const Sizes& s, const Places& p, const View* past, const AttentionOperand& fresh, std::byte* to) {
  const size_t row = bytes_for(fresh.dtype, s.size);
  c.parallel(s.batch * s.kv_heads, [&](int64_t index) {
    const int64_t b = index / s.kv_heads, h = index % s.kv_heads;
    std::byte* out = to + row * static_cast<size_t>(index * p.room);
    const auto kept = row * static_cast<size_t>(p.past[b]), used = kept + row * static_cast<size_t>(s.queries);
    if (kept > 0) {
      const auto* from = static_cast<const std::byte*>(past->data) + row * static_cast<size_t>(index * past->dim(2));
      if (from != out) std::memcpy(out, from, kept);
    }
    for (int64_t r = 0; r < s.queries; ++r)
      std::memcpy(out + kept + row * static_cast<size_t>(r), static_cast<const std::byte*>(fresh.data) + bytes_for(fresh.dtype, b * fresh.batch + r * fresh.row + h * fresh.head), row);
    std::memset(out + used, 0, row * static_cast<size_t>(p.room) - used);
  });
}

void set_positions(RunContext& c, const Sizes& s, const Places& p, int64_t* positions) {
  const int64_t limit = std::min(c.in(cos_input).dim(0), c.in(sin_input).dim(0));
  for (int64_t i = 0; i < s.batch * s.queries; ++i) {
    positions[i] = c.has(positions_input) ? c.in(positions_input).as<int64_t>()[i] : p.past[i / s.queries] + i % s.queries;
    c.require(positions[i] >= 0 && positions[i] < limit, "position ", positions[i], " is outside the caches' 0..", limit - 1);
  }
}

AttentionOperand turn(const RunContext& c, const Sizes& s, const AttentionOperand& from, int64_t heads, const int64_t* positions, void* to) {
  const View& cos = c.in(cos_input);
  Rotation r;
  r.batch = s.batch, r.rows = s.queries, r.heads = heads, r.size = s.size, r.turned = 2 * cos.dim(1);
  r.interleaved = c.attributes().integer("rotary_interleaved", 0) != 0;
  r.x = from.data, r.y = to, r.dtype = from.dtype;
  r.x_batch = from.batch, r.x_row = from.row, r.x_head = from.head;
  r.y_head = s.size, r.y_row = heads * s.size, r.y_batch = s.queries * r.y_row;
  r.cos = cos.data, r.sin = c.in(sin_input).data, r.cache_dtype = cos.dtype;
  r.positions = positions;
  rotate(c, r);
  return {to, from.dtype, r.y_batch, r.y_head, r.y_row};
}

Attend describe(RunContext& c, const Sizes& s, const Places& p) {
  const Attributes& a = c.attributes();
  const View& y = c.out(0);
  Attend t;
  t.batch = s.batch, t.heads = s.heads, t.kv_heads = s.kv_heads, t.queries = s.queries, t.keys = p.room, t.head_size = t.value_size = s.size;
  t.y = {y.data, y.dtype, s.queries * s.heads * s.size, s.size, s.heads * s.size};
  t.scale = a.real("scale", 0) != 0 ? a.real("scale", 0) : 1 / std::sqrt(static_cast<double>(s.size));
  t.softcap = a.real("softcap", 0);
  t.offsets = p.past, t.valid_keys = p.total;
  t.right = 0;
  const int64_t window = a.integer("local_window_size", -1);  // keys seen, the own one included
  t.left = window < 0 ? -1 : std::max<int64_t>(0, window - 1);
  t.zero_sink = a.integer("smooth_softmax", 0) == 1;
  if (c.has(score_input)) t.masks[0] = microsoft::score_bias(c.in(score_input));
  return t;
}

void run(RunContext& c) {
  const Sizes s = sizes(c, c.attributes());
  const Places p = places(c, s);
  const DType dtype = c.in(q_input).dtype;
  for (int i : {1, 2})
    if (i < c.outputs() && c.node().output(i) && !c.out(i).defined()) c.allocate(i, {s.batch, s.kv_heads, p.room, s.size});
  if (c.outputs() > 3 && c.node().output(3) && !c.out(3).defined()) c.allocate(3, {s.batch, s.heads, s.queries, p.room});
  Attend t = describe(c, s, p);
  const bool rotary = c.attributes().integer("do_rotary", 0) != 0;
  if (c.wants(3)) t.scores = c.out(3).data, t.scores_dtype = dtype, t.scores_mode = c.attributes().integer("qk_output", 0) == 2 ? 3 : 2;

  struct Room {
    std::byte *k, *v;
    void *turned_q, *turned_k;
    int64_t* positions;
    float* sinks;
    void* attend;
  };
  auto lay_out = [&](Carve& carve) {
    const int64_t cache = s.batch * s.kv_heads * p.room * s.size, rows = s.batch * s.queries;
    auto spare = [&](int output) { return c.wants(output) ? nullptr : static_cast<std::byte*>(carve.take_bytes(bytes_for(dtype, cache))); };
    Room room{spare(1), spare(2), nullptr, nullptr, nullptr, nullptr, nullptr};
    if (rotary) {
      room.turned_q = carve.take_bytes(bytes_for(dtype, rows * s.heads * s.size));
      room.turned_k = carve.take_bytes(bytes_for(dtype, rows * s.kv_heads * s.size));
      room.positions = carve.take<int64_t>(rows);
    }
    if (c.has(sink_input)) room.sinks = carve.take<float>(s.heads);
    room.attend = carve.take_bytes(attend_scratch_bytes(t, c.threads()));
    return room;
  };
  Parts in = parts(c, s);
  t.q = in.q;
  const int64_t head_stride = p.room * s.size, batch_stride = s.kv_heads * head_stride;
  t.k = {nullptr, dtype, batch_stride, head_stride, s.size};
  t.v = t.k;
  Carve measure;
  lay_out(measure);
  Carve carve(c.temporary(measure.bytes()));
  const Room room = lay_out(carve);
  if (rotary) {
    set_positions(c, s, p, room.positions);
    t.q = turn(c, s, in.q, s.heads, room.positions, room.turned_q);
    in.k = turn(c, s, in.k, s.kv_heads, room.positions, room.turned_k);
  }
  auto fill = [&](int output, int past, const AttentionOperand& fresh, std::byte* spare) {
    auto* to = c.wants(output) ? c.out(output).as<std::byte>() : spare;
    fill_cache(c, s, p, c.has(past) ? &c.in(past) : nullptr, fresh, to);
    return to;
  };
  t.k.data = fill(1, past_k_input, in.k, room.k);
  t.v.data = fill(2, past_v_input, in.v, room.v);
  if (room.sinks) {
    load(c.in(sink_input).dtype, c.in(sink_input).data, 0, s.heads, DType::f32, room.sinks);
    t.sinks = room.sinks;
  }
  attend(c, t, room.attend);
}

Cost cost(const CostContext& c) {
  const Type &q = *c.in(q_input), *present = c.out(1);
  if (!q.is_static() || !present || !present->is_static()) return {};
  return {4 * double(present->dims[2].size) * c.count(q), 4 * (2 * c.count(q) + 2 * c.count(*present))};
}

}  // namespace

OUTPOST_DEFINE_OP(ms_GroupQueryAttention, .name = "GroupQueryAttention", .domain = "com.microsoft", .since = 1, .first = 1, .min_inputs = 1,
                  .max_inputs = 14, .min_outputs = 1, .max_outputs = 4, .doc = "causal attention with grouped heads on a cache", .infer = infer,
                  .run = run, .cost = cost,
                  .cases = R"(num_heads=4 kv_num_heads=2 | f32[2,3,16] f32[2,3,8] f32[2,3,8] - - i32[2]={2,2} i32[]={3}
num_heads=4 kv_num_heads=2 local_window_size=2 do_rotary=1 | f32[2,1,32] - - f32[2,2,6,4] f32[2,2,6,4] i32[2]={5,3} i32[]={6} f32[9,2] f32[9,2])");

}  // namespace outpost
