// LpNormalization: lines of an axis divided by their 1- or 2-norm; lines of zeros stay.
// Source: ONNX LpNormalization-22.
#include "ops/rows.h"

namespace outpost {
namespace {

struct Prepared {
  int64_t axis, p;
};

std::shared_ptr<const void> prepare(const PrepareContext& c) {
  return std::make_shared<Prepared>(Prepared{c.attributes().integer("axis", -1), c.attributes().integer("p", 2)});
}

void infer(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  const int64_t p = c.attributes().integer("p", 2);
  c.require(p == 1 || p == 2, "p is ", p, "; expected 1 or 2");
  if (c.ranked(0)) c.axis(c.attributes().integer("axis", -1), c.rank(0));
  c.output(0, c.input(0));
}

AxisView view(const View& x, const Prepared& p) { return AxisView(x.shape(), wrap_axis(p.axis, x.rank())); }

size_t scratch(const ScratchContext& c) {
  return axis_scratch_bytes(c.in(0).dtype, view(c.in(0), *static_cast<const Prepared*>(c.prepared)), c.threads);
}

template <class T>
T inverse_norm(T total, int p) {
  const T norm = p == 2 ? std::sqrt(total) : total;
  return norm == 0 ? T{1} : 1 / norm;
}

template <int P>
constexpr int reduction = int(P == 1 ? kernels::Reduce::sum_absolute : kernels::Reduce::sum_square);

template <int P>
void rows(const float* x, float* y, int64_t rows, int64_t columns) {
  const kernels::Kernels& k = kernels::kernels();
  for (int64_t i = 0; i < rows; ++i, x += columns, y += columns) {
    float total;
    k.reduce_rows[reduction<P>](x, 1, columns, columns, &total);
    k.multiply_add(x, inverse_norm(total, P), 0, y, columns);
  }
}

template <int P>
void columns(const float* x, float* y, int64_t length, int64_t columns, int64_t stride) {
  const kernels::Kernels& k = kernels::kernels();
  float norms[1024];  // a panel has at most as many columns
  k.reduce_columns[reduction<P>](x, length, columns, stride, norms);
  for (int64_t j = 0; j < columns; ++j) norms[j] = inverse_norm(norms[j], P);
  for (int64_t i = 0; i < length; ++i)
    k.binary[int(kernels::Binary::multiply)](x + i * stride, 1, norms, 1, y + i * stride, columns);
}

template <int P>
void line(const double* x, double* y, int64_t length, int64_t stride) {
  double total = 0;
  for (int64_t i = 0; i < length; ++i) total += P == 1 ? std::fabs(x[i * stride]) : x[i * stride] * x[i * stride];
  const double factor = inverse_norm(total, P);
  for (int64_t i = 0; i < length; ++i) y[i * stride] = x[i * stride] * factor;
}

void run(RunContext& c) {
  static constexpr AxisFunction l1{rows<1>, columns<1>, line<1>}, l2{rows<2>, columns<2>, line<2>};
  const Prepared& p = c.prepared<Prepared>();
  run_along_axis(c, p.p == 1 ? l1 : l2, c.in(0), c.out(0), view(c.in(0), p));
}

// L2: dX = (dY - y sum(dY y)) / norm.  L1: dX = (dY - sign(x) sum(dY y)) / norm.
void gradient(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  Value *x = c.in(0), *y = c.out(0), *dy = c.grad();
  Value* axis = c.integers({c.attributes().integer("axis", -1)});
  const bool l2 = c.attributes().integer("p", 2) == 2;
  Value* norm = c.emit(l2 ? "ReduceL2" : "ReduceL1", {x, axis});
  Value* safe = c.emit("Where", {c.emit("Equal", {norm, c.like(x, 0)}), c.like(x, 1), norm});
  Value* along = c.emit("ReduceSum", {c.mul(dy, y), axis});
  c.set(0, c.div(c.sub(dy, c.mul(l2 ? y : c.emit("Sign", {x}), along)), safe));
}

}  // namespace

OUTPOST_DEFINE_OP(LpNormalization, .name = "LpNormalization", .since = 22, .doc = "Lines of an axis over their norm",
                  .infer = infer, .run = run, .gradient = gradient, .prepare = prepare, .scratch = scratch,
                  .in_place = {{0, 0}}, .cases = R"(
  | f32[2,3,17]
  axis=1 p=1 | f32[2,5,3]
  axis=0 | f32[7]
  axis=-2 | f32[2,3,70]
  axis=1 | f32[2,0,3]
)");

}  // namespace outpost
