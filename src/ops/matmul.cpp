// MatMul as numpy's: any ranks, 1-D operands as a row and a column, batch axes broadcast; and com.microsoft's
// FusedMatMul (transposed operands and a factor): the same product on other strides. A constant B is packed once.
// Source: ONNX MatMul-13; onnxruntime ContribOperators.md, FusedMatMul.
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  bool transpose_a = false, transpose_b = false, batch_a = false, batch_b = false;
  double alpha = 1;
  bool bf16 = false;
  PackedOperand packed;
};

Dims transposed(Dims d, bool transpose, bool transpose_batch) {
  const size_t rank = d.size();
  if (rank < 2) return d;
  if (transpose_batch) std::rotate(d.begin(), d.begin() + 1, d.end() - 1);
  if (transpose) std::swap(d[rank - 2], d[rank - 1]);
  return d;
}

void infer(InferContext& c) {
  c.require_same_dtype(0, 1);
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::u32, DType::i64, DType::u64});
  if (!c.ranked(0) || !c.ranked(1)) return c.output(0, c.dtype(0));
  const Attributes& t = c.attributes();
  Dims a = transposed(c.dims(0), t.integer("transA", 0), t.integer("transBatchA", 0));
  Dims b = transposed(c.dims(1), t.integer("transB", 0), t.integer("transBatchB", 0));
  c.require(!a.empty() && !b.empty(), "operands must have rank 1 or more; found ", c.input(0), " and ", c.input(1));
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), Dim(1));
  if (column) b.push_back(Dim(1));
  const Dim ka = a.back(), kb = b[b.size() - 2];
  c.require(!ka.known() || !kb.known() || ka.size == kb.size, "inner sizes differ: ", c.input(0), " times ",
            c.input(1));
  const Dim m = a[a.size() - 2], n = b.back();
  a.resize(a.size() - 2);
  b.resize(b.size() - 2);
  Dims out = broadcast(c, a, b);
  if (!row) out.push_back(m);
  if (!column) out.push_back(n);
  c.output(0, c.dtype(0), std::move(out));
}

ProductOperand left(Shape shape, const Prepared& p) {
  if (shape.rank() == 1) return ProductOperand::of(Shape{1, shape[0]}, false, false);
  return ProductOperand::of(shape, p.transpose_a, p.batch_a);
}

ProductOperand right(Shape shape, const Prepared& p) {
  if (shape.rank() == 1) return ProductOperand::of(Shape{shape[0], 1}, false, false);
  return ProductOperand::of(shape, p.transpose_b, p.batch_b);
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  const Attributes& t = c.attributes();
  p->transpose_a = t.integer("transA", 0), p->transpose_b = t.integer("transB", 0);
  p->batch_a = t.integer("transBatchA", 0), p->batch_b = t.integer("transBatchB", 0);
  p->alpha = t.real("alpha", 1);
  p->bf16 = asks_bf16(t);
  if (const Tensor* b = c.constant(1)) p->packed = pack_constant(c, *b, right(b->shape(), *p), p->bf16);
  if (p->packed.bytes.defined()) c.consumed(1);
  return p;
}

void set_product(Product& product, const View& a, const View& b, const Prepared& p) {
  product.dtype = a.dtype;
  product.alpha = p.alpha;
  product.allow_bf16 = p.bf16;
  if (a.rank() == 2 && b.rank() == 2 && !p.transpose_a && !p.transpose_b && !p.batch_a && !p.batch_b) {
    product.m = a.dim(0), product.k = a.dim(1), product.n = b.dim(1);
    product.a_row = product.k, product.b_row = product.n;
  } else {
    set_geometry(product, left(a.shape(), p), right(b.shape(), p));
  }
  if (!p.packed.bytes.defined()) return;
  product.packed_b = static_cast<const char*>(p.packed.bytes.raw());
  product.packed_stride = p.packed.stride;
}

size_t scratch(const ScratchContext& c) {
  Product product;
  set_product(product, c.in(0), c.in(1), *static_cast<const Prepared*>(c.prepared));
  return product_scratch_bytes(product, c.threads);
}

void run(RunContext& c) {
  Product product;
  set_product(product, c.in(0), c.in(1), c.prepared<Prepared>());
  product.a = c.in(0).data, product.b = c.in(1).data, product.y = c.out(0).data;
  run_product(c, product, c.scratch());
}

