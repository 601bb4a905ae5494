// Det of the matrices in the last two axes, by elimination with partial pivoting in f64; and com.microsoft's Inverse,
// by Gauss and Jordan, which Det's gradient needs. Source: ONNX Det-22; onnxruntime ContribOperators.md, Inverse.
#include <algorithm>
#include <cmath>

#include "ops/staging.h"

namespace outpost {
namespace {

void check_square(InferContext& c) {
  c.require_dtype(0, {DType::f32, DType::f64, DType::f16, DType::bf16});
  if (!c.ranked(0)) return;
  c.require(c.rank(0) >= 2, "X must be matrices; found ", c.input(0));
  const Dim rows = c.dims(0)[c.dims(0).size() - 2], columns = c.dims(0).back();
  c.require(!rows.known() || !columns.known() || rows.size == columns.size, "matrices must be square; found ",
            c.input(0));
}

void infer_det(InferContext& c) {
  check_square(c);
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  c.output(0, c.dtype(0), Dims(c.dims(0).begin(), c.dims(0).end() - 2));
}

void infer_inverse(InferContext& c) {
  check_square(c);
  c.output(0, c.input(0));
}

// Two matrices for each thread.
size_t matrix_bytes(const View& x) {
  if (x.count() == 0) return 0;
  const auto n = static_cast<size_t>(x.dim(x.rank() - 1));
  return slice_bytes(2 * n * n * sizeof(double));
}
size_t scratch(const ScratchContext& c) { return matrix_bytes(c.in(0)) * static_cast<size_t>(c.threads); }

// The row at or below `column` whose entry in it is largest.
int64_t pivot(const double* m, int64_t n, int64_t column) {
  int64_t best = column;
  for (int64_t i = column + 1; i < n; ++i)
    if (std::fabs(m[i * n + column]) > std::fabs(m[best * n + column])) best = i;
  return best;
}

double determinant(double* m, int64_t n) {
  double det = 1;
  for (int64_t c = 0; c < n; ++c) {
    const int64_t p = pivot(m, n, c);
    if (p != c) {
      std::swap_ranges(m + p * n, m + (p + 1) * n, m + c * n);
      det = -det;
    }
    det *= m[c * n + c];
    if (m[c * n + c] == 0) return det;
    for (int64_t i = c + 1; i < n; ++i) {
      const double f = m[i * n + c] / m[c * n + c];
      for (int64_t j = c + 1; j < n; ++j) m[i * n + j] -= f * m[c * n + j];
    }
  }
  return det;
}

// False where m is singular.
bool invert(double* m, double* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) out[i * n + j] = i == j;
  for (int64_t c = 0; c < n; ++c) {
    const int64_t p = pivot(m, n, c);
    if (m[p * n + c] == 0) return false;
    if (p != c) {
      std::swap_ranges(m + p * n, m + (p + 1) * n, m + c * n);
      std::swap_ranges(out + p * n, out + (p + 1) * n, out + c * n);
    }
    const double scale = 1 / m[c * n + c];
    for (int64_t j = 0; j < n; ++j) m[c * n + j] *= scale, out[c * n + j] *= scale;
    for (int64_t i = 0; i < n; ++i) {
      const double f = m[i * n + c];
      if (i == c || f == 0) continue;
      for (int64_t j = 0; j < n; ++j) m[i * n + j] -= f * m[c * n + j], out[i * n + j] -= f * out[c * n + j];
    }
  }
  return true;
}

// body(matrix, spare, index) for every matrix of input 0, as f64 copies.
template <class Body>
void for_matrices(RunContext& c, Body&& body) {
  const View& x = c.in(0);
  const int64_t n = x.dim(x.rank() - 1), count = x.shape().count(0, x.rank() - 2);
  c.parallel_ranges(count, n < 64 ? 64 - n : 1, [&](int64_t begin, int64_t end) {
    auto* m = worker_slice<double>(c, matrix_bytes(x));
    for (int64_t i = begin; i < end; ++i) {
      load(x.dtype, x.data, i * n * n, n * n, DType::f64, m);
      body(m, m + n * n, n, i);
    }
  });
}

void run_det(RunContext& c) {
  const View& y = c.out(0);
  for_matrices(c, [&](double* m, double*, int64_t n, int64_t i) {
    const double det = determinant(m, n);
    store(DType::f64, &det, 1, y.dtype, y.data, i);
  });
}

void run_inverse(RunContext& c) {
  const View& y = c.out(0);
  for_matrices(c, [&](double* m, double* out, int64_t n, int64_t i) {
    c.require(invert(m, out, n), "matrix ", i, " is singular");
    store(DType::f64, out, n * n, y.dtype, y.data, i * n * n);
  });
}

Value* swap_last(Builder& b, Value* x) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < x->type.rank(); ++i) order.push_back(i);
  std::swap(order[order.size() - 2], order[order.size() - 1]);
  return b.emit("Transpose", {x}, {{"perm", order}});
}

// d det(X) = det(X) X⁻ᵀ
void gradient_det(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  if (!c.in(0)->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
  Value* inverse = swap_last(c, c.emit("Inverse", {c.in(0)}, {}, "com.microsoft"));
  c.set(0, c.mul(inverse, c.emit("Unsqueeze", {c.mul(c.grad(), c.out(0)), c.integers({-1, -2})})));
}

// dX = -X⁻ᵀ dY X⁻ᵀ
void gradient_inverse(GradientContext& c) {
  if (!c.grad() || !c.wants(0)) return;
  if (!c.in(0)->type.ranked) fail(ErrorCode::unsupported, c.node.label(), ": the gradient needs a known rank");
  Value* y = swap_last(c, c.out(0));
  c.set(0, c.neg(c.emit("MatMul", {c.emit("MatMul", {y, c.grad()}), y})));
}

Cost cost(const CostContext& c) {
  const Type& x = *c.in(0);
  const double n = x.is_static() ? static_cast<double>(x.dims.back().size) : 0;
  return {c.count(x) * n, 2 * c.count(x) * bits(x.dtype) / 8};
}

}  // namespace

OUTPOST_DEFINE_OP(Det, .name = "Det", .since = 22, .first = 11, .doc = "Determinant of square matrices",
                  .infer = infer_det, .run = run_det, .gradient = gradient_det, .cost = cost, .scratch = scratch,
                  .cases = R"(
  | f32[3,3]
  | f32[2,4,1,1]
  | f32[5,4,4]
  | f32[0,3,3]
)");
OUTPOST_DEFINE_OP(ms_Inverse, .name = "Inverse", .domain = "com.microsoft", .doc = "Inverse of square matrices",
                  .infer = infer_inverse, .run = run_inverse, .gradient = gradient_inverse, .cost = cost,
                  .scratch = scratch, .cases = R"(
  | f32[2,2]={4,1,2,3}
  | f32[1,3,3]={4,1,0,1,5,2,0,1,6}
)");

}  // namespace outpost
