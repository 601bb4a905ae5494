// Split: the inverse of Concat. Sizes come from the second input, or are ceil(n / num_outputs) with a smaller last part.
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

// The sizes along the axis of length n; false while they are not known.
bool part_sizes(const InferContext& c, Dim n, std::vector<int64_t>& sizes) {
  if (c.has(1)) {
    if (!c.integers(1, sizes)) return false;
    c.require(static_cast<int>(sizes.size()) == c.outputs(), "split has ", sizes.size(), " sizes for ", c.outputs(), " outputs");
    Dim sum = 0;
    for (int64_t s : sizes) {
      c.require(s >= 0, "split holds ", s, "; expected sizes");
      sum = sum + Dim(s);
    }
    c.require(!n.known() || sum == n, "the sizes in split sum to ", sum.size, ", the axis has ", n.size);
    return true;
  }
  if (!n.known()) return false;
  const int64_t parts = c.attributes().integer("num_outputs", c.outputs());
  c.require(parts == c.outputs(), "num_outputs is ", parts, " for ", c.outputs(), " outputs");
  const int64_t each = (n.size + parts - 1) / parts;
  c.require(each * (parts - 1) <= n.size, "an axis of size ", n.size, " does not split into ", parts, " parts of ", each);
  sizes.assign(static_cast<size_t>(parts), each);
  sizes.back() = n.size - each * (parts - 1);
  return true;
}

void infer(InferContext& c) {
  const bool ranked = c.ranked(0);
  const int axis = ranked ? c.axis(c.attributes().integer("axis", 0), c.rank(0)) : 0;
  std::vector<int64_t> sizes;
  const bool known = part_sizes(c, ranked ? c.dims(0)[axis] : Dim(), sizes);
  for (int i = 0; i < c.outputs(); ++i) {
    if (!ranked) {
      c.output(i, c.dtype(0));
      continue;
    }
    Dims dims = c.dims(0);
    dims[axis] = known ? Dim(sizes[i]) : Dim();
    c.output(i, c.dtype(0), std::move(dims));
  }
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  const int64_t outer = x.shape().count(0, axis), inner = x.shape().count(axis + 1, x.rank());
  const int64_t row = x.dim(axis) * inner;
  const void* from = whole_bytes(ctx, x);
  const Integers sizes(ctx.has(1) ? ctx.in(1) : x);
  const int64_t each = (x.dim(axis) + ctx.outputs() - 1) / ctx.outputs();
  int64_t offset = 0;
  for (int i = 0; i < ctx.outputs(); ++i) {
    const int64_t part = (ctx.has(1) ? sizes[i] : std::min(each, x.dim(axis) - i * each)) * inner;
    const void* begin = element(from, x.dtype, offset);
    if (ctx.wants(i) && part > 0 && ctx.out(i).data != begin) {
      const Staged staged(ctx, ctx.out(i));
      copy_strided(ctx, x.dtype, {outer, part}, begin, {row, 1}, staged.data(), {part, 1});
      staged.commit();
    }
    offset += part;
  }
}

int64_t begin_of_part(const PartContext& c, int i) {
  const Type& x = *c.inputs[0];
  const int64_t attribute = c.node.attributes.integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  if (bits(x.dtype) < 8 || x.dtype == DType::string || x.shape().count(0, axis) != 1) return -1;
  int64_t before = 0;
  for (int k = 0; k < i; ++k) {
    if (!c.outputs[static_cast<size_t>(k)]) return -1;
    before += c.outputs[static_cast<size_t>(k)]->shape().count();
  }
  return before * bits(x.dtype) / 8;
}

void gradient(GradientContext& g) {
  std::vector<Value*> parts;
  for (int i = 0; i < static_cast<int>(g.node.outputs().size()); ++i) {
    Value* zero = g.grad(i) || !g.out(i) ? nullptr : g.emit("Expand", {g.like(g.in(0), 0), g.emit("Shape", {g.out(i)})});
    parts.push_back(g.grad(i) ? g.grad(i) : zero);
    if (!parts.back()) fail(ErrorCode::unsupported, g.node.label(), ": no gradient while output ", i, " is absent");
  }
  g.set(0, g.emit("Concat", parts, {{"axis", g.attributes().integer("axis", 0)}}));
}

void upgrade(UpgradeContext& u) {
  u.integers_to_input("split", 1);
  if (!u.has(1) && !u.node.attributes.has("num_outputs"))
    u.node.attributes.set("num_outputs", static_cast<int64_t>(u.node.outputs().size()));
}

}  // namespace

OUTPOST_DEFINE_OP(Split, .name = "Split", .since = 18, .first = 1, .min_inputs = 1, .max_inputs = 2, .min_outputs = 1,
                  .max_outputs = -1, .doc = "Parts of a tensor along an axis.", .infer = infer, .run = run, .upgrade = upgrade,
                  .gradient = gradient, .cost = movement_cost, .part = begin_of_part,
                  .cases = R"(
                    axis=0 num_outputs=1 | f32[4,3]
                    axis=-1 num_outputs=1 | f32[2,0])");

}  // namespace outpost