Cost cost(const CostContext& c) {
  const Type &a = *c.in(0), &y = *c.out(0);
  const bool swapped = c.node.attributes.integer("transA", 0) && a.rank() > 1;
  if (!a.is_static() || a.rank() == 0) return {};
  const auto k = static_cast<double>(a.dims[a.dims.size() - (swapped ? 2 : 1)].size);
  return {2 * c.count(y) * k, (c.count(a) + c.count(*c.in(1)) + c.count(y)) * bits(y.dtype) / 8};
}

Value* swap_last(Builder& b, Value* x) {
  std::vector<int64_t> order(static_cast<size_t>(x->type.rank()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::swap(order[order.size() - 2], order[order.size() - 1]);
  return b.emit("Transpose", {x}, {{"perm", order}});
}

// dA = dY Bᵀ and dB = Aᵀ dY on matrices, summed over the batch axes that were repeated.
void gradient(GradientContext& c) {
  Value *a = c.in(0), *b = c.in(1), *dy = c.grad();
  if (!dy) return;
  if (!a->type.ranked || !b->type.ranked)
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs operands of known rank");
  const bool row = a->type.rank() == 1, column = b->type.rank() == 1;
  if (column) dy = c.emit("Unsqueeze", {dy, c.integers({-1})});
  if (row) dy = c.emit("Unsqueeze", {dy, c.integers({-2})});
  Value* a2 = row ? c.emit("Unsqueeze", {a, c.integers({0})}) : a;
  Value* b2 = column ? c.emit("Unsqueeze", {b, c.integers({1})}) : b;
  if (c.wants(0)) c.set(0, c.reshape_like(c.sum_to(c.emit("MatMul", {dy, swap_last(c, b2)}), a2), a));
  if (c.wants(1)) c.set(1, c.reshape_like(c.sum_to(c.emit("MatMul", {swap_last(c, a2), dy}), b2), b));
}

void expand_fused(ExpandContext& c) {
  auto arranged = [&](int i, bool transpose, bool batch) -> Value* {
    const int rank = c.in(i)->type.rank();
    if (rank < 2 || (!transpose && !batch)) return c.in(i);
    std::vector<int64_t> order;
    for (int axis = 0; axis < rank; ++axis) order.push_back(axis);
    if (batch) std::rotate(order.begin(), order.begin() + 1, order.end() - 1);
    if (transpose) std::swap(order[order.size() - 2], order[order.size() - 1]);
    return c.emit("Transpose", {c.in(i)}, {{"perm", order}});
  };
  const Attributes& t = c.attributes();
  Value* y = c.emit("MatMul", {arranged(0, t.integer("transA", 0), t.integer("transBatchA", 0)),
                               arranged(1, t.integer("transB", 0), t.integer("transBatchB", 0))});
  if (t.real("alpha", 1) != 1) y = c.mul(y, c.like(y, t.real("alpha", 1)));
  c.replace(0, y);
}

}  // namespace

OUTPOST_DEFINE_OP(MatMul, .name = "MatMul", .since = 13, .min_inputs = 2, .max_inputs = 2,
                  .doc = "Matrix product with numpy's broadcasting", .infer = infer, .run = run, .gradient = gradient,
                  .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  | f32[3,4] f32[4,5]
  | f32[7] f32[7]
  | f32[4] f32[2,4,3]
  | f32[2,3,4] f32[4]
  | f32[2,1,3,4] f32[5,4,2]
  | f32[2,3,4] f32[1,4,33]
  | f32[2,0] f32[0,3]
  | f32[0,4] f32[4,3]
  | i64[3,4] i64[4,2]
  | u32[2,2,3] u32[3,2]
)");

OUTPOST_DEFINE_OP(ms_FusedMatMul, .name = "FusedMatMul", .domain = "com.microsoft", .min_inputs = 2, .max_inputs = 2,
                  .doc = "MatMul of transposed operands with a factor", .infer = infer, .run = run,
                  .expand = expand_fused, .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  transA=1 | f32[4,3] f32[4,5]
  transB=1 alpha=0.125 | f32[2,3,4] f32[2,5,4]
  transA=1 transB=1 | f32[2,4,3] f32[1,5,4]
  transBatchA=1 | f32[3,2,4] f32[2,4,5]
  transBatchB=1 transB=1 | f32[2,3,4] f32[5,2,4]
)");

}  // namespace outpost
