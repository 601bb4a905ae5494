// com.microsoft RotaryEmbedding: as ai.onnx's, with the positions second, a single position standing for an offset, and
// the head size taken from the caches unless the rotation is partial.
#include <algorithm>

#include "ops/attention/rotate.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum Input { x_input, positions_input, cos_input, sin_input };

void infer(InferContext& c) {
  c.require_inputs(4, 4);
  c.require_dtype(x_input, {DType::f32, DType::f16, DType::bf16, DType::f64});
  c.require_same_dtype(cos_input, sin_input);
  c.require_dtype(positions_input, {DType::i64});
  const Attributes& a = c.attributes();
  c.require(a.integer("is_packed_batching", 0) == 0, "is_packed_batching is not supported");
  const int64_t heads = a.integer("num_heads", 0), part = a.integer("rotary_embedding_dim", 0);
  c.require(part >= 0 && part % 2 == 0, "rotary_embedding_dim is ", part, "; expected an even number");
  c.require(part == 0 || heads > 0, "num_heads is needed with rotary_embedding_dim");
  c.require(!c.ranked(x_input) || c.rank(x_input) == 3 || c.rank(x_input) == 4, "the input has rank ", c.ranked(x_input) ? c.rank(x_input) : 0, "; expected 3 or 4");
  for (int i : {cos_input, sin_input}) c.require(!c.ranked(i) || c.rank(i) == 2, "input ", i, " has rank ", c.ranked(i) ? c.rank(i) : 0, "; expected 2");
  if (c.ranked(cos_input) && c.dims(cos_input)[1].known()) {
    const int64_t half = c.dims(cos_input)[1].size;
    c.require(half > 0 && (part == 0 || part == 2 * half), "the caches have ", half, " columns; expected ", part / 2);
    if (c.ranked(x_input) && c.dims(x_input).back().known()) {
      const int64_t columns = c.dims(x_input).back().size, size = c.rank(x_input) == 4 ? columns : part > 0 ? columns / heads : 2 * half;
      c.require(size >= 2 * half && columns % size == 0, "the input has ", columns, " columns, which are not heads of at least ", 2 * half);
    }
  }
  infer_same(c);
}

void run(RunContext& c) {
  const View &x = c.in(x_input), &ids = c.in(positions_input), &cos = c.in(cos_input), &sin = c.in(sin_input);
  const bool flat = x.rank() == 3;
  const int64_t part = c.attributes().integer("rotary_embedding_dim", 0), half = cos.dim(1);
  Rotation r;
  r.batch = x.dim(0), r.rows = x.dim(flat ? 1 : 2);
  r.turned = 2 * half;
  r.size = !flat ? x.dim(3) : part > 0 ? x.dim(2) / c.attributes().integer("num_heads", 1) : r.turned;
  r.heads = flat ? x.dim(2) / std::max<int64_t>(1, r.size) : x.dim(1);
  r.interleaved = c.attributes().integer("interleaved", 0) != 0;
  r.x = x.data, r.y = c.out(0).data, r.dtype = x.dtype;
  r.x_row = r.y_row = flat ? r.heads * r.size : r.size;
  r.x_head = r.y_head = flat ? r.size : r.rows * r.size;
  r.x_batch = r.y_batch = r.heads * r.rows * r.size;
  r.cos = cos.data, r.sin = sin.data, r.cache_dtype = cos.dtype;
  const int64_t limit = std::min(cos.dim(0), sin.dim(0)), *positions = ids.as<int64_t>();
  c.require(sin.dim(1) == half, "the caches differ in columns: ", half, " and ", sin.dim(1));
  if (ids.count() == 1 && ids.rank() <= 1) {
    c.require(positions[0] >= 0 && positions[0] <= limit - r.rows, "position_ids is ", positions[0], " for ", r.rows, " rows; the caches have ", limit);
    r.first = positions[0];
  } else {
    c.require(ids.count() == r.batch * r.rows, "position_ids has ", ids.count(), " values; expected 1 or ", r.batch * r.rows);
    for (int64_t i = 0; i < ids.count(); ++i)
      c.require(positions[i] >= 0 && positions[i] < limit, "position_ids[", i, "] is ", positions[i], "; the caches have rows 0..", limit - 1);
    r.positions = positions;
  }
  rotate(c, r);
}

}  // namespace

OUTPOST_DEFINE_OP(ms_RotaryEmbedding, .name = "RotaryEmbedding", .domain = "com.microsoft", .since = 1, .first = 1, .min_inputs = 4,
                  .max_inputs = 4, .doc = "rotary positions", .infer = infer, .run = run, .in_place = {{0, 0}},
                  .cases = R"( | f32[2,3,16] i64[2,3]={0,1,2,7,6,5} f32[8,4] f32[8,4]
interleaved=1 num_heads=2 rotary_embedding_dim=4 | f32[2,3,16] i64[1]={5} f32[8,2] f32[8,2])");

}  // namespace outpost
