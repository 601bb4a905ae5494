// SplitToSequence and ConcatFromSequence: Split and Concat (or a stack along a new axis) whose parts are a sequence.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

int normal(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

void infer_split(InferContext& c) {
  c.require_dtype(1, {DType::i32, DType::i64});
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", 0), c.rank(0));
  if (c.has(1) && c.ranked(1)) c.require(c.rank(1) <= 1, "split has rank ", c.rank(1), "; expected 0 or 1");
  c.output(0, Type::sequence(Type::tensor(c.dtype(0))));
}

// The lengths of the parts of an axis of n.
std::vector<int64_t> part_sizes(RunContext& ctx, int64_t n) {
  if (!ctx.has(1)) return std::vector<int64_t>(static_cast<size_t>(n), 1);
  const Integers split(ctx.in(1));
  std::vector<int64_t> sizes;
  if (ctx.in(1).rank() == 0) {
    ctx.require(split[0] >= 1, "split is ", split[0], "; expected 1 or more");
    for (int64_t at = 0; at < n; at += sizes.back()) sizes.push_back(std::min(split[0], n - at));
    return sizes;
  }
  int64_t rest = n;
  for (int64_t i = 0; i < split.size(); ++i) {
    ctx.require(split[i] >= 0 && split[i] <= rest, "the sizes in split do not sum to ", n);
    rest -= split[i];
    sizes.push_back(split[i]);
  }
  ctx.require(rest == 0, "the sizes in split sum to ", n - rest, ", the axis has ", n);
  return sizes;
}

void run_split(RunContext& ctx) {
  const View& x = ctx.in(0);
  const int axis = normal(ctx.attributes().integer("axis", 0), x.rank());
  if (is_packed(x.dtype)) ctx.fail("cannot split ", x.dtype);
  const int64_t outer = x.shape().count(0, axis), inner = x.shape().count(axis + 1, x.rank()), row = x.dim(axis) * inner;
  const bool drop = !ctx.has(1) && ctx.attributes().integer("keepdims", 1) == 0;
  std::vector<Datum> items;
  int64_t offset = 0;
  for (int64_t size : part_sizes(ctx, x.dim(axis))) {
    Shape shape = x.shape();
    if (drop) shape.erase(axis);
    else shape[axis] = size;
    Tensor part(x.dtype, shape);
    copy_strided(ctx, x.dtype, {outer, size * inner}, element(x.data, x.dtype, offset), {row, 1}, part.raw(), {size * inner, 1});
    offset += size * inner;
    items.emplace_back(std::move(part));
  }
  ctx.set_datum(0, Datum::sequence(std::move(items)));
}

void infer_concat(InferContext& c) {
  c.require(c.attributes().has("axis"), "attribute 'axis' is missing");
  const Type& t = c.input(0);
  c.require(t.kind == Type::Kind::sequence || t.kind == Type::Kind::none, "input 0 is ", to_string(t), "; expected a sequence");
  if (t.element && t.element->dtype != DType::undefined) c.output(0, t.element->dtype);
}

// The shape of the result; every item must fit it.
Shape joined_shape(RunContext& ctx, const std::vector<Datum>& items, int64_t attribute, bool stack) {
  const Tensor& first = items[0].tensor();
  const int rank = first.rank() + (stack ? 1 : 0);
  ctx.require(attribute >= -rank && attribute < rank, "axis ", attribute, " is outside rank ", rank);
  const int axis = normal(attribute, rank);
  Shape shape = first.shape();
  if (stack) shape.insert(axis, 0);
  else shape[axis] = 0;
  for (const Datum& item : items) {
    const Tensor& t = item.tensor();
    Shape expected = shape;
    if (stack) expected.erase(axis);
    else if (t.rank() == rank) expected[axis] = t.shape()[axis];
    ctx.require(t.dtype() == first.dtype() && t.shape() == expected, "items ", Type::of(first), " and ", Type::of(t), " do not join");
    shape[axis] += stack ? 1 : t.shape()[axis];
  }
  return shape;
}

void run_concat(RunContext& ctx) {
  const Datum sequence = ctx.datum(0);
  const auto& items = sequence.items();
  ctx.require(!items.empty(), "the sequence is empty");
  const bool stack = ctx.attributes().integer("new_axis", 0) != 0;
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const Shape shape = joined_shape(ctx, items, attribute, stack);
  View& y = produce(ctx, 0, shape);
  if (is_packed(y.dtype)) ctx.fail("cannot join ", y.dtype);
  const int axis = normal(attribute, shape.rank());
  const int64_t outer = shape.count(0, axis), row = shape.count(axis, shape.rank());
  if (row == 0 || outer == 0) return;
  int64_t offset = 0;
  for (const Datum& item : items) {
    const Tensor t = item.tensor().to_contiguous();
    const int64_t part = t.count() / outer;
    copy_strided(ctx, y.dtype, {outer, part}, t.raw(), {part, 1}, element(y.data, y.dtype, offset), {row, 1});
    offset += part;
  }
}

}  // namespace

OUTPOST_DEFINE_OP(SplitToSequence, .name = "SplitToSequence", .since = 24, .first = 11, .min_inputs = 1, .max_inputs = 2,
                  .doc = "The parts of a tensor along an axis as a sequence.", .infer = infer_split, .run = run_split);
OUTPOST_DEFINE_OP(ConcatFromSequence, .name = "ConcatFromSequence", .since = 11, .first = 11,
                  .doc = "The tensors of a sequence joined along an axis, or stacked along a new one.", .infer = infer_concat,
                  .run = run_concat);

}  // namespace outpost
