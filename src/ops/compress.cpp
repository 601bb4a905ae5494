// Compress: the slices of an axis (or the elements of the flattened tensor) whose condition is true. A condition may be
// shorter than the axis: what it does not mention is left out.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"
#include "ops/truth.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(1, {DType::boolean});
  if (c.ranked(1)) c.require(c.rank(1) == 1, "condition has rank ", c.rank(1), "; expected 1");
  if (!c.attributes().has("axis")) return c.output(0, c.dtype(0), Dims(1));
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  Dims dims = c.dims(0);
  dims[c.axis(c.attributes().integer("axis", 0), c.rank(0))] = Dim();
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  const View &x = ctx.in(0), &condition = ctx.in(1);
  const bool flat = !ctx.attributes().has("axis");
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = flat ? 0 : static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  const int64_t size = flat ? x.count() : x.dim(axis), outer = flat ? 1 : x.shape().count(0, axis);
  const int64_t block = flat ? 1 : x.shape().count(axis + 1, x.rank());
  for_each_true(condition, condition.count(), [&](int64_t i) { ctx.require(i < size, "condition is true at ", i, ", outside an axis of size ", size); });
  const int64_t count = count_true(condition, condition.count());
  auto* picks = static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(count) * sizeof(int64_t)));
  for_each_true(condition, condition.count(), [&, k = 0](int64_t i) mutable { picks[k++] = i; });
  Shape shape{count};
  if (!flat) {
    shape = x.shape();
    shape[axis] = count;
  }
  View& y = produce(ctx, 0, shape);
  const Staged staged(ctx, y);
  gather_blocks(ctx, x.dtype, block, outer * count, whole_bytes(ctx, x), staged.data(), [&](int64_t begin, int64_t end, int64_t* at) {
    for (int64_t i = begin; i < end; ++i) at[i - begin] = i / count * size + picks[i % count];
  });
  staged.commit();
}

void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  Value* positions = g.emit("Compress", {positions_like(g, g.in(0)), g.in(1)}, g.attributes());
  g.set(0, scatter_back(g, positions, g.grad(), g.in(0)));
}

}  // namespace

OUTPOST_DEFINE_OP(Compress, .name = "Compress", .since = 28, .first = 9, .min_inputs = 2, .max_inputs = 2,
                  .doc = "The slices of an axis whose condition is true.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    axis=0 | f32[3,2] bool[3]={0,1,1}
                    axis=-1 | f32[3,4] bool[2]={0,1}
                    | f32[3,2] bool[5]={0,1,0,0,1}
                    axis=1 | f32[0,2] bool[2]={1,1})");

}  // namespace outpost
