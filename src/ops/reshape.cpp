// Reshape: the same elements under another shape. 0 copies the input's dimension (unless allowzero), one -1 takes what
// is left. https://onnx.ai/onnx/operators/onnx__Reshape.html
//
// With symbols, -1 is what remains after equal dimensions cancel: [N,3,4] under [0,-1] is [N,12].
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

// The product of `dims` if all are known.
Dim product(const Dims& dims) {
  Dim p = 1;
  for (const Dim& d : dims) p = p * d;
  return p;
}

// What is left of both lists once equal entries are taken away in pairs (zeros stay: they do not divide out).
void cancel(Dims& a, Dims& b) {
  for (size_t i = 0; i < a.size();) {
    auto it = a[i].known() && a[i].size == 0 ? b.end() : std::find(b.begin(), b.end(), a[i]);
    if (it == b.end()) {
      ++i;
      continue;
    }
    b.erase(it);
    a.erase(a.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

Dim remaining(const InferContext& c, Dims from, Dims to) {
  cancel(from, to);
  const Dim a = product(from), b = product(to);
  if (!b.known()) return {};
  if (b.size == 0) c.fail("a shape with a 0 leaves -1 undetermined");
  if (!a.known()) return b.size == 1 && from.size() == 1 ? from[0] : a;
  if (a.size % b.size != 0) c.fail("the rest of the input, ", a.size, " elements, is not a multiple of ", b.size);
  return a.size / b.size;
}

void infer(InferContext& c) {
  std::vector<int64_t> shape;
  if (!c.integers(1, shape)) {
    if (c.ranked(1) && c.rank(1) == 1 && c.dims(1)[0].known() && c.dims(1)[0].size <= Shape::max_rank)
      return c.output(0, c.dtype(0), Dims(static_cast<size_t>(c.dims(1)[0].size)));
    return c.output(0, c.dtype(0));
  }
  c.require(shape.size() <= Shape::max_rank, "shape has ", shape.size(), " dimensions; at most ", Shape::max_rank);
  const bool copy_zero = c.attributes().integer("allowzero", 0) == 0;
  Dims dims(shape.size()), given, source;  // given and source: without the dimensions that are copied
  if (c.ranked(0)) source = c.dims(0);
  size_t copied = 0;
  int free_axis = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      c.require(free_axis < 0, "shape has more than one -1");
      free_axis = static_cast<int>(i);
      continue;
    }
    c.require(shape[i] >= 0, "shape holds ", shape[i], "; expected sizes, 0 or one -1");
    if (shape[i] == 0 && copy_zero) {
      if (c.ranked(0)) c.require(static_cast<int>(i) < c.rank(0), "shape copies dimension ", i, " of a rank-", c.rank(0), " input");
      dims[i] = c.ranked(0) ? c.dims(0)[i] : Dim();
      if (c.ranked(0)) source.erase(source.begin() + static_cast<std::ptrdiff_t>(i - copied++));
    } else {
      given.push_back(dims[i] = shape[i]);
    }
  }
  if (free_axis >= 0) {
    if (c.ranked(0)) dims[static_cast<size_t>(free_axis)] = remaining(c, source, given);
  } else if (c.ranked(0)) {
    const Dim from = product(source), to = product(given);
    c.require(!from.known() || !to.known() || from.size == to.size, "cannot give ", from.size, " elements the shape ",
              to_string(Type::tensor(c.dtype(0), dims)));
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  copy_view(ctx, ctx.in(0), ctx.out(0));
}

void gradient(GradientContext& g) {
  if (g.wants(0)) g.set(0, g.reshape_like(g.grad(), g.in(0)));
}

void upgrade(UpgradeContext& u) {
  u.node.attributes.erase("consumed_inputs");
  u.integers_to_input("shape", 1);
}

}  // namespace

OUTPOST_DEFINE_OP(Reshape, .name = "Reshape", .since = 25, .first = 1, .min_inputs = 2, .max_inputs = 2,
                  .doc = "The same elements under another shape.", .infer = infer, .run = run, .upgrade = upgrade,
                  .gradient = gradient, .in_place = {{0, 0}}, .view_only = true,
                  .cases = R"(
                    | f32[2,3,4] i64[2]={6,4}
                    | f32[2,3,4] i64[2]={0,-1}
                    | f32[2,0,4] i64[3]={0,0,-1}
                    | f32[] i64[1]={-1}
                    | f32[1,1] i64[0]={}
                    allowzero=1 | f32[2,0] i64[3]={0,3,2})");

}  // namespace outpost
