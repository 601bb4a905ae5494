// Pad: more (or with negative pads fewer) elements around a tensor. https://onnx.ai/onnx/operators/onnx__Pad.html
//
// constant: a copy of the interior and two strided fills an axis. edge, reflect, wrap: every output element names its
// source by one table an axis; reflect and wrap are periodic, so pads may be longer than the axis, as in numpy.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/movement_gradient.h"
#include "ops/op.h"

namespace outpost {
namespace {

constexpr int64_t most = int64_t{1} << 60;  // keeps the arithmetic below from overflowing; memory ends long before

// Which axis pad i of the list is for; `axes` empty: all in order.
template <class Axes>
int axis_of(const Axes* axes, int64_t i, int rank) {
  const int64_t a = axes ? (*axes)[i] : i;
  return static_cast<int>(a < 0 ? a + rank : a);
}

void infer(InferContext& c) {
  const std::string_view mode = c.attributes().string("mode", "constant");
  c.require(mode == "constant" || mode == "edge" || mode == "reflect" || mode == "wrap", "mode is '", mode, "'; expected constant, edge, reflect or wrap");
  c.require_same_dtype(0, 2);
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const int rank = c.rank(0);
  std::vector<int64_t> pads, axes;
  if (!c.integers(1, pads) || (c.has(3) && !c.integers(3, axes))) return c.output(0, c.dtype(0), Dims(static_cast<size_t>(rank)));
  const size_t count = c.has(3) ? axes.size() : static_cast<size_t>(rank);
  c.require(pads.size() == 2 * count, "pads has ", pads.size(), " entries; expected ", 2 * count);
  Dims dims = c.dims(0);
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (size_t i = 0; i < count; ++i) {
    const int axis = c.has(3) ? c.axis(axes[i], rank) : static_cast<int>(i);
    c.require(!seen[axis], "axis ", axis, " is given twice");
    seen[axis] = true;
    c.require(std::max(pads[i], pads[i + count]) <= most && std::min(pads[i], pads[i + count]) >= -most, "pads of ", pads[i], " and ", pads[i + count], " are too large");
    if (pads[i] + pads[i + count] == 0) continue;
    if (!dims[axis].known()) {
      dims[axis] = Dim();
      continue;
    }
    const int64_t size = dims[axis].size + pads[i] + pads[i + count];
    c.require(size >= 0, "the pads ", pads[i], " and ", pads[i + count], " remove more than the ", dims[axis].size, " elements of axis ", axis);
    c.require(size == 0 || dims[axis].size > 0 || mode == "constant", "mode ", mode, " cannot pad axis ", axis, ", which is empty");
    dims[axis] = size;
  }
  c.output(0, c.dtype(0), std::move(dims));
}

// What lies before and after each axis of the input.
struct Pads {
  Shape before, after;
};

Pads read_pads(const RunContext& ctx, int rank) {
  Pads p;
  p.before.resize(rank, 0);
  p.after.resize(rank, 0);
  const Integers pads(ctx.in(1)), axes(ctx.has(3) ? ctx.in(3) : ctx.in(1));
  const int64_t count = pads.size() / 2;
  for (int64_t i = 0; i < count; ++i) {
    const int axis = axis_of(ctx.has(3) ? &axes : nullptr, i, rank);
    p.before[axis] = pads[i];
    p.after[axis] = pads[i + count];
  }
  return p;
}

void pad_constant(RunContext& ctx, const Pads& p, const void* x, void* y, const void* value) {
  const Shape &from = ctx.in(0).shape(), &to = ctx.out(0).shape();
  const DType dtype = ctx.out(0).dtype;
  const Shape x_strides = strides_of(from), y_strides = strides_of(to);
  Shape zeros, extent = to;
  zeros.resize(to.rank(), 0);
  int64_t x_offset = 0, y_offset = 0;
  for (int a = 0; a < to.rank(); ++a) {  // extent: the interior of the axes before a, all of the others
    const int64_t head = std::clamp<int64_t>(p.before[a], 0, to[a]), tail = std::clamp<int64_t>(p.after[a], 0, to[a] - head);
    extent[a] = head;
    copy_strided(ctx, dtype, extent, value, zeros, element(y, dtype, y_offset), y_strides);
    extent[a] = tail;
    copy_strided(ctx, dtype, extent, value, zeros, element(y, dtype, y_offset + (to[a] - tail) * y_strides[a]), y_strides);
    extent[a] = to[a] - head - tail;
    y_offset += head * y_strides[a];
    x_offset += std::max<int64_t>(-p.before[a], 0) * x_strides[a];
  }
  copy_strided(ctx, dtype, extent, element(x, dtype, x_offset), x_strides, element(y, dtype, y_offset), y_strides);
}

int64_t source(std::string_view mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == "edge" || n == 1) return i < 0 ? 0 : n - 1;
  const int64_t period = mode == "wrap" ? n : 2 * (n - 1);
  i = (i % period + period) % period;
  return i < n ? i : period - i;
}

// Trailing axes that are not padded form one block.
void pad_mapped(RunContext& ctx, const Pads& p, std::string_view mode, const void* x, void* y) {
  const Shape &from = ctx.in(0).shape(), &to = ctx.out(0).shape();
  int rank = to.rank();
  while (rank > 0 && p.before[rank - 1] == 0 && p.after[rank - 1] == 0) --rank;
  const int64_t block = to.count(rank, to.rank());
  Shape outer, steps;
  int64_t entries = 0, stride = 1;
  for (int a = 0; a < rank; ++a) {
    outer.push_back(to[a]);
    steps.push_back(0);
    entries += to[a];
  }
  auto* table = static_cast<int64_t*>(ctx.temporary(static_cast<size_t>(entries) * sizeof(int64_t)));
  Shape starts = outer;  // of each axis in the table
  for (int a = rank; a-- > 0; stride *= from[a]) {
    starts[a] = entries -= to[a];
    for (int64_t i = 0; i < to[a]; ++i) table[starts[a] + i] = source(mode, i - p.before[a], from[a]) * stride;
  }
  gather_blocks(ctx, ctx.out(0).dtype, block, outer.count(), x, y, [&](int64_t begin, int64_t end, int64_t* at) {
    Odometer position(outer, steps, begin);
    for (int64_t i = begin; i < end; ++i, position.next()) {
      int64_t offset = 0;
      for (int a = 0; a < rank; ++a) offset += table[starts[a] + position.at(a)];
      at[i - begin] = offset;
    }
  });
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  if (y.count() == 0) return;
  const std::string_view mode = ctx.attributes().string("mode", "constant");
  const Pads pads = read_pads(ctx, x.rank());
  const Staged staged(ctx, y);
  const void* from = whole_bytes(ctx, x);
  if (mode == "constant") {
    static const std::string empty;
    static const uint64_t zero[2] = {0, 0};
    const void* value = x.dtype == DType::string ? static_cast<const void*>(&empty) : zero;
    if (ctx.has(2)) {
      ctx.require(ctx.in(2).count() == 1, "constant_value has ", ctx.in(2).count(), " elements; expected one");
      value = whole_bytes(ctx, ctx.in(2));
    }
    pad_constant(ctx, pads, from, staged.data(), value);
  } else {
    pad_mapped(ctx, pads, mode, from, staged.data());
  }
  staged.commit();
}

void gradient(GradientContext& g) {
  const bool constant = g.attributes().string("mode", "constant") == "constant";
  if (g.wants(0)) {
    if (constant) {
      std::vector<Value*> inputs{g.grad(), g.neg(g.in(1))};
      if (g.has(3)) inputs.insert(inputs.end(), {nullptr, g.in(3)});
      g.set(0, g.emit("Pad", inputs));
    } else {
      std::vector<Value*> inputs = g.node.inputs();
      inputs[0] = positions_like(g, g.in(0));
      if (inputs.size() > 2) inputs[2] = nullptr;
      g.set(0, scatter_back(g, g.emit("Pad", inputs, g.attributes()), g.grad(), g.in(0)));
    }
  }
  if (constant && g.wants(2)) {  // every element that came from outside
    std::vector<Value*> inputs{g.emit("Expand", {g.like(g.in(0), 0), g.emit("Shape", {g.in(0)})}), g.in(1), g.like(g.in(0), 1)};
    if (g.has(3)) inputs.push_back(g.in(3));
    Value* outside = g.mul(g.grad(), g.emit("Pad", inputs));
    g.set(2, g.reshape_like(g.emit("ReduceSum", {outside}, {{"keepdims", int64_t{0}}}), g.in(2)));
  }
}

void upgrade(UpgradeContext& u) {
  if (u.from >= 11) return;
  u.integers_to_input(u.node.attributes.has("paddings") ? "paddings" : "pads", 1);
  if (u.node.attributes.string("mode", "constant") == "constant") u.real_to_input("value", 2, u.in(0)->type.dtype);
  u.node.attributes.erase("value");
}

}  // namespace

OUTPOST_DEFINE_OP(Pad, .name = "Pad", .since = 25, .first = 1, .min_inputs = 2, .max_inputs = 4,
                  .doc = "Elements before and after each axis: a constant, the edge, a reflection or the other end.",
                  .infer = infer, .run = run, .upgrade = upgrade, .gradient = gradient,
                  .cases = R"(
                    | f32[2,3] i64[4]={1,0,0,2}
                    | f32[3,4] i64[4]={0,-1,2,-1} f32[]
                    mode="edge" | f32[2,3] i64[4]={1,2,0,1}
                    mode="reflect" | f32[2,3] i64[4]={1,5,0,2}
                    mode="wrap" | f32[2,3] i64[2]={4,1} - i64[1]={-1}
                    | f32[0,3] i64[4]={1,0,1,0} f32[])");

}  // namespace outpost
