// Gather: blocks of the axes after `axis`, picked by index. https://onnx.ai/onnx/operators/onnx__Gather.html
#include "ops/dynamic.h"
#include "ops/movement.h"
#include "ops/op.h"

namespace outpost {
namespace {

void infer(InferContext& c) {
  c.require_dtype(1, {DType::i32, DType::i64});
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  const Dims& x = c.dims(0);
  const int axis = c.axis(c.attributes().integer("axis", 0), c.rank(0));
  if (!c.ranked(1)) return c.output(0, c.dtype(0));
  c.require(c.rank(0) - 1 + c.rank(1) <= Shape::max_rank, "the result would have more than ", Shape::max_rank, " axes");
  Dims dims(x.begin(), x.begin() + axis);
  dims.insert(dims.end(), c.dims(1).begin(), c.dims(1).end());
  dims.insert(dims.end(), x.begin() + axis + 1, x.end());
  c.output(0, c.dtype(0), std::move(dims));
}

void run(RunContext& ctx) {
  allocate_inferred(ctx);
  const View& x = ctx.in(0);
  View& y = ctx.out(0);
  const int64_t attribute = ctx.attributes().integer("axis", 0);
  const int axis = static_cast<int>(attribute < 0 ? attribute + x.rank() : attribute);
  const int64_t outer = x.shape().count(0, axis), size = x.dim(axis);
  int64_t block = x.shape().count(axis + 1, x.rank());
  const Integers indices(ctx.in(1));
  const int64_t picks = indices.size();
  if (block == 0) return;
  auto locate = [&](int64_t begin, int64_t end, int64_t* at) {
    int64_t row = begin / picks, pick = begin % picks;
    for (int64_t i = begin; i < end; ++i) {
      at[i - begin] = row * size + checked_index(ctx, indices[pick], size);
      if (++pick == picks) pick = 0, ++row;
    }
  };
  if (is_packed(x.dtype) && block * bits(x.dtype) % 8 == 0)  // rows of whole bytes, as in embedding tables
    return gather_blocks(ctx, DType::u8, block * bits(x.dtype) / 8, outer * picks, x.data, y.data, locate);
  if (x.dtype != DType::string && reinterpret_cast<uintptr_t>(x.data) % 8 != 0 && bits(x.dtype) >= 8 && bits(x.dtype) <= 64)
    return gather_blocks(ctx, DType::u8, block * (bits(x.dtype) / 8), outer * picks, x.data, y.data, locate);  // a table where its file has it
  const Staged staged(ctx, y);
  gather_blocks(ctx, x.dtype, block, outer * picks, whole_bytes(ctx, x), staged.data(), locate);
  staged.commit();
}

// With the axis in front, every picked block is added back to its row.
void gradient(GradientContext& g) {
  if (!g.wants(0)) return;
  Value *x = g.in(0), *indices = g.in(1);
  if (!x->type.ranked || !indices->type.ranked) fail(ErrorCode::unsupported, g.node.label(), ": no gradient for an unknown rank");
  const int rank = x->type.rank(), picked = indices->type.rank();
  int64_t axis = g.attributes().integer("axis", 0);
  if (axis < 0) axis += rank;
  Value* tuples = g.emit("Unsqueeze", {indices, g.integers({-1})});
  const Attributes add{{"reduction", std::string("add")}};
  auto zeros = [&](Value* shape) { return g.emit("Expand", {g.like(x, 0), shape}); };
  Value* shape = g.emit("Shape", {x});
  if (axis == 0) return g.set(0, g.emit("ScatterND", {zeros(shape), tuples, g.grad()}, add));
  std::vector<int64_t> to_front{axis}, back, picks_first;  // permutations of x, its inverse, and of the gradient
  for (int a = 0; a < rank; ++a)
    if (a != axis) to_front.push_back(a);
  for (int a = 0; a < rank; ++a) back.push_back(a < axis ? a + 1 : a == axis ? 0 : a);
  for (int a = 0; a < picked; ++a) picks_first.push_back(axis + a);
  for (int a = 0; a < rank - 1 + picked; ++a)
    if (a < axis || a >= axis + picked) picks_first.push_back(a);
  Value* moved = g.emit("Transpose", {g.grad()}, {{"perm", picks_first}});
  Value* sums = g.emit("ScatterND", {zeros(g.emit("Gather", {shape, g.integers(to_front)})), tuples, moved}, add);
  g.set(0, g.emit("Transpose", {sums}, {{"perm", back}}));
}

}  // namespace

OUTPOST_DEFINE_OP(Gather, .name = "Gather", .since = 13, .first = 1, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Picks slices of an axis by index.", .infer = infer, .run = run, .gradient = gradient, .cost = movement_cost, .any_address = true,
                  .cases = R"(
                    | f32[5,3] i64[2,2]={0,4,-1,2}
                    axis=1 | f32[2,5,3] i64[3]={0,-5,0}
                    axis=-1 | f32[2,5] i32[]={3}
                    | f32[5,3] i64[0]={}
                    | f32[5,0] i64[2]={1,1})");

}  // namespace outpost
