// Gemm: Y = alpha * op(A) op(B) + beta * C on matrices, C broadcast to Y. C goes into the product's epilogue as a row,
// a column or a full residual; a constant B is packed once. Source: ONNX Gemm-13.
#include <algorithm>

#include "ops/product.h"
#include "ops/staging.h"

namespace outpost {
namespace {

struct Prepared {
  bool transpose_a = false, transpose_b = false;
  float alpha = 1, beta = 1;
  bool bf16 = false;
  PackedOperand packed;
};

void infer(InferContext& c) {
  c.require_same_dtype(0, 1);
  c.require_same_dtype(0, 2);
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::u32, DType::i64, DType::u64});
  Dims out(2);
  Dim ka, kb;
  if (c.ranked(0)) {
    c.require(c.rank(0) == 2, "A must be a matrix; found ", c.input(0));
    const int t = c.attributes().integer("transA", 0) != 0;
    out[0] = c.dims(0)[t], ka = c.dims(0)[1 - t];
  }
  if (c.ranked(1)) {
    c.require(c.rank(1) == 2, "B must be a matrix; found ", c.input(1));
    const int t = c.attributes().integer("transB", 0) != 0;
    out[1] = c.dims(1)[1 - t], kb = c.dims(1)[t];
  }
  c.require(!ka.known() || !kb.known() || ka.size == kb.size, "inner sizes differ: ", c.input(0), " times ",
            c.input(1));
  if (c.has(2) && c.ranked(2)) {
    c.require(c.rank(2) <= 2, "C must have rank 2 or less; found ", c.input(2));
    for (int i = 0; i < c.rank(2); ++i) {
      const Dim d = c.dims(2)[i], y = out[i + 2 - c.rank(2)];
      c.require(!d.known() || !y.known() || d.size == 1 || d.size == y.size, "C ", c.input(2),
                " does not broadcast to ", Type::tensor(c.dtype(0), out));
    }
  }
  c.output(0, c.dtype(0), std::move(out));
}

// 1-D and 2-D forms of opsets 1-6 said with an attribute that C broadcasts; it always may now.
void upgrade(UpgradeContext& c) { c.node.attributes.erase("broadcast"); }

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  auto p = std::make_shared<Prepared>();
  p->transpose_a = c.attributes().integer("transA", 0), p->transpose_b = c.attributes().integer("transB", 0);
  p->alpha = c.attributes().real("alpha", 1), p->beta = c.attributes().real("beta", 1);
  p->bf16 = asks_bf16(c.attributes());
  if (const Tensor* b = c.constant(1))
    p->packed = pack_constant(c, *b, ProductOperand::of(b->shape(), p->transpose_b, false), p->bf16);
  if (p->packed.bytes.defined()) c.consumed(1);
  return p;
}

void set_product(Product& product, const View& a, const View& b, const View& y, const Prepared& p) {
  product.dtype = y.dtype;
  product.m = y.dim(0), product.n = y.dim(1), product.k = a.dim(p.transpose_a ? 0 : 1);
  product.a_row = p.transpose_a ? 1 : product.k, product.a_column = p.transpose_a ? product.m : 1;
  product.b_row = p.transpose_b ? 1 : product.n, product.b_column = p.transpose_b ? product.k : 1;
  product.alpha = p.alpha;
  product.allow_bf16 = p.bf16;
  if (!p.packed.bytes.defined()) return;
  product.packed_b = static_cast<const char*>(p.packed.bytes.raw());
  product.packed_stride = p.packed.stride;
}

// Elements of C copied to the compute type: all of it for narrow floats, a scaled column, a repeated scalar.
int64_t copied(const View& c, const View& y, float beta) {
  const bool narrow = c.dtype == DType::f16 || c.dtype == DType::bf16;
  if (c.count() == 1) return y.dim(1);
  const bool column = c.rank() == 2 && c.dim(1) == 1 && y.dim(1) != 1;
  return narrow || (column && beta != 1) ? c.count() : 0;
}

size_t scratch(const ScratchContext& c) {
  const Prepared& p = *static_cast<const Prepared*>(c.prepared);
  Product product;
  set_product(product, c.in(0), c.in(1), c.out(0), p);
  size_t bytes = product_scratch_bytes(product, c.threads);
  if (c.has(2)) bytes += slice_bytes(static_cast<size_t>(copied(c.in(2), c.out(0), p.beta)) * sizeof(double));
  return bytes;
}

