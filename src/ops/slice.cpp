// Slice: start:end:step along some axes, one strided copy. https://onnx.ai/onnx/operators/onnx__Slice.html
#include "ops/slice.h"

#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"

namespace outpost {

SliceRange slice_range(int64_t start, int64_t end, int64_t step, int64_t size) noexcept {
  step = std::clamp(step, -(size + 1), size + 1);  // a longer step never meets a second element
  auto from_end = [&](int64_t i) { return i < 0 ? i + size : i; };
  if (step > 0) {
    start = std::clamp<int64_t>(from_end(start), 0, size);
    end = std::clamp<int64_t>(from_end(end), 0, size);
    return {start, start < end ? (end - start + step - 1) / step : 0, step};
  }
  if (size == 0) return {0, 0, step};
  start = std::clamp<int64_t>(from_end(start), 0, size - 1);
  end = std::clamp<int64_t>(from_end(end), -1, size - 1);
  return {start, start > end ? (start - end - step - 1) / -step : 0, step};
}

namespace {

constexpr int64_t to_the_end = 0x7fffffff;  // exporters write INT32_MAX or INT64_MAX

void infer(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const int rank = c.rank(0);
  std::vector<int64_t> starts, ends, axes, steps;
  const bool where = !c.has(3) || c.integers(3, axes);
  const bool known = c.integers(1, starts) & c.integers(2, ends) & (!c.has(4) || c.integers(4, steps));
  if (!where) return c.output(0, c.dtype(0), Dims(static_cast<size_t>(rank)));
  Dims dims = c.dims(0);
  if (!known) {
    for (int64_t a : axes) dims[c.axis(a, rank)] = Dim();
    if (!c.has(3)) dims.assign(static_cast<size_t>(rank), Dim());
    return c.output(0, c.dtype(0), std::move(dims));
  }
  if (!c.has(3))
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (!c.has(4)) steps.assign(starts.size(), 1);
  c.require(starts.size() == ends.size() && starts.size() == axes.size() && starts.size() == steps.size(), "starts, ends, axes, steps have ",
            starts.size(), ", ", ends.size(), ", ", axes.size(), ", ", steps.size(), " entries; expected as many of each");
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int axis = c.axis(axes[i], rank);
    c.require(!seen[axis], "axis ", axes[i], " is given twice");
    c.require(steps[i] != 0, "step of axis ", axes[i], " is 0");
    seen[axis] = true;
    Dim& d = dims[axis];
    if (d.known()) d = slice_range(starts[i], ends[i], steps[i], d.size).count;
    else if (starts[i] != 0 || ends[i] < to_the_end || steps[i] != 1) d = Dim();
  }
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  Shape strides = strides_of(x.shape());
  const Integers starts(ctx.in(1)), ends(ctx.in(2)), axes(ctx.has(3) ? ctx.in(3) : ctx.in(1)), steps(ctx.has(4) ? ctx.in(4) : ctx.in(1));
  int64_t offset = 0;
  for (int64_t i = 0; i < starts.size(); ++i) {
    const int64_t given = ctx.has(3) ? axes[i] : i;
    const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
    const SliceRange r = slice_range(starts[i], ends[i], ctx.has(4) ? steps[i] : 1, x.dim(axis));
    if (r.count == 0) return;
    offset += r.start * strides[axis];
    strides[axis] *= r.step;
  }
  if (!is_packed(x.dtype) && element(x.data, x.dtype, offset) == y.data) return;
  const Staged staged(ctx, y);
  copy_strided(ctx, x.dtype, y.shape(), element(whole_bytes(ctx, x), x.dtype, offset), strides, staged.data(), strides_of(y.shape()));
  staged.commit();
}

// One stretch when no step is longer than 1, all axes before the sliced one have size 1, and all after are whole.
int64_t begin_of_part(const PartContext& c, int) {
  const Type &x = *c.inputs[0], &y = *c.outputs[0];
  if (bits(x.dtype) < 8 || x.dtype == DType::string || x.rank() == 0) return -1;
  auto value = [&](size_t input) { return input < c.values.size() ? c.values[input] : nullptr; };
  auto read = [](const Tensor& t, int64_t i) { return t.dtype() == DType::i32 ? int64_t{t.data<int32_t>()[i]} : t.data<int64_t>()[i]; };
  const bool with_axes = c.inputs.size() > 3 && c.inputs[3], with_steps = c.inputs.size() > 4 && c.inputs[4];
  if (!value(1) || !value(2) || (with_axes && !value(3)) || (with_steps && !value(4))) return -1;
  const Shape dims = x.shape(), made = y.shape(), strides = strides_of(dims);
  int cut = 0;  // the first axis that is longer than 1 in y or cut at all; whole ones must follow
  while (cut < dims.rank() - 1 && made[cut] == 1) ++cut;
  for (int axis = cut + 1; axis < dims.rank(); ++axis)
    if (made[axis] != dims[axis]) return -1;
  int64_t offset = 0;
  for (int64_t i = 0; i < value(1)->count(); ++i) {
    const int64_t given = with_axes ? read(*value(3), i) : i, step = with_steps ? read(*value(4), i) : 1;
    const int axis = static_cast<int>(given < 0 ? given + dims.rank() : given);
    const SliceRange r = slice_range(read(*value(1), i), read(*value(2), i), step, dims[axis]);
    if (r.count == 0 || (r.step != 1 && r.count > 1)) return -1;
    offset += r.start * strides[axis];
  }
  return offset * bits(x.dtype) / 8;
}

// Zeros around the gradient where the slice is a plain range of known sizes; else each element goes back where it was.
void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  Value* x = g.in(0);
  bool plain = x->type.is_static() && !g.has(4);
  for (int i = 1; i <= 3; ++i) plain = plain && (!g.has(i) || g.in(i)->is_constant());
  if (!plain) {
    std::vector<Value*> inputs{positions_like(g, x)};
    for (int i = 1; i <= 4; ++i)
      if (i < static_cast<int>(g.node.inputs().size())) inputs.push_back(g.in(i));
    return g.set(0, scatter_back(g, g.emit("Slice", inputs), g.grad(), x));
  }
  const Shape shape = x->type.shape();
  auto read = [](const Tensor& t, int64_t i) {
    return t.dtype() == DType::i32 ? t.data<int32_t>()[i] : t.data<int64_t>()[i];
  };
  std::vector<int64_t> pads(2 * shape.size(), 0);
  for (int64_t i = 0; i < g.in(1)->constant().count(); ++i) {
    const int64_t given = g.has(3) ? read(g.in(3)->constant(), i) : i;
    const int axis = static_cast<int>(given < 0 ? given + shape.rank() : given);
    const SliceRange r = slice_range(read(g.in(1)->constant(), i), read(g.in(2)->constant(), i), 1, shape[axis]);
    pads[static_cast<size_t>(axis)] = r.start;
    pads[static_cast<size_t>(axis) + shape.size()] = shape[axis] - r.start - r.count;
  }
  g.set(0, g.emit("Pad", {g.grad(), g.integers(pads)}));
}

void upgrade(UpgradeContext& u) {
  if (u.from >= 10) return;
  u.integers_to_input("starts", 1);
  u.integers_to_input("ends", 2);
  u.integers_to_input("axes", 3);
}

}  // namespace

OUTPOST_DEFINE_OP(Slice, .name = "Slice", .since = 13, .first = 1, .min_inputs = 3, .max_inputs = 5,
                  .doc = "A range with a step of some axes.", .infer = infer, .run = run, .upgrade = upgrade, .gradient = gradient, .cost = movement_cost, .part = begin_of_part,
                  .cases = R"(
                    | f32[4,5] i64[2]={1,0} i64[2]={3,4}
                    | f32[4,5] i64[1]={-3} i64[1]={9223372036854775807} i64[1]={-1}
                    | f32[4,5] i64[1]={-1} i64[1]={-100} i64[1]={0} i64[1]={-2}
                    | f32[4,5] i64[1]={2} i64[1]={2}
                    | f32[4,0] i64[1]={0} i64[1]={3} i64[1]={1} i64[1]={-1})");

}  // namespace outpost
