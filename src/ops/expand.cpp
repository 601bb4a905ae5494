// Expand: numpy's broadcast to a shape; and outpost.SumTo, its adjoint: sums over the axes that broadcasting repeated.
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  std::vector<int64_t> shape;
  if (!c.integers(1, shape)) {
    const bool counted = c.ranked(0) && c.ranked(1) && c.rank(1) == 1 && c.dims(1)[0].known() && c.dims(1)[0].size <= Shape::max_rank;
    if (!counted) return c.output(0, c.dtype(0));
    return c.output(0, c.dtype(0), Dims(static_cast<size_t>(std::max<int64_t>(c.rank(0), c.dims(1)[0].size))));
  }
  c.require(shape.size() <= Shape::max_rank, "shape has ", shape.size(), " dimensions; at most ", Shape::max_rank);
  for (int64_t s : shape) c.require(s >= 0, "shape holds ", s, "; expected sizes");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  c.output(0, c.dtype(0), broadcast(c, c.dims(0), Dims(shape.begin(), shape.end())));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const Shape own = strides_of(x.shape());
  Shape strides;
  strides.resize(y.rank(), 0);
  for (int a = 0, shift = y.rank() - x.rank(); a < x.rank(); ++a) strides[a + shift] = x.dim(a) == 1 ? 0 : own[a];
  const Staged staged(ctx, y);
  copy_strided(ctx, x.dtype, y.shape(), whole_bytes(ctx, x), strides, staged.data(), strides_of(y.shape()));
  staged.commit();
}

void gradient(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.sum_to(g.grad(), g.in(0)));
}

}  // namespace

OUTPOST_DEFINE_OP(Expand, .name = "Expand", .since = 13, .first = 8, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Broadcasts to a shape.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[3,1] i64[3]={2,3,4}
                    | f32[3,1] i64[1]={1}
                    | f32[] i64[2]={2,3}
                    | f32[1,3] i64[2]={0,3}
                    | f32[2] i64[0]={})");

}  // namespace outpost
