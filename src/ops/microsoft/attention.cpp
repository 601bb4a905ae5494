// com.microsoft Attention: the projection to queries, keys and values, attention, and a cache of both in one tensor:
//   (q k v) = x W + b;   present (2, batch, head, row, size) = past, then k and v
#include <algorithm>
#include <cmath>

#include "ops/attention/cache.h"
#include "ops/carve.h"
#include "ops/microsoft/padding_mask.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { x_input, w_input, bias_input, mask_input, past_input, score_input, past_length_input };

struct Widths {
  int64_t q, v;  // columns of queries (and keys), of values
};

// Columns of the projection: as the attribute says, or thirds of what there is.
Widths widths(const Attributes& a, int64_t columns) {
  const auto& given = a.integers("qkv_hidden_sizes");
  if (given.size() == 3) return {given[0], given[2]};
  return {columns / 3, columns - columns / 3 * 2};
}

void infer(InferContext& c) {
  c.require_inputs(2, 7);
  c.require_dtype(x_input, {DType::f32, DType::f16, DType::f64});
  for (int i : {w_input, bias_input, past_input}) c.require_same_dtype(x_input, i);
  const Attributes& a = c.attributes();
  const int64_t heads = a.integer("num_heads", 0);
  c.require(heads > 0, "num_heads is ", heads, "; expected a positive number");
  c.require(a.integer("do_rotary", 0) == 0 && !c.has(past_length_input), "rotary embedding and shared caches inside Attention are not supported");
  Dim batch, rows, inner, columns, past(0);
  if (c.ranked(x_input)) {
    c.require(c.rank(x_input) == 3, "the input has rank ", c.rank(x_input), "; expected 3");
    batch = c.dims(x_input)[0], rows = c.dims(x_input)[1], inner = c.dims(x_input)[2];
  }
  if (c.ranked(w_input)) {
    c.require(c.rank(w_input) == 2, "the weights have rank ", c.rank(w_input), "; expected 2");
    const Dim d = c.dims(w_input)[0];
    c.require(!d.known() || !inner.known() || d.size == inner.size, "the weights have ", d.size, " rows; expected ", inner.size);
    columns = c.dims(w_input)[1];
  }
  Dim q, v;
  if (columns.known()) {
    const Widths w = widths(a, columns.size);
    c.require(w.q > 0 && w.v > 0 && 2 * w.q + w.v == columns.size && w.q % heads == 0 && w.v % heads == 0 &&
                  (a.integers("qkv_hidden_sizes").size() != 3 || a.integers("qkv_hidden_sizes")[1] == w.q),
              "the weights have ", columns.size, " columns, which do not split into queries, keys and values of ", heads, " heads");
    q = w.q / heads, v = w.v / heads;
  }
  if (c.has(bias_input) && c.ranked(bias_input))
    c.require(c.rank(bias_input) == 1 && (!c.dims(bias_input)[0].known() || !columns.known() || c.dims(bias_input)[0].size == columns.size), "the bias is ",
              to_string(c.input(bias_input)), "; expected one value a column");
  if (c.has(past_input)) {
    past = {};
    c.require(!q.known() || !v.known() || q.size == v.size, "a past needs keys and values of one size");
    if (c.ranked(past_input)) {
      const Dims& p = c.dims(past_input);
      c.require(p.size() == 5 && (!p[2].known() || p[2].size == heads) && (!p[4].known() || !q.known() || p[4].size == q.size) &&
                    (!p[1].known() || !batch.known() || p[1].size == batch.size),
                "past is ", to_string(c.input(past_input)), "; expected (2, batch, ", heads, ", rows, size)");
      past = p[3];
    }
  }
  c.require(c.outputs() < 2 || !c.wants(1) || !q.known() || !v.known() || q.size == v.size, "present needs keys and values of one size");
  const Dim keys = past + rows;
  microsoft::check_padding_mask(c, mask_input, batch, rows, keys);
  microsoft::check_score_bias(c, score_input, batch, heads, rows, keys);
  c.output(0, c.dtype(x_input), {batch, rows, Dim(heads) * v});
  c.output(1, c.dtype(x_input), {2, batch, heads, keys, q});
}

