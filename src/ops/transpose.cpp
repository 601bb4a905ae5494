// Transpose: the axes in another order. Works on the axes that remain after merging (movement.h), so that a permutation
// that moves only axes of size 1 is one copy.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

// The attribute, or the reversal; checked.
std::vector<int64_t> permutation(const InferContext& c, int rank) {
  std::vector<int64_t> perm = c.attributes().integers("perm");
  if (!c.attributes().has("perm"))
    for (int i = rank; i-- > 0;) perm.push_back(i);
  c.require(static_cast<int>(perm.size()) == rank, "perm has ", perm.size(), " entries for rank ", rank);
  std::vector<bool> seen(perm.size(), false);
  for (int64_t& p : perm) {
    p = c.axis(p, rank);
    c.require(!seen[static_cast<size_t>(p)], "perm names axis ", p, " twice");
    seen[static_cast<size_t>(p)] = true;
  }
  return perm;
}

void infer(InferContext& c) {
  if (!c.ranked(0)) {
    if (c.attributes().has("perm")) return c.output(0, c.dtype(0), Dims(c.attributes().integers("perm").size()));
    return c.output(0, c.dtype(0));
  }
  Dims dims;
  for (int64_t p : permutation(c, c.rank(0))) dims.push_back(c.dims(0)[static_cast<size_t>(p)]);
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const std::vector<int64_t>& perm = ctx.attributes().integers("perm");
  const int rank = x.rank();
  const Shape x_strides = strides_of(x.shape());
  Shape strides;
  strides.resize(rank);
  for (int a = 0; a < rank; ++a) {
    const int64_t p = perm.empty() ? rank - 1 - a : perm[static_cast<size_t>(a)];
    strides[a] = x_strides[static_cast<int>(p < 0 ? p + rank : p)];
  }
  const Staged staged(ctx, y);
  copy_strided(ctx, x.dtype, y.shape(), whole_bytes(ctx, x), strides, staged.data(), strides_of(y.shape()));
  staged.commit();
}

void gradient(GradientContext& g) {
  const std::vector<int64_t>& perm = g.attributes().integers("perm");
  if (!g.attributes().has("perm")) return g.set(0, g.emit("Transpose", {g.grad()}));
  std::vector<int64_t> inverse(perm.size());
  const int64_t rank = static_cast<int64_t>(perm.size());
  for (int64_t i = 0; i < rank; ++i) inverse[static_cast<size_t>(perm[i] < 0 ? perm[i] + rank : perm[i])] = i;
  g.set(0, g.emit("Transpose", {g.grad()}, {{"perm", inverse}}));
}

}  // namespace

OUTPOST_DEFINE_OP(Transpose, .name = "Transpose", .since = 25, .first = 1, .doc = "Permutes the axes.", .infer = infer,
                  .run = run, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3]
                    perm=[0,2,3,1] | f32[2,3,4,5]
                    perm=[1,0,2] | f32[3,0,2]
                    perm=[2,0,1] | f32[33,17,40]
                    perm=[3,1,0,2] | f32[1,5,1,4]
                    | f32[])");

}  // namespace outpost
