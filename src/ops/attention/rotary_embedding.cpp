// RotaryEmbedding (ONNX 23): rotary positions (Su et al. 2021) on (batch, row, head * size) or (batch, head, row, size),
// the angles' cosines and sines given per row, or looked up by position_ids.
#include <algorithm>

#include "ops/attention/rotate.h"
#include "ops/build.h"

namespace outpost {
namespace {

enum Input { x_input, cos_input, sin_input, positions_input };

void infer(InferContext& c) {
  c.require_inputs(3, 4);
  c.require_dtype(x_input, {DType::f32, DType::f16, DType::bf16, DType::f64});
  c.require_same_dtype(cos_input, sin_input);
  c.require_dtype(positions_input, {DType::i64});
  const int64_t heads = c.attributes().integer("num_heads", 0), part = c.attributes().integer("rotary_embedding_dim", 0);
  c.require(part >= 0 && part % 2 == 0, "rotary_embedding_dim is ", part, "; expected an even number");
  Dim size, rows, batch;
  if (c.ranked(x_input)) {
    const Dims& d = c.dims(x_input);
    c.require(c.rank(x_input) == 3 || c.rank(x_input) == 4, "X has rank ", c.rank(x_input), "; expected 3 or 4");
    batch = d[0], rows = d[d.size() - 2], size = d.back();
    if (c.rank(x_input) == 3) {
      c.require(heads > 0, "num_heads is needed with an input of rank 3");
      c.require(!size.known() || size.size % heads == 0, "X has ", size.size, " columns, not a multiple of ", heads, " heads");
      if (size.known()) size = size.size / heads;
    }
    c.require(!size.known() || (size.size % 2 == 0 && part <= size.size), "the head size is ", size.size, "; expected an even number, at least ", part);
  }
  const Dim half = part > 0 ? Dim(part / 2) : size.known() ? Dim(size.size / 2) : Dim();
  const int rank = c.has(positions_input) ? 2 : 3;
  for (int i : {cos_input, sin_input}) {
    if (!c.ranked(i)) continue;
    const Dims& d = c.dims(i);
    c.require(c.rank(i) == rank, "input ", i, " has rank ", c.rank(i), "; expected ", rank);
    c.require(!d.back().known() || !half.known() || d.back().size == half.size, "input ", i, " has ", d.back().size, " columns; expected ", half.size);
    if (rank == 2) continue;
    c.require(!d[0].known() || !batch.known() || d[0].size == batch.size, "input ", i, " has a batch of ", d[0].size, "; expected ", batch.size);
    c.require(!d[1].known() || !rows.known() || d[1].size == rows.size, "input ", i, " has ", d[1].size, " rows; expected ", rows.size);
  }
  if (c.has(positions_input) && c.ranked(positions_input)) {
    const Dims& d = c.dims(positions_input);
    c.require(d.size() == 2, "position_ids has rank ", d.size(), "; expected 2");
    c.require(!d[0].known() || !batch.known() || d[0].size == batch.size, "position_ids has a batch of ", d[0].size, "; expected ", batch.size);
    c.require(!d[1].known() || !rows.known() || d[1].size == rows.size, "position_ids has ", d[1].size, " columns; expected ", rows.size);
  }
  infer_same(c);
}

void run(RunContext& c) {
  const View &x = c.in(x_input), &cos = c.in(cos_input), &sin = c.in(sin_input);
  Rotation r;
  const bool flat = x.rank() == 3;
  r.batch = x.dim(0), r.rows = x.dim(flat ? 1 : 2);
  r.heads = flat ? c.attributes().integer("num_heads", 1) : x.dim(1);
  r.size = flat ? x.dim(2) / r.heads : x.dim(3);
  const int64_t part = c.attributes().integer("rotary_embedding_dim", 0);
  r.turned = part > 0 ? part : r.size;
  r.interleaved = c.attributes().integer("interleaved", 0) != 0;
  r.x = x.data, r.y = c.out(0).data, r.dtype = x.dtype;
  r.x_row = r.y_row = flat ? r.heads * r.size : r.size;
  r.x_head = r.y_head = flat ? r.size : r.rows * r.size;
  r.x_batch = r.y_batch = r.heads * r.rows * r.size;
  r.cos = cos.data, r.sin = sin.data, r.cache_dtype = cos.dtype;
  r.cache_batch = r.rows;
  if (c.has(positions_input)) {
    r.positions = c.in(positions_input).as<int64_t>();
    const int64_t limit = std::min(cos.dim(0), sin.dim(0));
    for (int64_t i = 0; i < r.batch * r.rows; ++i)
      c.require(r.positions[i] >= 0 && r.positions[i] < limit, "position_ids[", i, "] is ", r.positions[i], "; the caches have rows 0..", limit - 1);
  }
  rotate(c, r);
}

void expand(ExpandContext& c) {
  using namespace build;
  const bool flat = c.in(x_input)->type.rank() == 3;
  const int64_t heads = c.attributes().integer("num_heads", 0), part = c.attributes().integer("rotary_embedding_dim", 0);
  Value* x = flat ? reshape(c, c.in(x_input), {0, 0, heads, -1}) : c.in(x_input);
  auto cache = [&](int i) {
    Value* rows = c.has(positions_input) ? c.emit("Gather", {c.in(i), c.in(positions_input)}) : c.in(i);
    return unsqueeze(c, rows, flat ? 2 : 1);
  };
  Value *cos = cache(cos_input), *sin = cache(sin_input), *turned = part > 0 ? slice(c, x, -1, 0, part) : x, *first, *second;
  const bool interleaved = c.attributes().integer("interleaved", 0) != 0;
  if (interleaved) {
    first = slice(c, turned, -1, 0, to_end, 2);
    second = slice(c, turned, -1, 1, to_end, 2);
  } else {
    Node* halves = c.emit_node("Split", {turned}, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}}, 2);
    first = halves->output(0), second = halves->output(1);
  }
  Value *real = c.sub(c.mul(cos, first), c.mul(sin, second)), *imaginary = c.add(c.mul(sin, first), c.mul(cos, second));
  Value* y = interleaved ? c.reshape_like(concat(c, {unsqueeze(c, real, -1), unsqueeze(c, imaginary, -1)}, -1), turned)
                         : concat(c, {real, imaginary}, -1);
  if (part > 0) y = concat(c, {y, slice(c, x, -1, part, to_end)}, -1);
  c.replace(0, flat ? c.reshape_like(y, c.in(x_input)) : y);
}

Cost cost(const CostContext& c) { return {3 * c.count(*c.in(0)), 8 * c.count(*c.in(0))}; }

}  // namespace

OUTPOST_DEFINE_OP(RotaryEmbedding, .name = "RotaryEmbedding", .since = 23, .first = 23, .min_inputs = 3, .max_inputs = 4,
                  .doc = "rotary positions: pairs of columns turned by an angle per row", .infer = infer, .run = run, .expand = expand,
                  .cost = cost, .in_place = {{0, 0}},
                  .cases = R"( | f32[2,3,4,8] f32[2,4,4] f32[2,4,4]
num_heads=3 interleaved=1 rotary_embedding_dim=4 | f32[2,4,24] f32[9,2] f32[9,2] i64[2,4]={0,1,2,3,8,7,6,5}
num_heads=2 | f32[1,0,8] f32[1,0,2] f32[1,0,2])");

}  // namespace outpost