struct Prepared {
  std::shared_ptr<const void> weights;  // packed, when constant
};

kernels::Gemm projection(DType dtype, int64_t rows, int64_t inner, int64_t columns) {
  kernels::Gemm g;
  g.m = rows, g.n = columns, g.k = inner;
  g.a_row_stride = inner;
  g.b_row_stride = columns;
  g.c_row_stride = columns;
  g.a_type = g.b_type = float_type(dtype);
  g.c_type = dtype == DType::f64 ? kernels::FloatType::f64 : kernels::FloatType::f32;
  return g;
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  if (const Tensor* w = c.constant(w_input)) {
    kernels::Gemm g = projection(w->dtype(), 1, w->shape()[0], w->shape()[1]);
    g.b = w->raw();
    p->weights = pack_right(c, "w", g);
    c.consumed(w_input);
  }
  return p;
}

// Queries, keys and values lie side by side in f32 (f64), so the rest works in that type.
template <class Context>
Attend describe(const Context& c, const Attributes& a) {
  const View &x = c.in(x_input), &w = c.in(w_input), &y = c.out(0);
  const Widths width = widths(a, w.dim(1));
  Attend t;
  t.heads = t.kv_heads = a.integer("num_heads", 1);
  t.batch = x.dim(0), t.queries = x.dim(1);
  t.offset = c.has(past_input) ? c.in(past_input).dim(3) : 0;
  t.keys = t.offset + t.queries;
  t.head_size = width.q / t.heads, t.value_size = width.v / t.heads;
  const DType dtype = x.dtype == DType::f64 ? DType::f64 : DType::f32;
  const int64_t columns = w.dim(1), batch = t.queries * columns;
  t.q = {nullptr, dtype, batch, t.head_size, columns};
  t.k = {nullptr, dtype, batch, t.head_size, columns};
  t.v = {nullptr, dtype, batch, t.value_size, columns};
  t.y = {y.data, y.dtype, t.queries * width.v, t.value_size, width.v};
  t.scale = a.real("scale", 0) != 0 ? a.real("scale", 0) : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, t.head_size)));
  if (a.integer("unidirectional", 0) != 0) t.right = 0;
  return t;
}

struct Room {
  void *projected, *bias;  // (batch, row, columns), (columns)
  void *fresh, *joined;    // keys and values in x's type; with the past
  float* mask;
  void *product, *attend;
};

kernels::Gemm projection_of(const View& x, const View& w, const void* packed) {
  kernels::Gemm g = projection(x.dtype, x.dim(0) * x.dim(1), x.dim(2), w.dim(1));
  g.a = x.data, g.b = w.data, g.packed_b = packed;
  return g;
}

template <class Context>
Room lay_out(Carve& carve, const Context& c, const Attend& t, const Prepared& p, bool wants_present, int threads) {
  const View &x = c.in(x_input), &w = c.in(w_input);
  const int64_t rows = t.batch * t.queries;
  Room room{};
  room.projected = carve.take_bytes(bytes_for(t.q.dtype, rows * w.dim(1)));
  if (c.has(bias_input)) room.bias = carve.take_bytes(bytes_for(t.q.dtype, w.dim(1)));
  const bool joins = c.has(past_input) || wants_present;
  if (joins && x.dtype != t.q.dtype) room.fresh = carve.take_bytes(bytes_for(x.dtype, rows * w.dim(1)));
  if (joins && !wants_present) room.joined = carve.take_bytes(bytes_for(x.dtype, 2 * t.batch * t.heads * t.keys * t.head_size));
  if (c.has(mask_input)) room.mask = carve.take<float>(microsoft::padding_mask_count(c.in(mask_input), t.batch, t.queries, t.keys));
  room.product = carve.take_bytes(multiply_scratch_bytes(projection_of(x, w, p.weights.get()), threads));
  room.attend = carve.take_bytes(attend_scratch_bytes(t, threads));
  return room;
}

size_t scratch(const ScratchContext& c) {
  Carve carve;
  const Attend t = describe(c, c.node.attributes);
  lay_out(carve, c, t, *static_cast<const Prepared*>(c.prepared), c.outputs.size() > 1 && c.outputs[1], c.threads);
  return carve.bytes();
}

