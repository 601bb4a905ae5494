// GatherND: blocks picked by tuples of indices, within each of the leading `batch_dims` positions.
// https://onnx.ai/onnx/operators/onnx__GatherND.html
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"
#include "ops/tuples_at.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(1, {DType::i64, DType::i32});
  const int64_t batch = c.attributes().integer("batch_dims", 0);
  c.require(batch >= 0, "batch_dims is ", batch, "; expected 0 or more");
  if (!c.ranked(0) || !c.ranked(1)) return c.output(0, c.dtype(0));
  const Dims &x = c.dims(0), &tuples = c.dims(1);
  c.require(!x.empty() && !tuples.empty(), "data and indices need at least one axis");
  c.require(batch < std::min(c.rank(0), c.rank(1)), "batch_dims is ", batch, " for ranks ", c.rank(0), " and ", c.rank(1));
  for (int a = 0; a < batch; ++a)
    c.require(!x[a].known() || !tuples[a].known() || x[a] == tuples[a], "data and indices have sizes ", x[a].size, " and ", tuples[a].size, " on batch axis ", a);
  if (!tuples.back().known()) return c.output(0, c.dtype(0));
  const int64_t depth = tuples.back().size;
  c.require(depth >= 1 && depth <= c.rank(0) - batch, "index tuples have ", depth, " entries; expected 1..", c.rank(0) - batch);
  Dims dims(tuples.begin(), tuples.end() - 1);
  dims.insert(dims.end(), x.begin() + batch + depth, x.end());
  c.require(dims.size() <= Shape::max_rank, "the result would have ", dims.size(), " axes");
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  const TuplesAt tuples(ctx, x.shape(), ctx.in(1), static_cast<int>(ctx.attributes().integer("batch_dims", 0)));
  const Staged staged(ctx, ctx.out(0));
  gather_blocks(ctx, x.dtype, tuples.block(), tuples.count(), whole_bytes(ctx, x), staged.data(), tuples);
  staged.commit();
}

void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  if (g.attributes().integer("batch_dims", 0) == 0)
    return g.set(0, g.emit("ScatterND", {zeros_like(g, g.in(0)), g.in(1), g.grad()}, {{"reduction", std::string("add")}}));
  Value* positions = g.emit("GatherND", {positions_like(g, g.in(0)), g.in(1)}, g.attributes());
  g.set(0, scatter_back(g, positions, g.grad(), g.in(0)));
}

}  // namespace

OUTPOST_DEFINE_OP(GatherND, .name = "GatherND", .since = 13, .first = 11, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Picks blocks by tuples of indices.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3] i64[2,2]={0,0,1,-1}
                    | f32[2,3,4] i64[2,1]={1,-2}
                    batch_dims=1 | f32[2,3,4] i64[2,1]={1,0}
                    | f32[2,3] i64[0,2]={})");

}  // namespace outpost
