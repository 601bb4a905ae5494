// com.microsoft MultiHeadAttention: attention whose inputs may be packed (rank 5), carry a bias, or be a cache already
// (rank 4 key and value); integer padding masks, an additive bias, past and present.
#include <algorithm>
#include <cmath>

#include "ops/attention/cache.h"
#include "ops/carve.h"
#include "ops/microsoft/padding_mask.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { q_input, k_input, v_input, bias_input, mask_input, score_input, past_k_input, past_v_input, past_length_input };

// Sizes as far as known, in inference; all of them, at run time.
template <class D>
struct Sizes {
  D batch{}, queries{}, fresh{}, past{}, head{}, value{};
  bool kv_is_cache = false;  // key and value are (batch, head, row, size)
};

template <class Context>
auto dim_of(const Context& c, int i, int axis) {
  if constexpr (requires { c.dims(i); }) return c.dims(i)[static_cast<size_t>(axis)];
  else return c.in(i).dim(axis);
}
template <class Context>
int rank_of(const Context& c, int i) {
  if constexpr (requires { c.dims(i); }) return c.rank(i);
  else return c.in(i).rank();
}
int64_t split(int64_t columns, int64_t heads) { return columns / heads; }
Dim split(Dim columns, int64_t heads) { return columns.known() ? Dim(columns.size / heads) : Dim(); }

// D is int64_t or Dim; inputs must have known ranks.
template <class D, class Context>
Sizes<D> sizes(const Context& c, int64_t heads) {
  Sizes<D> s;
  s.batch = dim_of(c, q_input, 0);
  s.queries = dim_of(c, q_input, 1);
  s.past = c.has(past_k_input) ? D(dim_of(c, past_k_input, 2)) : D(0);
  const int q_rank = rank_of(c, q_input), k_rank = c.has(k_input) ? rank_of(c, k_input) : 0;
  s.head = q_rank == 5 ? D(dim_of(c, q_input, 4)) : split(D(dim_of(c, q_input, 2)), heads);
  s.kv_is_cache = k_rank == 4;
  s.fresh = q_rank == 5 || k_rank == 0 ? s.queries : D(dim_of(c, k_input, s.kv_is_cache ? 2 : 1));
  s.value = q_rank == 5 || k_rank == 5 || !c.has(v_input) ? s.head
            : s.kv_is_cache ? D(dim_of(c, v_input, 3)) : split(D(dim_of(c, v_input, 2)), heads);
  return s;
}

int64_t heads_of(const Attributes& a) { return a.integer("num_heads", 0); }

void infer(InferContext& c) {
  const int64_t heads = heads_of(c.attributes());
  c.require(heads > 0, "num_heads is ", heads, "; expected a positive number");
  c.require_dtype(q_input, {DType::f32, DType::f16, DType::bf16, DType::f64});
  for (int i : {k_input, v_input, bias_input, past_k_input, past_v_input}) c.require_same_dtype(q_input, i);
  for (int i = past_length_input; i < c.inputs(); ++i) c.require(!c.has(i), "input ", i, " (a shared cache) is not supported");
  c.require(c.has(past_k_input) == c.has(past_v_input), "past_key and past_value go together");
  if (!c.ranked(q_input) || (c.has(k_input) && !c.ranked(k_input)) || (c.has(v_input) && !c.ranked(v_input)) || (c.has(past_k_input) && !c.ranked(past_k_input)))
    return c.output(0, Type::tensor(c.dtype(q_input), Dims(3)));
  const int q_rank = c.rank(q_input), k_rank = c.has(k_input) ? c.rank(k_input) : 0, v_rank = c.has(v_input) ? c.rank(v_input) : 0;
  c.require((q_rank == 5 && k_rank == 0 && v_rank == 0) || (q_rank == 3 && ((k_rank == 5 && v_rank == 0) || (k_rank == v_rank && (k_rank == 3 || k_rank == 4)))),
            "query, key and value have ranks ", q_rank, ", ", k_rank, " and ", v_rank, "; expected 5; 3 and 5; 3, 3 and 3; or 3, 4 and 4");
  c.require(!c.has(past_k_input) || c.rank(past_k_input) == 4, "past_key has rank ", c.has(past_k_input) ? c.rank(past_k_input) : 0, "; expected 4");
  for (int i : {q_input, v_input})
    if (c.has(i) && c.rank(i) == 3 && c.dims(i)[2].known())
      c.require(c.dims(i)[2].size % heads == 0, "input ", i, " has ", c.dims(i)[2].size, " columns, not a multiple of ", heads, " heads");
  const auto s = sizes<Dim>(c, heads);
  auto expect = [&](int i, const Dims& expected) {
    if (!c.has(i) || !c.ranked(i)) return;
    c.require(c.rank(i) == static_cast<int>(expected.size()), "input ", i, " has rank ", c.rank(i), "; expected ", static_cast<int>(expected.size()));
    for (size_t a = 0; a < expected.size(); ++a) {
      const Dim d = c.dims(i)[a];
      c.require(!d.known() || !expected[a].known() || d.size == expected[a].size, "input ", i, " has ", d.size, " on axis ", a, "; expected ", expected[a].size);
    }
  };
  const Dim columns = Dim(heads) * s.head, values = Dim(heads) * s.value;
  if (q_rank == 5) expect(q_input, {s.batch, s.queries, heads, 3, s.head});
  if (k_rank == 5) expect(k_input, {s.batch, s.fresh, heads, 2, s.head});
  if (k_rank == 4) expect(k_input, {s.batch, heads, s.fresh, s.head}), expect(v_input, {s.batch, heads, s.fresh, s.value});
  if (k_rank == 3) expect(k_input, {s.batch, s.fresh, columns}), expect(v_input, {s.batch, s.fresh, values});
  expect(bias_input, {columns + columns + values});
  expect(past_k_input, {s.batch, heads, s.past, s.head});
  expect(past_v_input, {s.batch, heads, s.past, s.value});
  const Dim keys = s.past + s.fresh;
  microsoft::check_padding_mask(c, mask_input, s.batch, s.queries, keys);
  microsoft::check_score_bias(c, score_input, s.batch, heads, s.queries, keys);
  c.output(0, c.dtype(q_input), {s.batch, s.queries, values});
  c.output(1, c.dtype(q_input), {s.batch, heads, keys, s.head});
  c.output(2, c.dtype(q_input), {s.batch, heads, keys, s.value});
  c.output(3, c.dtype(q_input), {s.batch, heads, s.queries, keys});
}

