// Shape and Size: what the plan already knows, as tensors. They never touch their input's memory.
#include <algorithm>

#include "ops/dynamic.h"
#include "ops/op.h"

namespace outpost {
namespace {

struct Range {
  int64_t begin, end;
};

// The axes [start, end) after clamping, as numpy slices.
Range axes(const Attributes& attributes, int64_t rank) {
  auto clamp = [&](int64_t axis) { return std::clamp<int64_t>(axis < 0 ? axis + rank : axis, 0, rank); };
  const int64_t begin = clamp(attributes.integer("start", 0));
  const int64_t end = attributes.has("end") ? clamp(attributes.integer("end", rank)) : rank;
  return {begin, std::max(begin, end)};
}

void infer_shape(InferContext& c) {
  if (!c.ranked(0)) return c.output(0, DType::i64, Dims(1));
  const Range r = axes(c.attributes(), c.rank(0));
  c.output(0, DType::i64, {Dim(r.end - r.begin)});
}

void run_shape(RunContext& ctx) {
  const Shape& shape = ctx.in(0).shape();
  const Range r = axes(ctx.attributes(), shape.rank());
  View& out = produce(ctx, 0, {r.end - r.begin});
  std::copy(shape.begin() + r.begin, shape.begin() + r.end, out.as<int64_t>());
}

void infer_size(InferContext& c) { c.output(0, DType::i64, Dims{}); }

void run_size(RunContext& ctx) { *produce(ctx, 0, {}).as<int64_t>() = ctx.in(0).count(); }

}  // namespace

OUTPOST_DEFINE_OP(Shape, .name = "Shape", .since = 25, .first = 1, .doc = "The shape of a tensor, or a part of it.",
                  .infer = infer_shape, .run = run_shape, .no_gradient = "integer output", .host_shape = true,
                  .cases = R"(
                    | f32[2,3,4]
                    start=-2 | f32[2,3,4]
                    start=1 end=-1 | f32[2,3,0,5]
                    start=2 end=1 | f32[2,3]
                    | f32[])");

OUTPOST_DEFINE_OP(Size, .name = "Size", .since = 25, .first = 1, .doc = "The number of elements of a tensor.",
                  .infer = infer_size, .run = run_size, .no_gradient = "integer output", .host_shape = true,
                  .cases = R"(
                    | f32[2,3,4]
                    | f32[0,3]
                    | f32[])");

}  // namespace outpost
