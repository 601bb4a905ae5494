// OneHot: `off` everywhere, `on` at each index along a new axis of size depth. Indices outside [-depth, depth) select
// nothing. https://onnx.ai/onnx/operators/onnx__OneHot.html
#include <algorithm>
#include <cstring>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

// The scalar depth, in whatever numeric type it comes.
int64_t depth_of(const InferContext& c, const Tensor& t) {
  c.require(t.count() == 1, "depth has ", t.count(), " elements; expected one");
  double value = 0;
  load(t.dtype(), t.raw(), 0, 1, DType::f64, &value);
  c.require(value >= 0 && value <= 0x1p62, "depth is ", value, "; expected 0 or more");
  return static_cast<int64_t>(value);
}

void infer(InferContext& c) {
  if (c.ranked(2)) c.require(c.rank(2) == 1 && (!c.dims(2)[0].known() || c.dims(2)[0].size == 2), "values are ", to_string(c.input(2)), "; expected [off, on]");
  if (!c.ranked(0)) return c.output(0, c.dtype(2));
  Dims dims = c.dims(0);
  const int axis = c.axis(c.attributes().integer("axis", -1), c.rank(0) + 1);
  dims.insert(dims.begin() + axis, c.value(1) ? Dim(depth_of(c, *c.value(1))) : Dim());
  c.output(0, c.dtype(2), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View &indices = ctx.in(0), &values = ctx.in(2);
  View& y = ctx.out(0);
  if (y.count() == 0) return;
  const int64_t attribute = ctx.attributes().integer("axis", -1);
  const int axis = static_cast<int>(attribute < 0 ? attribute + y.rank() : attribute);
  const int64_t depth = y.dim(axis), inner = y.shape().count(axis + 1, y.rank());
  const Staged staged(ctx, y);
  const void* off_on = whole_bytes(ctx, values);
  fill_elements(ctx, y.dtype, off_on, staged.data(), y.count());
  const void* on = element(off_on, y.dtype, 1);
  const auto bytes = static_cast<size_t>(element_bytes(y.dtype));
  auto put = [&](void* to) {
    if (y.dtype == DType::string) *static_cast<std::string*>(to) = *static_cast<const std::string*>(on);
    else std::memcpy(to, on, bytes);
  };
  constexpr int64_t tile = 256;
  ctx.parallel_ranges(indices.count(), 8192, [&](int64_t begin, int64_t end) {
    int64_t buffer[tile];
    for (int64_t i = begin; i < end; i += tile) {
      const int64_t n = std::min(tile, end - i);
      load(indices.dtype, indices.data, i, n, DType::i64, buffer);
      for (int64_t k = 0; k < n; ++k) {
        const int64_t index = buffer[k] < 0 ? buffer[k] + depth : buffer[k];
        if (index < 0 || index >= depth) continue;
        const int64_t at = ((i + k) / inner * depth + index) * inner + (i + k) % inner;
        put(element(staged.data(), y.dtype, at));
      }
    }
  });
  staged.commit();
}

// off + onehot·(on - off), with onehot the operator's own answer for (0, 1).
void gradient(GradientContext& g) {
  if (!g.wants(2)) return;
  Tensor zero_one(g.in(2)->type.dtype, Shape{2});
  const double pair[2] = {0, 1};
  convert(DType::f64, pair, zero_one.dtype(), zero_one.raw(), 2);
  Value* hot = g.emit("OneHot", {g.in(0), g.in(1), g.constant(std::move(zero_one))}, g.attributes());
  auto sum = [&](Value* v) { return g.emit("Reshape", {g.emit("ReduceSum", {v}), g.integers({1})}); };
  Value* on = sum(g.mul(g.grad(), hot));
  g.set(2, g.emit("Concat", {g.sub(sum(g.grad()), on), on}, {{"axis", int64_t{0}}}));
}

}  // namespace

OUTPOST_DEFINE_OP(OneHot, .name = "OneHot", .since = 28, .first = 9, .min_inputs = 3, .max_inputs = 3,
                  .doc = "A new axis that is on at an index and off elsewhere.", .infer = infer, .run = run, .gradient = gradient,
                  .cases = R"(
                    | i64[3]={0,2,-1} i64[]={3} f32[2]
                    axis=0 | i64[2,2]={1,9,-7,0} i64[1]={4} f32[2]
                    axis=1 | i32[2,3]={0,1,2,2,1,0} i64[]={3} f32[2]
                    | i64[0] i64[]={3} f32[2])");

}  // namespace outpost
