// ScatterElements (and Scatter, its first name): data with updates written, or combined, at indices along an axis.
// https://onnx.ai/onnx/operators/onnx__ScatterElements.html
#include "ops/dynamic.h"
#include "ops/elements_at.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"
#include "ops/combine.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  check_elements_at(c);
  c.require_same_dtype(0, 2);
  const Combine reduction = combine_of(c.attributes(), c.node().label());
  c.require(reduction == Combine::none || (c.dtype(0) != DType::string && !is_packed(c.dtype(0))), "reduction does not apply to ", c.dtype(0));
  if (c.ranked(1) && c.ranked(2)) {
    c.require(c.rank(1) == c.rank(2), "indices have rank ", c.rank(1), ", updates ", c.rank(2));
    for (int a = 0; a < c.rank(1); ++a) {
      const Dim n = c.dims(1)[a], m = c.dims(2)[a];
      c.require(!n.known() || !m.known() || n == m, "indices have size ", n.size, " on axis ", a, ", updates ", m.size);
    }
  }
  infer_same(c);
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &x = ctx.in(0), &updates = ctx.in(2);
  View& y = ctx.out(0);
  const ElementsAt elements(ctx, x.shape(), ctx.in(1));
  const Staged staged(ctx, y);
  copy_elements(ctx, x.dtype, whole_bytes(ctx, x), staged.data(), x.count());
  combine_blocks(ctx, combine_of(ctx.attributes(), ctx.node().label()), x.dtype, 1, updates.count(), whole_bytes(ctx, updates), staged.data(), elements);
  staged.commit();
}

void gradient(GradientContext& g) {
  const Attribute axis = g.attributes().integer("axis", 0);
  const Combine reduction = combine_of(g.attributes(), g.node.label());
  if (reduction != Combine::none && reduction != Combine::add)
    fail(ErrorCode::unsupported, g.node.label(), ": no gradient for reduction '", g.attributes().string("reduction", ""), "'");
  if (g.wants(0))
    g.set(0, reduction == Combine::add ? g.grad() : g.emit("ScatterElements", {g.grad(), g.in(1), zeros_like(g, g.in(2))}, {{"axis", axis}}));
  if (g.wants(2)) g.set(2, g.emit("GatherElements", {g.grad(), g.in(1)}, {{"axis", axis}}));
}

}  // namespace

OUTPOST_DEFINE_OP(ScatterElements, .name = "ScatterElements", .since = 18, .first = 11, .min_inputs = 3, .max_inputs = 3,
                  .doc = "Writes or combines elements at indices along an axis.", .infer = infer, .run = run, .gradient = gradient,
                  .in_place = {{0, 0}},
                  .cases = R"(
                    | f32[3,3] i64[2,3]={1,0,2,0,2,1} f32[2,3]
                    axis=1 reduction="add" | f32[1,5] i64[1,3]={1,-2,1} f32[1,3]
                    axis=-1 | f32[2,3] i32[2,0]={} f32[2,0])");

OUTPOST_DEFINE_OP(Scatter, .name = "Scatter", .since = 9, .first = 9, .min_inputs = 3, .max_inputs = 3,
                  .doc = "The first name of ScatterElements.", .infer = infer, .run = run, .gradient = gradient, .in_place = {{0, 0}},
                  .cases = R"(
                    axis=1 | f32[1,5] i64[1,2]={1,3} f32[1,2])");

}  // namespace outpost