void run(RunContext& c) {
  Attend t = describe(c, c.attributes());
  const auto& p = c.prepared<Prepared>();
  const View &x = c.in(x_input), &w = c.in(w_input);
  Carve carve(c.scratch());
  const Room room = lay_out(carve, c, t, p, c.wants(1), c.threads());
  kernels::Gemm g = projection_of(x, w, p.weights.get());
  g.c = room.projected;
  if (room.bias) {
    load(x.dtype, c.in(bias_input).data, 0, w.dim(1), t.q.dtype, room.bias);
    g.epilogue.column_bias = room.bias;
  }
  multiply(c, g, room.product);
  const Widths width = widths(c.attributes(), w.dim(1));
  const void* source = room.projected;
  auto at = [&](const void* base, DType dtype, int64_t element) { return static_cast<const std::byte*>(base) + bytes_for(dtype, element); };
  t.q.data = at(source, t.q.dtype, 0);
  if (c.has(past_input) || c.wants(1)) {  // keys and values go through x's type, which the cache has
    if (room.fresh) convert(t.q.dtype, source, x.dtype, room.fresh, t.batch * t.queries * w.dim(1)), source = room.fresh;
    t.k.dtype = t.v.dtype = x.dtype;
    void* present = c.wants(1) ? c.out(1).data : room.joined;
    const int64_t half = t.batch * t.heads * t.keys * t.head_size, past_half = t.batch * t.heads * t.offset * t.head_size;
    const Shape past_shape{t.batch, t.heads, t.offset, t.head_size};
    for (int part = 0; part < 2; ++part) {
      AttentionOperand& operand = part == 0 ? t.k : t.v;
      operand.data = at(source, x.dtype, (part + 1) * width.q);
      View past;
      if (c.has(past_input)) past = {const_cast<std::byte*>(at(c.in(past_input).data, x.dtype, part * past_half)), &past_shape, x.dtype};
      void* to = const_cast<std::byte*>(at(present, x.dtype, part * half));
      join_cache(c, c.has(past_input) ? &past : nullptr, operand, t.queries, t.batch, t.heads, t.head_size, to);
      operand = {to, x.dtype, t.heads * t.keys * t.head_size, t.keys * t.head_size, t.head_size};
    }
  } else {
    t.k.data = at(source, t.q.dtype, width.q);
    t.v.data = at(source, t.q.dtype, 2 * width.q);
  }
  const float blank = c.attributes().real("mask_filter_value", -10000.0f);
  if (c.has(mask_input)) t.masks[0] = microsoft::write_padding_mask(c.in(mask_input), t.batch, t.queries, t.keys, blank, room.mask);
  if (c.has(score_input)) t.masks[1] = microsoft::score_bias(c.in(score_input));
  attend(c, t, room.attend);
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(x_input), &w = *c.in(w_input);
  if (!x.is_static() || !w.is_static()) return {};
  const double rows = double(x.dims[0].size * x.dims[1].size), columns = double(w.dims[1].size);
  return {2 * rows * double(x.dims[2].size) * columns + 4 * rows * double(x.dims[1].size) * columns / 3, 4 * (c.count(x) + c.count(w) + rows * columns)};
}

}  // namespace

OUTPOST_DEFINE_OP(ms_Attention, .name = "Attention", .domain = "com.microsoft", .since = 1, .first = 1, .min_inputs = 2, .max_inputs = 7,
                  .min_outputs = 1, .max_outputs = 2, .doc = "projection and multi-head attention", .infer = infer, .run = run, .cost = cost,
                  .prepare = prepare, .scratch = scratch,
                  .cases = R"(num_heads=2 | f32[2,3,5] f32[5,24] f32[24] i32[2]={3,1}
num_heads=2 unidirectional=1 | f32[1,3,5] f32[5,12] - - f32[2,1,2,4,2]
num_heads=2 qkv_hidden_sizes=[4,4,8] | f32[2,3,5] f32[5,16] - i32[2,3,3]={1,0,0,1,1,0,1,1,1,1,0,0,1,1,0,1,1,1})");

}  // namespace outpost
