// LinearAttention (ONNX 27): a state S (d_k, d_v) per head instead of keys and values; four update rules:
//   S = exp(g) S  (gated);   v = beta (v - S^T k)  (delta);   S += k v^T;   y = scale q^T S
// Columns of S never meet, so threads take (batch, head, 32 columns) and walk all of time with that part of S in cache.
#include <algorithm>
#include <cmath>

#include "ops/carve.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { q_input, k_input, v_input, state_input, decay_input, beta_input };

constexpr int64_t lane = 32;  // columns of S that a tile holds

struct Sizes {
  int64_t batch, steps, q_heads, kv_heads, key, value, blocks;
};

template <class Context>
Sizes sizes(const Attributes& a, const Context& c) {
  Sizes s{c.in(q_input).dim(0), c.in(q_input).dim(1), a.integer("q_num_heads", 1), a.integer("kv_num_heads", 1), 0, 0, 0};
  s.key = c.in(q_input).dim(2) / s.q_heads;
  s.value = c.in(v_input).dim(2) / s.kv_heads;
  s.blocks = (s.value + lane - 1) / lane;
  return s;
}

void infer(InferContext& c) {
  c.require_inputs(3, 6);
  for (int i : {q_input, state_input}) c.require_dtype(i, {DType::f32, DType::f16, DType::bf16, DType::f64});
  for (int i : {k_input, v_input, decay_input, beta_input}) c.require_same_dtype(q_input, i);
  const Attributes& a = c.attributes();
  const int64_t q_heads = a.integer("q_num_heads", 0), kv_heads = a.integer("kv_num_heads", 0);
  c.require(q_heads > 0 && kv_heads > 0 && q_heads % kv_heads == 0, "q_num_heads is ", q_heads, " and kv_num_heads ", kv_heads,
            "; expected a positive multiple");
  const auto rule = a.string("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  c.require(gated || delta || rule == "linear", "update_rule is '", rule, "'; expected linear, gated, delta or gated_delta");
  c.require(c.has(decay_input) == gated, "update_rule '", rule, gated ? "' needs decay" : "' takes no decay");
  c.require(c.has(beta_input) == delta, "update_rule '", rule, delta ? "' needs beta" : "' takes no beta");

  Dim batch, steps, key, value;
  auto split = [&](int i, int64_t heads) {
    Dim d = c.dims(i)[2];
    c.require(!d.known() || d.size % heads == 0, "input ", i, " has ", d.size, " columns, not a multiple of ", heads, " heads");
    return d.known() ? Dim(d.size / heads) : Dim();
  };
  for (int i : {q_input, k_input, v_input, decay_input, beta_input}) {
    if (!c.has(i) || !c.ranked(i)) continue;
    c.require(c.rank(i) == 3, "input ", i, " has rank ", c.rank(i), "; expected 3");
    const Dims& d = c.dims(i);
    c.require(!batch.known() || !d[0].known() || d[0].size == batch.size, "input ", i, " has a batch of ", d[0].size, "; expected ", batch.size);
    c.require(!steps.known() || !d[1].known() || d[1].size == steps.size, "input ", i, " has ", d[1].size, " rows; expected ", steps.size);
    if (!batch.known()) batch = d[0];
    if (!steps.known()) steps = d[1];
    if (i == q_input) key = split(i, q_heads);
    if (i == v_input) value = split(i, kv_heads);
    if (i == k_input && key.known() && d[2].known())
      c.require(d[2].size == key.size * kv_heads, "key has ", d[2].size, " columns; expected ", key.size * kv_heads);
    if (i == decay_input && key.known() && d[2].known())
      c.require(d[2].size == kv_heads || d[2].size == kv_heads * key.size, "decay has ", d[2].size, " columns; expected ", kv_heads, " or ", kv_heads * key.size);
    if (i == beta_input && d[2].known()) c.require(d[2].size == kv_heads || d[2].size == 1, "beta has ", d[2].size, " columns; expected ", kv_heads, " or 1");
  }
  if (c.has(state_input) && c.ranked(state_input)) {
    const Dim expected[] = {batch, kv_heads, key, value};
    c.require(c.rank(state_input) == 4, "past_state has rank ", c.rank(state_input), "; expected 4");
    for (int i = 0; i < 4; ++i) {
      const Dim d = c.dims(state_input)[static_cast<size_t>(i)];
      c.require(!d.known() || !expected[i].known() || d.size == expected[i].size, "past_state has ", d.size, " on axis ", i, "; expected ", expected[i].size);
    }
  }
  c.output(0, c.dtype(q_input), {batch, steps, Dim(q_heads) * value});
  c.output(1, c.has(state_input) ? c.dtype(state_input) : c.dtype(q_input), {batch, kv_heads, key, value});
}

template <class T>
constexpr DType type_of = std::is_same_v<T, double> ? DType::f64 : DType::f32;

template <class T>
struct Room {
  T *state, *q, *k, *decay;  // (key, lane); one row each
};
template <class T>
Room<T> lay_out(Carve& carve, const Sizes& s) {
  return {carve.take<T>(s.key * lane), carve.take<T>(s.key), carve.take<T>(s.key), carve.take<T>(s.key)};
}

// One step: S, seen through `lane` columns of it, after k and v; the columns of v are replaced by what was added.
template <class T>
void update(T* state, const T* k, const T* decay, int64_t decay_step, const T* beta, T* v, int64_t key) {
  if (decay)
    for (int64_t i = 0; i < key; ++i)
      for (int64_t j = 0; j < lane; ++j) state[i * lane + j] *= decay[i * decay_step];
  if (beta) {
    T found[lane] = {};
    for (int64_t i = 0; i < key; ++i)
      for (int64_t j = 0; j < lane; ++j) found[j] += state[i * lane + j] * k[i];
    for (int64_t j = 0; j < lane; ++j) v[j] = *beta * (v[j] - found[j]);
  }
  for (int64_t i = 0; i < key; ++i)
    for (int64_t j = 0; j < lane; ++j) state[i * lane + j] += k[i] * v[j];
}

template <class T>
void walk(const RunContext& c, const Sizes& s, double scale, const Room<T>& room, int64_t tile) {
  const int64_t block = tile % s.blocks, head = tile / s.blocks % s.kv_heads, b = tile / s.blocks / s.kv_heads;
  const int64_t first = block * lane, width = std::min(lane, s.value - first), group = s.q_heads / s.kv_heads;
  const View &q = c.in(q_input), &k = c.in(k_input), &v = c.in(v_input);
  const int64_t state_at = (b * s.kv_heads + head) * s.key * s.value + first;
  std::fill_n(room.state, s.key * lane, T(0));
  if (c.has(state_input))
    for (int64_t i = 0; i < s.key; ++i) load(c.in(state_input).dtype, c.in(state_input).data, state_at + i * s.value, width, type_of<T>, room.state + i * lane);
  const int64_t decays = c.has(decay_input) ? c.in(decay_input).dim(2) / s.kv_heads : 0;
  for (int64_t t = 0; t < s.steps; ++t) {
    const int64_t row = b * s.steps + t;
    T values[lane] = {}, beta = 0;
    load(k.dtype, k.data, (row * s.kv_heads + head) * s.key, s.key, type_of<T>, room.k);
    load(v.dtype, v.data, (row * s.kv_heads + head) * s.value + first, width, type_of<T>, values);
    if (decays > 0) {
      load(k.dtype, c.in(decay_input).data, (row * s.kv_heads + head) * decays, decays, type_of<T>, room.decay);
      for (int64_t i = 0; i < decays; ++i) room.decay[i] = std::exp(room.decay[i]);
    }
    if (c.has(beta_input)) {
      const View& betas = c.in(beta_input);
      load(betas.dtype, betas.data, betas.dim(2) == 1 ? row : row * s.kv_heads + head, 1, type_of<T>, &beta);
    }
    update(room.state, room.k, decays > 0 ? room.decay : nullptr, decays == s.key ? 1 : 0, c.has(beta_input) ? &beta : nullptr, values, s.key);
    for (int64_t g = 0; g < group; ++g) {
      const int64_t q_head = head * group + g;
      T sums[lane] = {};
      load(q.dtype, q.data, (row * s.q_heads + q_head) * s.key, s.key, type_of<T>, room.q);
      for (int64_t i = 0; i < s.key; ++i)
        for (int64_t j = 0; j < lane; ++j) sums[j] += room.state[i * lane + j] * room.q[i];
      for (int64_t j = 0; j < lane; ++j) sums[j] *= static_cast<T>(scale);
      store(type_of<T>, sums, width, c.out(0).dtype, c.out(0).data, (row * s.q_heads + q_head) * s.value + first);
    }
  }
  if (!c.wants(1)) return;
  const View& present = c.out(1);
  for (int64_t i = 0; i < s.key; ++i) store(type_of<T>, room.state + i * lane, width, present.dtype, present.data, state_at + i * s.value);
}

template <class T>
size_t room_bytes(const Sizes& s) {
  Carve carve;
  lay_out<T>(carve, s);
  return carve.bytes();
}

template <class T>
void run_as(const RunContext& c) {
  const Sizes s = sizes(c.attributes(), c);
  const size_t bytes = room_bytes<T>(s);
  const float given = c.attributes().real("scale", 0);
  const double scale = given != 0 ? given : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, s.key)));
  c.parallel(s.batch * s.kv_heads * s.blocks, [&](int64_t tile) {
    Carve carve(c.scratch<std::byte>() + bytes * static_cast<size_t>(RunContext::worker()));
    walk(c, s, scale, lay_out<T>(carve, s), tile);
  });
}

