// outpost.Linear: y = activation(x w + bias + residual), what MatMul or Gemm, Add and an activation come to: x (..., k),
// w (k, n) or with trans_w (n, k), bias (n), residual of y's shape, y (..., n). A constant w is packed once; the rest
// happens in the product's epilogue while the tile is in registers. Made by passes/fuse_linear.cpp.
#include <algorithm>

#include "ops/fused_activation.h"
#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  bool transposed = false, bf16 = false;
  FusedActivation activation;
  PackedOperand packed;
};

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  for (int i = 1; i < 4; ++i)
    if (c.has(i)) c.require_same_dtype(0, i);
  FusedActivation::of(c.node());
  const int t = c.attributes().integer("trans_w", 0) != 0;
  Dim k, n;
  if (c.ranked(1)) {
    c.require(c.rank(1) == 2, "w must be a matrix; found ", c.input(1));
    k = c.dims(1)[t], n = c.dims(1)[1 - t];
  }
  if (c.has(2) && c.ranked(2))
    c.require(c.rank(2) == 1 && (!n.known() || !c.dims(2)[0].known() || c.dims(2)[0].size == n.size), "bias ", c.input(2),
              " must have a value for each of ", n.known() ? n.size : 0, " columns");
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  Dims out = c.dims(0);
  c.require(!out.empty(), "x must have rank 1 or more");
  c.require(!k.known() || !out.back().known() || k.size == out.back().size, "inner sizes differ: ", c.input(0), " times ", c.input(1));
  out.back() = n;
  if (c.has(3) && c.ranked(3)) {
    bool same = c.rank(3) == static_cast<int>(out.size());
    for (size_t i = 0; same && i < out.size(); ++i) {
      const Dim r = c.dims(3)[i];
      same = !r.known() || !out[i].known() || r.size == out[i].size;
      if (same && !out[i].known()) out[i] = r;
    }
    c.require(same, "residual ", c.input(3), " must have the output's shape ", Type::tensor(c.dtype(0), out));
  }
  c.output(0, c.dtype(0), std::move(out));
}

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->transposed = c.attributes().integer("trans_w", 0);
  p->bf16 = asks_bf16(c.attributes());
  p->activation = FusedActivation::of(c.node);
  if (const Tensor* w = c.constant(1)) p->packed = pack_constant(c, *w, ProductOperand::of(w->shape(), p->transposed, false), p->bf16);
  if (p->packed.bytes.defined()) c.consumed(1);
  return p;
}

Product product_of(const View& x, const View& w, const View& y, const Prepared& p) {
  Product q;
  q.dtype = y.dtype;
  q.k = x.dim(x.rank() - 1), q.n = y.dim(y.rank() - 1);
  q.m = y.shape().count(0, y.rank() - 1);
  q.a_row = q.k;
  q.allow_bf16 = p.bf16;
  q.b_row = p.transposed ? 1 : w.dim(1), q.b_column = p.transposed ? w.dim(1) : 1;
  if (p.packed.bytes.defined()) {
    q.packed_b = static_cast<const char*>(p.packed.bytes.raw());
    q.packed_stride = p.packed.stride;
  }
  return q;
}

// Narrow floats: bias and residual are wanted in the compute type.
size_t copy_bytes(const View& v) { return v.dtype == DType::f64 ? 0 : f32_copy_bytes(v); }

size_t scratch(const ScratchContext& c) {
  const Prepared& p = *static_cast<const Prepared*>(c.prepared);
  size_t bytes = product_scratch_bytes(product_of(c.in(0), c.in(1), c.out(0), p), c.threads);
  for (int i = 2; i < 4; ++i)
    if (c.has(i)) bytes += copy_bytes(c.in(i));
  return bytes;
}

// As the epilogue reads it: the memory itself, or widened into `copy`, which moves on.
const void* operand(const RunContext& c, int i, char*& copy) {
  if (!c.has(i)) return nullptr;
  const View& v = c.in(i);
  if (copy_bytes(v) == 0) return v.data;
  auto* wide = reinterpret_cast<float*>(copy);
  copy += copy_bytes(v);
  constexpr int64_t grain = 1 << 14;
  c.parallel_ranges(v.count(), grain, [&](int64_t begin, int64_t end) { widen(v.dtype, v.data, begin, end - begin, wide + begin); });
  return wide;
}

void run(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View& y = c.out(0);
  if (y.count() == 0) return;
  Product q = product_of(c.in(0), c.in(1), y, p);
  q.a = c.in(0).data, q.b = c.in(1).data, q.y = y.data;
  char* rest = c.scratch<char>();
  q.epilogue.column_bias = operand(c, 2, rest);
  q.epilogue.residual = operand(c, 3, rest);
  q.epilogue.residual_row_stride = q.n;
  using A = kernels::Activation;
  const A kind = p.activation.kind;
  const bool inside = y.dtype != DType::f64 || kind == A::relu || kind == A::clip || kind == A::leaky;
  if (inside) p.activation.set(q.epilogue);
  run_product(c, q, rest);
  if (inside || p.activation.none()) return;
  c.parallel_ranges(y.count(), 1 << 12, [&](int64_t begin, int64_t end) {
    p.activation.apply(y.as<double>() + begin, y.as<double>() + begin, end - begin);
  });
}

void expand(ExpandContext& c) {
  Value* w = c.in(1);
  if (c.attributes().integer("trans_w", 0)) w = c.emit("Transpose", {w}, {{"perm", std::vector<int64_t>{1, 0}}});
  Value* y = c.emit("MatMul", {c.in(0), w});
  if (c.has(2)) y = c.add(y, c.in(2));
  if (c.has(3)) y = c.add(y, c.in(3));
  c.replace(0, expand_activation(c, y, c.attributes()));
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(0), &y = *c.out(0);
  if (!x.is_static() || x.rank() == 0) return {};
  double read = c.count(x) + c.count(*c.in(1)) + c.count(y);
  for (int i = 2; i < 4; ++i)
    if (c.in(i)) read += c.count(*c.in(i));
  return {2 * c.count(y) * static_cast<double>(x.dims.back().size), read * bits(y.dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(outpost_Linear, .name = "Linear", .domain = "outpost", .min_inputs = 2, .max_inputs = 4,
                  .doc = "activation(x w + bias + residual)", .infer = infer, .run = run, .expand = expand, .cost = cost,
                  .prepare = prepare, .scratch = scratch, .in_place = {{3, 0}}, .cases = R"(
  | f32[3,4] f32[4,5]
  activation="relu" | f32[2,3,4] f32[4,5] f32[5]
  activation="gelu_erf" trans_w=1 | f32[2,3,4] f32[5,4] f32[5] f32[2,3,5]
  activation="silu" | f32[4] f32[4,3] - f32[3]
  activation="clip" activation_low=-0.5 activation_high=1.5 | f32[3,0] f32[0,5] f32[5]
  activation="leaky" activation_low=0.1 | f16[3,4] f16[4,5] f16[5] f16[3,5]
  activation="gelu_tanh" | bf16[3,4] bf16[4,5] bf16[5]
  activation="sigmoid" | f32[33,17] f32[17,40] f32[40] f32[33,40]
  activation="tanh" | f32[0,4] f32[4,3]
  activation="hardswish" | f32[2,9] f32[9,2]
)");

}  // namespace outpost
