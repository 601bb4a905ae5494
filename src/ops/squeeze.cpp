// Flatten, Squeeze, Unsqueeze: Reshapes that say which axes go, come or merge. The elements stay where they are.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void run_view(RunContext& ctx) {
  allocate_inferred(ctx);
  copy_view(ctx, ctx.in(0), ctx.out(0));
}

void reshape_back(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.reshape_like(g.grad(), g.in(0)));
}

// (d0·…·d(axis-1), d(axis)·…)
void infer_flatten(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0), Dims(2));
  const int rank = c.rank(0);
  int64_t axis = c.attributes().integer("axis", 1);
  c.require(axis >= -rank && axis <= rank, "axis ", axis, " is outside rank ", rank, "; use ", -rank, "..", rank);
  if (axis < 0) axis += rank;
  Dim outer = 1, inner = 1;
  for (int i = 0; i < rank; ++i) (i < axis ? outer : inner) = (i < axis ? outer : inner) * c.dims(0)[i];
  c.output(0, c.dtype(0), {outer, inner});
}

// Marks the axes of a tensor of `rank`; each at most once.
std::vector<bool> marked(const InferContext& c, const std::vector<int64_t>& axes, int rank) {
  std::vector<bool> mark(static_cast<size_t>(rank), false);
  for (int64_t a : axes) {
    const int axis = c.axis(a, rank);
    c.require(!mark[axis], "axis ", a, " is given twice");
    mark[axis] = true;
  }
  return mark;
}

// Without axes every dimension of 1 goes, which says nothing while one is unknown.
void infer_squeeze_all(InferContext& c) {
  Dims dims;
  for (const Dim& d : c.dims(0)) {
    if (!d.known()) return c.output(0, c.dtype(0));
    if (d.size != 1) dims.push_back(d);
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void infer_squeeze(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  std::vector<int64_t> axes;
  if (!c.has(1)) return infer_squeeze_all(c);
  if (!c.integers(1, axes)) {
    const bool counted = c.ranked(1) && c.rank(1) == 1 && c.dims(1)[0].known() && c.dims(1)[0].size <= c.rank(0);
    if (!counted) return c.output(0, c.dtype(0));
    return c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.rank(0) - c.dims(1)[0].size)));
  }
  const std::vector<bool> gone = marked(c, axes, c.rank(0));
  Dims dims;
  for (int i = 0; i < c.rank(0); ++i) {
    const Dim d = c.dims(0)[i];
    if (!gone[i]) dims.push_back(d);
    else if (d.known() && d.size != 1) c.fail("axis ", i, " has size ", d.size, "; only 1 can be squeezed");
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void infer_unsqueeze(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  std::vector<int64_t> axes;
  if (!c.integers(1, axes)) {
    const bool counted = c.ranked(1) && c.rank(1) <= 1 && (c.rank(1) == 0 || c.dims(1)[0].known());
    const int64_t more = !counted ? -1 : c.rank(1) == 0 ? 1 : c.dims(1)[0].size;
    if (more < 0 || c.rank(0) + more > Shape::max_rank) return c.output(0, c.dtype(0));
    return c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.rank(0) + more)));
  }
  c.require(axes.size() + c.dims(0).size() <= Shape::max_rank, "the result would have ", axes.size() + c.dims(0).size(),
            " axes; at most ", Shape::max_rank);
  const int rank = c.rank(0) + static_cast<int>(axes.size());
  const std::vector<bool> fresh = marked(c, axes, rank);
  Dims dims;
  for (int i = 0, from = 0; i < rank; ++i) dims.push_back(fresh[i] ? Dim(1) : c.dims(0)[from++]);
  c.output(0, c.dtype(0), std::move(dims));
}

void upgrade_axes(UpgradeContext& u) { u.integers_to_input("axes", 1); }

}  // namespace

OUTPOST_DEFINE_OP(Flatten, .name = "Flatten", .since = 25, .first = 1, .doc = "Merges the axes before and after `axis` into two.",
                  .infer = infer_flatten, .run = run_view, .gradient = reshape_back, .in_place = {{0, 0}}, .view_only = true,
                  .cases = R"(
                    | f32[2,3,4]
                    axis=0 | f32[2,3]
                    axis=-1 | f32[2,3,4]
                    axis=2 | f32[0,3,4]
                    axis=0 | f32[])");

OUTPOST_DEFINE_OP(Squeeze, .name = "Squeeze", .since = 25, .first = 1, .min_inputs = 1, .max_inputs = 2,
                  .doc = "Removes axes of size 1.", .infer = infer_squeeze, .run = run_view, .upgrade = upgrade_axes,
                  .gradient = reshape_back, .in_place = {{0, 0}}, .view_only = true,
                  .cases = R"(
                    | f32[1,3,1]
                    | f32[1,3,1] i64[1]={-1}
                    | f32[1,0,1] i64[2]={0,2})");

OUTPOST_DEFINE_OP(Unsqueeze, .name = "Unsqueeze", .since = 25, .first = 1, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Inserts axes of size 1.", .infer = infer_unsqueeze, .run = run_view, .upgrade = upgrade_axes,
                  .gradient = reshape_back, .in_place = {{0, 0}}, .view_only = true,
                  .cases = R"(
                    | f32[2,3] i64[2]={0,-1}
                    | f32[] i64[1]={0}
                    | f32[0,2] i64[1]={1})");

}  // namespace outpost
