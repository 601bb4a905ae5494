// GatherElements: y[p] = x[p with its `axis` coordinate replaced by indices[p]].
// https://onnx.ai/onnx/operators/onnx__GatherElements.html
#include "ops/dynamic.h"
#include "ops/elements_at.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  check_elements_at(c);
  if (c.ranked(1)) c.output(0, c.dtype(0), c.dims(1));
  else if (c.ranked(0)) c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.rank(0))));
  else c.output(0, c.dtype(0));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  const ElementsAt elements(ctx, x.shape(), ctx.in(1));
  const Staged staged(ctx, ctx.out(0));
  gather_blocks(ctx, x.dtype, 1, ctx.in(1).count(), whole_bytes(ctx, x), staged.data(), elements);
  staged.commit();
}

void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  g.set(0, g.emit("ScatterElements", {zeros_like(g, g.in(0)), g.in(1), g.grad()},
                  {{"axis", g.attributes().integer("axis", 0)}, {"reduction", std::string("add")}}));
}

}  // namespace

OUTPOST_DEFINE_OP(GatherElements, .name = "GatherElements", .since = 13, .first = 11, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Picks elements along an axis by index.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[3,2] i64[2,2]={0,2,-1,1}
                    axis=1 | f32[2,3] i32[2,4]={0,-3,2,1,1,0,2,2}
                    axis=-1 | f32[2,3] i64[2,0]={})");

}  // namespace outpost
