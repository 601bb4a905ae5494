// outpost.SumTo(x, shape): the adjoint of broadcasting: sums x over the axes along which `shape` would be repeated to
// give x's shape.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"
#include "ops/reduction.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  std::vector<int64_t> shape;
  if (!c.integers(1, shape)) {
    if (c.ranked(1) && c.rank(1) == 1 && c.dims(1)[0].known() && c.dims(1)[0].size <= Shape::max_rank)
      return c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.dims(1)[0].size)));
    return c.output(0, c.dtype(0));
  }
  for (int64_t s : shape) c.require(s >= 0, "shape holds ", s, "; expected sizes");
  if (c.ranked(0)) {
    const int rank = c.rank(0), shift = rank - static_cast<int>(shape.size());
    c.require(shift >= 0, "shape has ", shape.size(), " dimensions for rank ", rank);
    for (int a = shift; a < rank; ++a) {
      const Dim d = c.dims(0)[a];
      c.require(!d.known() || shape[a - shift] == d.size || shape[a - shift] == 1, "axis ", a, " of size ", d.size, " does not sum to ", shape[a - shift]);
    }
  }
  c.output(0, c.dtype(0), Dims(shape.begin(), shape.end()));
}

// The axes of x that y lacks, or has as 1.
AxisSet summed_axes(const Shape& x, const Shape& y) {
  AxisSet axes = 0;
  const int shift = x.rank() - y.rank();
  for (int a = 0; a < x.rank(); ++a)
    if (a < shift || y[a - shift] != x[a]) axes |= AxisSet{1} << a;
  return axes;
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const AxisSet axes = summed_axes(x.shape(), y.shape());
  if (x.count() == y.count() && y.count() > 0) return copy_view(ctx, x, y);
  const size_t bytes = reduction_scratch_bytes(Reduction::sum, x.dtype, x.shape(), axes, ctx.threads());
  run_reduction(ctx, Reduction::sum, x, axes, y, ctx.temporary(bytes));
}

void gradient(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.emit("Expand", {g.grad(), g.emit("Shape", {g.in(0)})}));
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_SumTo, .name = "SumTo", .domain = "outpost", .min_inputs = 2, .max_inputs = 2,
                  .doc = "Sums down to a shape that broadcasts to the input's: the gradient of broadcasting.", .infer = infer,
                  .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3,4] i64[2]={3,1}
                    | f32[2,3,4] i64[3]={2,1,4}
                    | f32[5,700] i64[1]={700}
                    | f32[2,3] i64[0]={}
                    | f32[0,3] i64[2]={1,3}
                    | f32[2,3] i64[2]={2,3})");

}  // namespace outpost
