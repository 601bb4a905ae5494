// Concat: tensors one after another along an axis: as many strided copies of two axes (before, axis and after).
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

// All dimensions but the axis agree; what one input knows, the output knows.
void infer(InferContext& c) {
  int rank = -1;
  for (int i = 0; i < c.inputs(); ++i) {
    c.require_same_dtype(0, i);
    if (c.input(i).ranked) rank = c.rank(i);
  }
  if (rank < 0) return c.output(0, c.dtype(0));
  c.require(c.attributes().has("axis"), "attribute 'axis' is missing");
  const int axis = c.axis(c.attributes().integer("axis", 0), rank);
  Dims dims(static_cast<size_t>(rank));
  Dim total = 0;
  for (int i = 0; i < c.inputs(); ++i) {
    if (!c.ranked(i)) {
      total = Dim();
      continue;
    }
    c.require(c.rank(i) == rank, "input ", i, " has rank ", c.rank(i), ", others ", rank);
    for (int a = 0; a < rank; ++a) {
      const Dim d = c.dims(i)[a];
      if (a == axis) continue;
      c.require(!d.known() || !dims[a].known() || d == dims[a], "input ", i, " has size ", d.size, " on axis ", a, ", others ", dims[a].size);
      if (!dims[a].known() && (d.known() || dims[a].symbol == 0)) dims[a] = d;
    }
    total = total + c.dims(i)[axis];
  }
  dims[axis] = total;
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  View& y = ctx.out(0);
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + y.rank() : attribute);
  const int64_t outer = y.shape().count(0, axis), inner = y.shape().count(axis + 1, y.rank());
  const int64_t row = y.dim(axis) * inner;
  const Staged staged(ctx, y);
  int64_t offset = 0;
  for (int i = 0; i < ctx.inputs(); ++i) {
    const View& x = ctx.in(i);
    const int64_t part = x.dim(axis) * inner;
    if (part == 0) continue;
    void* to = element(staged.data(), y.dtype, offset);
    offset += part;
    if (to != x.data) copy_strided(ctx, x.dtype, {outer, part}, whole_bytes(ctx, x), {part, 1}, to, {row, 1});
  }
  staged.commit();
}

int64_t begin_of_part(const PartContext& c, int i) {
  const Type& y = *c.outputs[0];
  const int64_t attribute = c.node.attributes.integer("axis", 0);
  const auto axis = static_cast<size_t>(attribute < 0 ? attribute + y.rank() : attribute);
  if (bits(y.dtype) < 8 || y.dtype == DType::string || y.shape().count(0, static_cast<int>(axis)) != 1) return -1;
  int64_t before = 0;
  for (int k = 0; k < i; ++k) before += c.inputs[static_cast<size_t>(k)]->shape().count();
  return before * bits(y.dtype) / 8;
}

// The pieces of the gradient, cut by the inputs' sizes on the axis.
void gradient(GradientContext& g) {
  const int inputs = static_cast<int>(g.node.inputs().size());
  if (inputs == 1) return g.set(0, g.grad());
  const Attribute axis = g.attributes().integer("axis", 0);
  Value* position = g.integers({g.attributes().integer("axis", 0)});
  std::vector<Value*> sizes;
  for (int i = 0; i < inputs; ++i) sizes.push_back(g.emit("Gather", {g.emit("Shape", {g.in(i)}), position}));
  Node* split = g.emit_node("Split", {g.grad(), g.emit("Concat", sizes, {{"axis", int64_t{0}}})}, {{"axis", axis}}, inputs);
  for (int i = 0; i < inputs; ++i)
    if (g.wants(i)) g.set(i, split->output(i));
}

void upgrade(UpgradeContext& u) {
  if (u.from < 4 && !u.node.attributes.has("axis")) u.node.attributes.set("axis", int64_t{1});
}

}  // namespace

OUTPOST_DEFINE_OP(Concat, .name = "Concat", .since = 13, .first = 1, .min_inputs = 1, .max_inputs = -1,
                  .doc = "Tensors one after another along an axis.", .infer = infer, .run = run, .upgrade = upgrade,
                  .gradient = gradient, .cost = movement_cost, .part = begin_of_part, .joins = true,
                  .cases = R"(
                    axis=0 | f32[2,3] f32[4,3]
                    axis=-1 | f32[2,3] f32[2,1] f32[2,4]
                    axis=1 | f32[2,0,3] f32[2,2,3]
                    axis=1 | f32[0,2] f32[0,5])");

}  // namespace outpost