AttentionOperand rows_of(const void* data, DType dtype, int64_t rows, int64_t heads, int64_t size) {
  return {data, dtype, rows * heads * size, size, heads * size};
}
AttentionOperand cache_of(const void* data, DType dtype, int64_t rows, int64_t heads, int64_t size) {
  return {data, dtype, heads * rows * size, rows * size, size};
}
// Part `part` of `parts` of (batch, row, head, parts, size).
AttentionOperand packed_of(const View& v, int part, int parts) {
  const int64_t size = v.dim(4), heads = v.dim(2);
  const auto* data = static_cast<const std::byte*>(v.data);
  return {data ? data + bytes_for(v.dtype, part * size) : nullptr, v.dtype, v.dim(1) * heads * parts * size, parts * size, heads * parts * size};
}

template <class Context>
Attend describe(const Context& c, const Attributes& a) {
  const int64_t heads = heads_of(a);
  const auto s = sizes<int64_t>(c, heads);
  const View& q = c.in(q_input);
  Attend t;
  t.batch = s.batch, t.heads = t.kv_heads = heads, t.queries = s.queries, t.keys = s.past + s.fresh, t.head_size = s.head, t.value_size = s.value;
  t.offset = s.past;
  if (q.rank() == 5) {
    t.q = packed_of(q, 0, 3), t.k = packed_of(q, 1, 3), t.v = packed_of(q, 2, 3);
  } else {
    const View& k = c.in(k_input);
    t.q = rows_of(q.data, q.dtype, s.queries, heads, s.head);
    if (k.rank() == 5) t.k = packed_of(k, 0, 2), t.v = packed_of(k, 1, 2);
    else if (s.kv_is_cache) t.k = cache_of(k.data, q.dtype, s.fresh, heads, s.head), t.v = cache_of(c.in(v_input).data, q.dtype, s.fresh, heads, s.value);
    else t.k = rows_of(k.data, q.dtype, s.fresh, heads, s.head), t.v = rows_of(c.in(v_input).data, q.dtype, s.fresh, heads, s.value);
  }
  t.y = rows_of(c.out(0).data, q.dtype, s.queries, heads, s.value);
  t.scale = a.real("scale", 0) != 0 ? a.real("scale", 0) : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, s.head)));
  if (a.integer("unidirectional", 0) != 0) t.right = 0;
  return t;
}

struct Room {
  void *q, *k, *v;               // with bias, (batch, row, head, size)
  void *joined_k, *joined_v;     // with the past
  float* mask;
  void* attend;
};

template <class Context>
Room lay_out(Carve& carve, const Context& c, Attend& t, bool wants_k, bool wants_v, int threads) {
  Room room{};
  const int64_t fresh = t.keys - t.offset;
  const bool biased = c.has(bias_input), cache_given = c.has(k_input) && c.in(k_input).rank() == 4;
  const bool joins = c.has(past_k_input);
  const DType d = t.q.dtype;
  auto take = [&](int64_t count) { return carve.take_bytes(bytes_for(d, count)); };
  if (biased) room.q = take(t.batch * t.queries * t.heads * t.head_size);
  if (biased && !cache_given) room.k = take(t.batch * fresh * t.heads * t.head_size), room.v = take(t.batch * fresh * t.heads * t.value_size);
  if (joins && !wants_k) room.joined_k = take(t.batch * t.keys * t.heads * t.head_size);
  if (joins && !wants_v) room.joined_v = take(t.batch * t.keys * t.heads * t.value_size);
  if (c.has(mask_input)) room.mask = carve.take<float>(microsoft::padding_mask_count(c.in(mask_input), t.batch, t.queries, t.keys));
  room.attend = carve.take_bytes(attend_scratch_bytes(t, threads));
  return room;
}