// T: f32 or f64. `copy` holds copied() elements.
template <class T>
void set_epilogue(kernels::Epilogue& e, const View& c, const View& y, float beta, T* copy) {
  const int64_t count = c.count();
  if (count == 1) {
    T value;
    value = *read<T>(c, 0, 1, &value) * static_cast<T>(beta);
    std::fill(copy, copy + y.dim(1), value);
    e.column_bias = copy;
    return;
  }
  const T* values = read<T>(c, 0, count, copy);
  if (c.rank() == 2 && c.dim(1) == 1 && y.dim(1) != 1) {
    if (beta != 1) {
      for (int64_t i = 0; i < count; ++i) copy[i] = values[i] * static_cast<T>(beta);
      values = copy;
    }
    e.row_bias = values;
    return;
  }
  const bool one_row = c.rank() < 2 || c.dim(0) == 1;
  if (one_row && beta == 1) {
    e.column_bias = values;
    return;
  }
  e.residual = values;
  e.residual_row_stride = one_row ? 0 : y.dim(1);
  e.residual_scale = beta;
}

template <class U>
void add_integers(const View& c, const View& y, float beta) {
  const int64_t rows = y.dim(0), columns = y.dim(1);
  const int64_t row = c.rank() == 2 && c.dim(0) != 1 ? c.dim(1) : 0;
  const int64_t column = c.rank() > 0 && c.dim(c.rank() - 1) != 1 ? 1 : 0;
  const U scale = static_cast<U>(static_cast<int64_t>(beta));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) y.as<U>()[i * columns + j] += scale * c.as<const U>()[i * row + j * column];
}

void run(RunContext& c) {
  const Prepared& p = c.prepared<Prepared>();
  const View& y = c.out(0);
  Product product;
  set_product(product, c.in(0), c.in(1), y, p);
  product.a = c.in(0).data, product.b = c.in(1).data, product.y = y.data;
  char* rest = c.scratch<char>();
  const bool add = c.has(2) && p.beta != 0 && y.count() > 0;
  if (add && is_float(y.dtype)) {
    if (y.dtype == DType::f64) set_epilogue(product.epilogue, c.in(2), y, p.beta, reinterpret_cast<double*>(rest));
    else set_epilogue(product.epilogue, c.in(2), y, p.beta, reinterpret_cast<float*>(rest));
    rest += slice_bytes(static_cast<size_t>(copied(c.in(2), y, p.beta)) * sizeof(double));
  }
  run_product(c, product, rest);
  if (add && !is_float(y.dtype)) {
    if (bits(y.dtype) == 64) add_integers<uint64_t>(c.in(2), y, p.beta);
    else add_integers<uint32_t>(c.in(2), y, p.beta);
  }
}

Cost cost(const CostContext& c) {
  const Type &a = *c.in(0), &y = *c.out(0);
  const double k = a.is_static() ? static_cast<double>(a.dims[c.node.attributes.integer("transA", 0) ? 0 : 1].size) : 0;
  return {2 * c.count(y) * k, (c.count(a) + c.count(*c.in(1)) + 2 * c.count(y)) * bits(y.dtype) / 8};
}

Value* product(GradientContext& c, Value* a, bool transpose_a, Value* b, bool transpose_b, float alpha) {
  return c.emit("Gemm", {a, b}, {{"transA", int64_t{transpose_a}}, {"transB", int64_t{transpose_b}}, {"alpha", alpha}});
}

void gradient(GradientContext& c) {
  Value* dy = c.grad();
  if (!dy) return;
  const bool ta = c.attributes().integer("transA", 0), tb = c.attributes().integer("transB", 0);
  const float alpha = c.attributes().real("alpha", 1), beta = c.attributes().real("beta", 1);
  if (c.wants(0)) c.set(0, ta ? product(c, c.in(1), tb, dy, true, alpha) : product(c, dy, false, c.in(1), !tb, alpha));
  if (c.wants(1)) c.set(1, tb ? product(c, dy, true, c.in(0), ta, alpha) : product(c, c.in(0), !ta, dy, false, alpha));
  if (c.wants(2)) {
    Value* dc = c.sum_to(dy, c.in(2));
    c.set(2, beta == 1 ? dc : c.mul(dc, c.like(dc, beta)));
  }
}

}  // namespace

OUTPOST_DEFINE_OP(Gemm, .name = "Gemm", .since = 13, .min_inputs = 2, .max_inputs = 3,
                  .doc = "alpha * A B + beta * C on matrices", .infer = infer, .run = run, .upgrade = upgrade,
                  .gradient = gradient, .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  | f32[3,4] f32[4,5]
  transA=1 transB=1 alpha=0.5 beta=0.25 | f32[4,3] f32[5,4] f32[1,5]
  transB=1 | f32[3,4] f32[5,4] f32[5]
  beta=2.0 | f32[3,4] f32[4,5] f32[3,1]
  | f32[3,4] f32[4,5] f32[3,5]
  beta=0.5 | f32[3,4] f32[4,5] f32[]
  | f32[3,0] f32[0,5] f32[5]
  | i32[3,4] i32[4,5] i32[3,1]
)");

}  // namespace outpost
