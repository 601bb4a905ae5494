// DepthToSpace and SpaceToDepth: channels to blocks of pixels and back. Both are one 6-axis strided copy between
//   deep    (n, channel c, block row i, block column j, h, w), channels ordered (i, j, c) in DCR mode, (c, i, j) in CRD;
//   shallow (n, c, h, i, w, j).
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

int64_t block_size(const InferContext& c) {
  const int64_t b = c.attributes().integer("blocksize", 0);
  c.require(b >= 1 && b <= (int64_t{1} << 20), "blocksize is ", b, "; expected 1 or more");
  const std::string_view mode = c.attributes().string("mode", "DCR");
  c.require(mode == "DCR" || mode == "CRD", "mode is '", mode, "'; expected DCR or CRD");
  if (c.ranked(0)) c.require(c.rank(0) == 4, "input has rank ", c.rank(0), "; expected 4 (batch, channel, height, width)");
  return b;
}

Dim divided(const InferContext& c, Dim d, int64_t by, const char* what) {
  c.require(!d.known() || d.size % by == 0, what, " of ", d.size, " is not a multiple of ", by);
  return divide_exact(d, by);
}

void infer_depth_to_space(InferContext& c) {
  const int64_t b = block_size(c);
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims(4));
  const Dims& x = c.dims(0);
  c.output(0, c.dtype(0), {x[0], divided(c, x[1], b * b, "channels"), x[2] * Dim(b), x[3] * Dim(b)});
}

void infer_space_to_depth(InferContext& c) {
  const int64_t b = block_size(c);
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims(4));
  const Dims& x = c.dims(0);
  c.output(0, c.dtype(0), {x[0], x[1] * Dim(b * b), divided(c, x[2], b, "height"), divided(c, x[3], b, "width")});
}

// `to_space`: from deep to shallow; (n, c, h, w) are the shallow channels and the deep pixels.
void run_blocks(RunContext& ctx, bool to_space) {
  allocate_inferred(ctx);
  const View &x = ctx.in(0), &y = ctx.out(0);
  const View &deep = to_space ? x : y, &shallow = to_space ? y : x;
  const int64_t b = ctx.attributes().integer("blocksize", 1);
  const int64_t n = deep.dim(0), c = shallow.dim(1), h = deep.dim(2), w = deep.dim(3), plane = h * w;
  const bool crd = ctx.attributes().string("mode", "DCR") == "CRD";
  const Shape extent{n, c, h, b, w, b};
  const Shape in_shallow{c * plane * b * b, plane * b * b, b * w * b, w * b, b, 1};
  const Shape in_deep{deep.dim(1) * plane, (crd ? b * b : 1) * plane, w, b * (crd ? 1 : c) * plane, 1, (crd ? 1 : c) * plane};
  const Staged staged(ctx, y);
  const void* from = whole_bytes(ctx, x);
  if (to_space) copy_strided(ctx, x.dtype, extent, from, in_deep, staged.data(), in_shallow);
  else if (crd) copy_strided(ctx, x.dtype, {n, c, b, b, h, w}, from, {in_shallow[0], in_shallow[1], w * b, 1, b * w * b, b}, staged.data(),
                             {in_deep[0], in_deep[1], in_deep[3], in_deep[5], w, 1});
  else copy_strided(ctx, x.dtype, {n, b, b, c, h, w}, from, {in_shallow[0], w * b, 1, in_shallow[1], b * w * b, b}, staged.data(),
                    {in_deep[0], in_deep[3], in_deep[5], in_deep[1], w, 1});
  staged.commit();
}

void run_depth_to_space(RunContext& ctx) { run_blocks(ctx, true); }
void run_space_to_depth(RunContext& ctx) { run_blocks(ctx, false); }

void to_depth(GradientContext& g) { g.set(0, g.emit("SpaceToDepth", {g.grad()}, g.attributes())); }
void to_space(GradientContext& g) { g.set(0, g.emit("DepthToSpace", {g.grad()}, g.attributes())); }

}  // namespace

OUTPOST_DEFINE_OP(DepthToSpace, .name = "DepthToSpace", .since = 28, .first = 1, .doc = "Channels to blocks of pixels.",
                  .infer = infer_depth_to_space, .run = run_depth_to_space, .gradient = to_depth,
                  .cases = R"(
                    blocksize=2 | f32[2,8,3,2]
                    blocksize=2 mode="CRD" | f32[1,8,2,3]
                    blocksize=2 | f32[0,4,2,2])");

OUTPOST_DEFINE_OP(SpaceToDepth, .name = "SpaceToDepth", .since = 28, .first = 1, .doc = "Blocks of pixels to channels.",
                  .infer = infer_space_to_depth, .run = run_space_to_depth, .gradient = to_space,
                  .cases = R"(
                    blocksize=2 | f32[2,2,6,4]
                    blocksize=3 mode="CRD" | f32[1,2,3,6]
                    blocksize=2 | f32[1,0,2,2])");

}  // namespace outpost