void run(RunContext& c) {
  if (c.in(q_input).dtype == DType::f64) run_as<double>(c);
  else run_as<float>(c);
}

size_t scratch(const ScratchContext& c) {
  const Sizes s = sizes(c.node.attributes, c);
  return (c.in(q_input).dtype == DType::f64 ? room_bytes<double>(s) : room_bytes<float>(s)) * static_cast<size_t>(c.threads);
}

Cost cost(const CostContext& c) {
  const Type &q = *c.in(q_input), &v = *c.in(v_input);
  if (!q.is_static() || !v.is_static()) return {};
  const double value = double(v.dims[2].size) / double(c.node.attributes.integer("kv_num_heads", 1));
  return {2 * value * (c.count(q) + 3 * c.count(*c.in(k_input))), 4 * (2 * c.count(q) + 2 * c.count(v))};
}

}  // namespace

OUTPOST_DEFINE_OP(LinearAttention, .name = "LinearAttention", .since = 27, .first = 27, .min_inputs = 3, .max_inputs = 6, .min_outputs = 1,
                  .max_outputs = 2, .doc = "attention by a recurrent state: linear, gated, delta and gated delta rules", .infer = infer,
                  .run = run, .cost = cost, .scratch = scratch,
                  .cases = R"(q_num_heads=2 kv_num_heads=2 update_rule="linear" | f32[2,3,8] f32[2,3,8] f32[2,3,10]
q_num_heads=4 kv_num_heads=2 | f32[1,3,12] f32[1,3,6] f32[1,3,80] f32[1,2,3,40] f32[1,3,2](-1,0) f32[1,3,1](0,1)
q_num_heads=2 kv_num_heads=1 update_rule="gated" | f32[2,2,8] f32[2,2,4] f32[2,2,4] - f32[2,2,4](-1,0)
q_num_heads=1 kv_num_heads=1 update_rule="delta" | f32[1,0,4] f32[1,0,4] f32[1,0,4] - - f32[1,0,1])");

}  // namespace outpost
