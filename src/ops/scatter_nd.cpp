// ScatterND: data with blocks of updates written, or combined, at tuples of indices.
// https://onnx.ai/onnx/operators/onnx__ScatterND.html
#include "ops/dynamic.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"
#include "ops/combine.h"
#include "ops/tuples_at.h"

namespace outpost {
namespace {

// updates: (tuples…, data's axes after the tuple)
void check_updates(const InferContext& c) {
  const Dims &x = c.dims(0), &tuples = c.dims(1), &updates = c.dims(2);
  c.require(!x.empty() && !tuples.empty(), "data and indices need at least one axis");
  if (!tuples.back().known()) return;
  const int64_t depth = tuples.back().size;
  c.require(depth >= 1 && depth <= c.rank(0), "index tuples have ", depth, " entries; expected 1..", c.rank(0));
  Dims expected(tuples.begin(), tuples.end() - 1);
  expected.insert(expected.end(), x.begin() + depth, x.end());
  bool fits = expected.size() == updates.size();
  for (size_t a = 0; fits && a < expected.size(); ++a) fits = !expected[a].known() || !updates[a].known() || expected[a] == updates[a];
  c.require(fits, "updates are ", to_string(c.input(2)), "; expected ", to_string(Type::tensor(c.dtype(0), expected)));
}

void infer(InferContext& c) {
  c.require_dtype(1, {DType::i64, DType::i32});
  c.require_same_dtype(0, 2);
  const Combine reduction = combine_of(c.attributes(), c.node().label());
  c.require(reduction == Combine::none || (c.dtype(0) != DType::string && !is_packed(c.dtype(0))), "reduction does not apply to ", c.dtype(0));
  if (c.ranked(0) && c.ranked(1) && c.ranked(2)) check_updates(c);
  infer_same(c);
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  const TuplesAt tuples(ctx, x.shape(), ctx.in(1), 0);
  const Staged staged(ctx, ctx.out(0));
  copy_elements(ctx, x.dtype, whole_bytes(ctx, x), staged.data(), x.count());
  combine_blocks(ctx, combine_of(ctx.attributes(), ctx.node().label()), x.dtype, tuples.block(), tuples.count(), whole_bytes(ctx, ctx.in(2)), staged.data(), tuples);
  staged.commit();
}

void gradient(GradientContext& g) {
  const Combine reduction = combine_of(g.attributes(), g.node.label());
  if (reduction != Combine::none && reduction != Combine::add)
    fail(ErrorCode::unsupported, g.node.label(), ": no gradient for reduction '", g.attributes().string("reduction", ""), "'");
  if (g.wants(0)) g.set(0, reduction == Combine::add ? g.grad() : g.emit("ScatterND", {g.grad(), g.in(1), zeros_like(g, g.in(2))}));
  if (g.wants(2)) g.set(2, g.emit("GatherND", {g.grad(), g.in(1)}));
}

}  // namespace

OUTPOST_DEFINE_OP(ScatterND, .name = "ScatterND", .since = 18, .first = 11, .min_inputs = 3, .max_inputs = 3,
                  .doc = "Writes or combines blocks at tuples of indices.", .infer = infer, .run = run, .gradient = gradient,
                  .in_place = {{0, 0}},
                  .cases = R"(
                    | f32[4] i64[2,1]={1,-1} f32[2]
                    reduction="add" | f32[3,2] i64[3,1]={0,2,0} f32[3,2]
                    | f32[2,2] i64[0,2]={} f32[0])");

}  // namespace outpost
