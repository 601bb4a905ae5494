// Tile: the whole tensor repeated along each axis: a copy of (r0, d0, r1, d1, …) that does not step along the r axes.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const int rank = c.rank(0);
  std::vector<int64_t> repeats;
  if (!c.integers(1, repeats)) return c.output(0, c.dtype(0), Dims(static_cast<size_t>(rank)));
  c.require(static_cast<int>(repeats.size()) == rank, "repeats has ", repeats.size(), " entries for rank ", rank);
  Dims dims = c.dims(0);
  for (int a = 0; a < rank; ++a) {
    c.require(repeats[a] >= 0, "repeats holds ", repeats[a], "; expected counts");
    dims[a] = dims[a] * Dim(repeats[a]);
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  if (y.count() == 0) return;
  const Shape x_own = strides_of(x.shape()), y_own = strides_of(y.shape());
  Shape extent, x_strides, y_strides;
  auto axis = [&](int64_t n, int64_t x_step, int64_t y_step) {
    if (n == 1) return;
    extent.push_back(n);
    x_strides.push_back(x_step);
    y_strides.push_back(y_step);
  };
  for (int a = 0; a < x.rank(); ++a) {
    axis(y.dim(a) / x.dim(a), 0, x.dim(a) * y_own[a]);
    axis(x.dim(a), x_own[a], y_own[a]);
  }
  const Staged staged(ctx, y);
  copy_strided(ctx, x.dtype, extent, whole_bytes(ctx, x), x_strides, staged.data(), y_strides);
  staged.commit();
}

// (r0 d0, r1 d1, …) under the shape (r0, d0, r1, d1, …), summed over the r axes.
void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  if (!g.in(0)->type.ranked) fail(ErrorCode::unsupported, g.node.label(), ": no gradient for an unknown rank");
  const int rank = g.in(0)->type.rank();
  if (rank == 0) return g.set(0, g.grad());
  Value* column = g.integers({-1, 1});
  Value* repeats = g.emit("Reshape", {g.in(1), column});
  Value* sizes = g.emit("Reshape", {g.emit("Shape", {g.in(0)}), column});
  Value* shape = g.emit("Reshape", {g.emit("Concat", {repeats, sizes}, {{"axis", int64_t{1}}}), g.integers({-1})});
  std::vector<int64_t> axes;
  for (int a = 0; a < rank; ++a) axes.push_back(2 * a);
  g.set(0, g.emit("ReduceSum", {g.emit("Reshape", {g.grad(), shape}, {{"allowzero", int64_t{1}}}), g.integers(axes)}, {{"keepdims", int64_t{0}}}));
}

// Opset 1 repeated one axis: Tile(x, tiles, axis).
void upgrade(UpgradeContext& u) {
  if (u.from >= 6) return;
  Value *x = u.in(0), *tiles = u.in(1), *axis = u.in(2);
  if (!x->type.ranked || !tiles || !axis || !axis->is_constant())
    fail(ErrorCode::unsupported, u.node.label(), ": Tile of opset 1 needs a known rank and a constant axis");
  Value* one = u.integers({1});
  const Tensor& at = axis->constant();
  const int64_t position = at.dtype() == DType::i32 ? at.data<int32_t>()[0] : at.data<int64_t>()[0];
  std::vector<Value*> repeats(x->type.dims.size(), one);
  if (position < 0 || position >= x->type.rank()) fail(ErrorCode::invalid_model, u.node.label(), ": axis ", position, " is outside rank ", x->type.rank());
  repeats[static_cast<size_t>(position)] = u.emit("Reshape", {u.emit("Cast", {tiles}, {{"to", static_cast<int64_t>(DType::i64)}}), one});
  u.node.set_inputs({x, u.emit("Concat", repeats, {{"axis", int64_t{0}}})});
}

}  // namespace

OUTPOST_DEFINE_OP(Tile, .name = "Tile", .since = 13, .first = 1, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Repeats a tensor along its axes.", .infer = infer, .run = run, .upgrade = upgrade, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3] i64[2]={2,1}
                    | f32[2,3,4] i64[3]={1,2,3}
                    | f32[2,3] i64[2]={0,2}
                    | f32[] i64[0]={})");

}  // namespace outpost