size_t scratch(const ScratchContext& c) {
  auto wants = [&](size_t i) { return i < c.outputs.size() && c.outputs[i]; };
  Attend t = describe(c, c.node.attributes);
  if (wants(3)) t.scores = &t;
  Carve carve;
  lay_out(carve, c, t, wants(1), wants(2), c.threads);
  return carve.bytes();
}

// from + bias[at, at + heads * size), as (batch, row, head, size).
AttentionOperand add_bias(const RunContext& c, const AttentionOperand& from, int64_t batch, int64_t rows, int64_t heads, int64_t size, int64_t at, void* to) {
  const void* bias = c.in(bias_input).data;
  c.parallel_ranges(batch * rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, heads * size)), [&](int64_t begin, int64_t end) {
    constexpr int64_t block = 64;
    double x[block], b[block];
    for (int64_t i = begin; i < end; ++i)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t first = 0; first < size; first += block) {
          const int64_t n = std::min(block, size - first);
          load(from.dtype, from.data, i / rows * from.batch + h * from.head + i % rows * from.row + first, n, DType::f64, x);
          load(from.dtype, bias, at + h * size + first, n, DType::f64, b);
          for (int64_t j = 0; j < n; ++j) x[j] += b[j];
          store(DType::f64, x, n, from.dtype, to, (i * heads + h) * size + first);
        }
  });
  return rows_of(to, from.dtype, rows, heads, size);
}

void run(RunContext& c) {
  Attend t = describe(c, c.attributes());
  t.scores = c.wants(3) ? c.out(3).data : nullptr;
  t.scores_dtype = t.q.dtype;
  t.scores_mode = 2;
  Carve carve(c.scratch());
  const Room room = lay_out(carve, c, t, c.wants(1), c.wants(2), c.threads());
  const int64_t fresh = t.keys - t.offset, columns = t.heads * t.head_size;
  if (c.has(bias_input)) {
    t.q = add_bias(c, t.q, t.batch, t.queries, t.heads, t.head_size, 0, room.q);
    if (room.k) {
      t.k = add_bias(c, t.k, t.batch, fresh, t.heads, t.head_size, columns, room.k);
      t.v = add_bias(c, t.v, t.batch, fresh, t.heads, t.value_size, 2 * columns, room.v);
    }
  }
  auto join = [&](int past, AttentionOperand& operand, int64_t size, int output, void* spare) {
    if (!c.has(past) && !c.wants(output)) return;
    void* to = c.wants(output) ? c.out(output).data : spare;
    join_cache(c, c.has(past) ? &c.in(past) : nullptr, operand, fresh, t.batch, t.heads, size, to);
    operand = cache_of(to, operand.dtype, t.keys, t.heads, size);
  };
  join(past_k_input, t.k, t.head_size, 1, room.joined_k);
  join(past_v_input, t.v, t.value_size, 2, room.joined_v);
  const float blank = c.attributes().real("mask_filter_value", -10000.0f);
  if (c.has(mask_input)) t.masks[0] = microsoft::write_padding_mask(c.in(mask_input), t.batch, t.queries, t.keys, blank, room.mask);
  if (c.has(score_input)) t.masks[1] = microsoft::score_bias(c.in(score_input));
  attend(c, t, room.attend);
}

Cost cost(const CostContext& c) {
  const Type &q = *c.in(q_input), *k = c.in(k_input);
  if (!q.is_static() || q.rank() < 3) return {};
  const double keys = k && k->is_static() && k->rank() >= 3 ? double(k->dims[k->rank() == 4 ? 2 : 1].size) : double(q.dims[1].size);
  return {4 * keys * c.count(q), 16 * c.count(q)};
}

}  // namespace

OUTPOST_DEFINE_OP(ms_MultiHeadAttention, .name = "MultiHeadAttention", .domain = "com.microsoft", .since = 1, .first = 1, .min_inputs = 1,
                  .max_inputs = 10, .min_outputs = 1, .max_outputs = 4, .doc = "multi-head attention", .infer = infer, .run = run, .cost = cost,
                  .scratch = scratch,
                  .cases = R"(num_heads=2 | f32[2,3,8] f32[2,5,8] f32[2,5,12] f32[28] i32[2]={5,3}
num_heads=2 unidirectional=1 | f32[1,3,2,3,4]
num_heads=2 | f32[2,3,8] f32[2,2,2,2,4] - - i32[2,4]={1,1,0,1,1,1,1,1} f32[1,2,3,4] f32[2,2,2,4] f32[2,2,2,4])");

}  // namespace outpost
