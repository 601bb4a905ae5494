// TensorScatter: a cache (batch, …, time, …) with new entries written from a position of its own for each batch row;
// circular caches wrap around. In place when the cache dies here: the cost of a step is that of the update.
// https://onnx.ai/onnx/operators/onnx__TensorScatter.html
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

int time_axis(const Attributes& attributes, int rank) {
  const int64_t axis = attributes.integer("axis", -2);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

void infer(InferContext& c) {
  const std::string_view mode = c.attributes().string("mode", "linear");
  c.require(mode == "linear" || mode == "circular", "mode is '", mode, "'; expected linear or circular");
  c.require_same_dtype(0, 1);
  c.require_dtype(2, {DType::i64});
  infer_same(c);
  if (!c.ranked(0)) return;
  const int axis = c.axis(c.attributes().integer("axis", -2), c.rank(0));
  c.require(axis != 0, "axis 0 is the batch; expected another");
  if (c.ranked(1)) {
    c.require(c.rank(1) == c.rank(0), "the cache has rank ", c.rank(0), ", the update ", c.rank(1));
    for (int a = 0; a < c.rank(0); ++a) {
      const Dim n = c.dims(0)[a], m = c.dims(1)[a];
      c.require(!n.known() || !m.known() || (a == axis ? m.size <= n.size : m == n), "the cache has size ", n.size, " on axis ", a, ", the update ", m.size);
    }
  }
  if (c.has(2) && c.ranked(2))
    c.require(c.rank(2) == 1 && (!c.dims(2)[0].known() || !c.dims(0)[0].known() || c.dims(2)[0] == c.dims(0)[0]), "write_indices are ", to_string(c.input(2)), "; expected one a batch row");
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &cache = ctx.in(0), &update = ctx.in(1);
  const int axis = time_axis(ctx.attributes(), cache.rank());
  const bool circular = ctx.attributes().string("mode", "linear") == "circular";
  const int64_t size = cache.dim(axis), steps = update.dim(axis), block = cache.shape().count(axis + 1, cache.rank());
  const int64_t rows = cache.shape().count(0, axis), rows_per_batch = cache.shape().count(1, axis);
  auto start = [&](int64_t batch) {
    const int64_t at = ctx.has(2) ? ctx.in(2).as<int64_t>()[batch] : 0;
    if (circular && size > 0) return (at % size + size) % size;
    ctx.require(at >= 0 && at <= size - steps, "write index ", at, " + ", steps, " steps is outside a cache of ", size);
    return at;
  };
  const Staged staged(ctx, ctx.out(0));
  copy_elements(ctx, cache.dtype, whole_bytes(ctx, cache), staged.data(), cache.count());
  scatter_blocks(ctx, cache.dtype, block, rows * steps, whole_bytes(ctx, update), staged.data(), [&](int64_t begin, int64_t end, int64_t* at) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / steps, position = start(row / rows_per_batch) + i % steps;
      at[i - begin] = row * size + (position >= size ? position - size : position);
    }
  });
  staged.commit();
}

}  // namespace

OUTPOST_DEFINE_OP(TensorScatter, .name = "TensorScatter", .since = 24, .first = 24, .min_inputs = 2, .max_inputs = 3,
                  .doc = "Writes new entries into a cache.", .infer = infer, .run = run, .in_place = {{0, 0}},
                  .cases = R"(
                    | f32[2,4,3] f32[2,1,3] i64[2]={1,3}
                    mode="circular" | f32[2,2,4,3] f32[2,2,2,3] i64[2]={3,9}
                    axis=1 | f32[2,4] f32[2,3])");

}  // namespace outpost
