// CenterCropPad: each axis cropped around its middle, or padded with zeros on both sides, to the wanted size. An odd
// element is cut from, or added to, the end.
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const int rank = c.rank(0);
  Dims dims = c.dims(0);
  const std::vector<int64_t>& axes = c.attributes().integers("axes");
  const bool all = !c.attributes().has("axes");
  const size_t count = all ? dims.size() : axes.size();
  std::vector<int64_t> sizes;
  const bool known = c.integers(1, sizes);
  c.require(!known || sizes.size() == count, "shape has ", sizes.size(), " entries for ", count, " axes");
  std::vector<bool> seen(dims.size(), false);
  for (size_t i = 0; i < count; ++i) {
    const int axis = all ? static_cast<int>(i) : c.axis(axes[i], rank);
    c.require(!seen[axis], "axis ", axis, " is given twice");
    seen[axis] = true;
    c.require(!known || sizes[i] >= 0, "shape holds ", known ? sizes[i] : 0, "; expected sizes");
    dims[axis] = known ? Dim(sizes[i]) : Dim();
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const Shape x_strides = strides_of(x.shape()), y_strides = strides_of(y.shape());
  Shape extent = x.shape();
  int64_t from = 0, to = 0;
  bool padded = false;
  for (int a = 0; a < x.rank(); ++a) {
    const int64_t n = x.dim(a), m = y.dim(a);
    extent[a] = std::min(n, m);
    if (n > m) from += (n - m) / 2 * x_strides[a];
    if (m > n) to += (m - n) / 2 * y_strides[a];
    padded = padded || m > n;
  }
  const Staged staged(ctx, y);
  if (padded && x.dtype == DType::string) std::fill_n(static_cast<std::string*>(staged.data()), y.count(), std::string());
  else if (padded) std::memset(staged.data(), 0, static_cast<size_t>(y.count() * element_bytes(y.dtype)));
  copy_strided(ctx, x.dtype, extent, element(whole_bytes(ctx, x), x.dtype, from), x_strides, element(staged.data(), y.dtype, to), y_strides);
  staged.commit();
}

// Positions count from 1, so that what was padded names the extra element 0, which is then dropped.
void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  Value* x = g.in(0);
  Value* positions = g.emit("CenterCropPad", {positions_like(g, x, 1), g.in(1)}, g.attributes());
  Value* one = g.integers({1});
  Value* extra = g.emit("Expand", {g.like(x, 0), g.add(g.emit("Reshape", {g.emit("Size", {x}), one}), one)});
  Value* sums = scatter_back(g, positions, g.grad(), extra);
  g.set(0, g.reshape_like(g.emit("Slice", {sums, one, g.integers({INT64_MAX})}), x));
}

}  // namespace

OUTPOST_DEFINE_OP(CenterCropPad, .name = "CenterCropPad", .since = 18, .first = 18, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Crops or zero-pads around the middle.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[5,4] i64[2]={2,7}
                    axes=[-1] | f32[2,5] i64[1]={2}
                    axes=[0] | f32[0,3] i64[1]={2})");

}  // namespace outpost
