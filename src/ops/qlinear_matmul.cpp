// QLinearMatMul: a product of quantised matrices, quantised again. 8-bit integers are summed in int32; float8 operands
// are dequantised and go through the f32 product. Source: ONNX QLinearMatMul-21.
#include <algorithm>

#include "ops/integer_product.h"

namespace outpost {
namespace {

enum Input { a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero };

bool is_integer(DType t) { return t == DType::i8 || t == DType::u8; }

void infer(InferContext& c) {
  for (int i : {a, b, y_zero})
    c.require_dtype(i, {DType::i8, DType::u8, DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz});
  for (int i : {a_scale, b_scale, y_scale}) c.require_dtype(i, {DType::f32, DType::f16, DType::bf16});
  c.require_same_dtype(a, a_zero);
  c.require_same_dtype(b, b_zero);
  c.require(is_integer(c.dtype(a)) == is_integer(c.dtype(b)), "a and b must both be integers or both float8");
  check_single(c, y_scale);
  check_single(c, y_zero);
  check_zero_point(c, a_zero, a, true);
  check_zero_point(c, a_scale, a, true);
  check_zero_point(c, b_zero, b, false);
  check_zero_point(c, b_scale, b, false);
  infer_matmul(c, a, b, c.dtype(y_zero));
}

std::shared_ptr<const void> prepare(const PrepareContext& c) { return prepare_integer_product(c, b, b_zero); }

// Scratch: int32 sums (or f32 products) | for each thread one f32 row | integers: product memory, float8: f32 operands.
struct Layout {
  size_t sums, row, rest;
};

Product f32_product(const View& x, const View& y) {
  Product p;
  const Shape &s = x.shape(), &t = y.shape();
  set_geometry(p, ProductOperand::of(s.rank() == 1 ? Shape{1, s[0]} : s, false, false),
               ProductOperand::of(t.rank() == 1 ? Shape{t[0], 1} : t, false, false), false);
  return p;
}

Layout layout(const View& x, const View& w, const View* x_zero, const View* w_zero, int threads) {
  const IntegerProduct p = integer_product(x, w, x_zero, w_zero);
  Layout l;
  l.sums = slice_bytes(static_cast<size_t>(p.count()) * 4);
  l.row = slice_bytes(static_cast<size_t>(p.geometry.n) * 4);
  if (is_integer(x.dtype)) l.rest = integer_product_scratch_bytes(p, threads);
  else l.rest = f32_copy_bytes(x) + f32_copy_bytes(w) + product_scratch_bytes(f32_product(x, w), threads);
  return l;
}

size_t scratch(const ScratchContext& c) {
  const Layout l = layout(c.in(a), c.in(b), &c.in(a_zero), &c.in(b_zero), c.threads);
  return l.sums + l.row * static_cast<size_t>(c.threads) + l.rest;
}

void quantise(const RunContext& c, const float* x, float scale, const View& y, int64_t first, int64_t n) {
  const View& zero = c.in(y_zero);
  const kernels::Kernels& k = kernels::kernels();
  if (y.dtype == DType::i8) return k.quantize_s8(x, scale, value_i32(zero, 0), y.as<int8_t>() + first, n);
  if (y.dtype == DType::u8) return k.quantize_u8(x, scale, value_i32(zero, 0), y.as<uint8_t>() + first, n);
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i] / scale + value_f32(zero, 0);
    store(DType::f32, &v, 1, y.dtype, y.data, first + i);
  }
}

// Row by row: sums * a_scale * b_scale, then onto y's scale.
template <class Sum>
void finish(const RunContext& c, const Product& s, const Sum* sums, char* rows, size_t row_bytes) {
  const PerLine row_scale{&c.in(a_scale), s.m}, column_scale{&c.in(b_scale), s.n};
  const float scale = value_f32(c.in(y_scale), 0);
  c.require(scale != 0, "y_scale is 0");
  require_lines(c, c.in(a_scale), s.m, s.batches);
  require_lines(c, c.in(b_scale), s.n, s.batches);
  const bool one = c.in(b_scale).count() == 1;
  const int64_t grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(1, s.n));
  c.parallel_ranges(s.batches * s.m, grain, [&](int64_t begin, int64_t end) {
    auto* line = reinterpret_cast<float*>(rows + row_bytes * static_cast<size_t>(RunContext::worker()));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t batch = row / s.m;
      const float by_row = value_f32(c.in(a_scale), row_scale.index(batch, row % s.m));
      const float by_all = one ? by_row * value_f32(c.in(b_scale), 0) : by_row;
      for (int64_t j = 0; j < s.n; ++j) line[j] = static_cast<float>(sums[row * s.n + j]) * by_all;
      if (!one)
        for (int64_t j = 0; j < s.n; ++j) line[j] *= value_f32(c.in(b_scale), column_scale.index(batch, j));
      quantise(c, line, scale, c.out(0), row * s.n, s.n);
    }
  });
}

// float8: subtract the zero points while widening; scales follow.
void run_float8(RunContext& c, const Layout& l, char* memory) {
  Product p = f32_product(c.in(a), c.in(b));
  auto* sums = reinterpret_cast<float*>(memory);
  char* rest = memory + l.sums + l.row * static_cast<size_t>(c.threads());
  auto *x = reinterpret_cast<float*>(rest), *w = reinterpret_cast<float*>(rest + f32_copy_bytes(c.in(a)));
  auto dequantise = [&](const View& v, const View& zero, float* to) {
    as_f32(v, to);
    const float z = value_f32(zero, 0);
    for (int64_t i = 0; z != 0 && i < v.count(); ++i) to[i] -= z;
  };
  c.require(c.in(a_zero).count() == 1 && c.in(b_zero).count() == 1, "float8 zero points must be single values");
  dequantise(c.in(a), c.in(a_zero), x);
  dequantise(c.in(b), c.in(b_zero), w);
  p.a = x, p.b = w, p.y = sums;
  run_product(c, p, rest + f32_copy_bytes(c.in(a)) + f32_copy_bytes(c.in(b)));
  finish(c, p, sums, memory + l.sums, l.row);
}

void run(RunContext& c) {
  if (c.out(0).count() == 0) return;
  const Layout l = layout(c.in(a), c.in(b), &c.in(a_zero), &c.in(b_zero), c.threads());
  char* memory = c.scratch<char>();
  if (!is_integer(c.in(a).dtype)) return run_float8(c, l, memory);
  IntegerProduct p = integer_product(c.in(a), c.in(b), &c.in(a_zero), &c.in(b_zero));
  p.y = reinterpret_cast<int32_t*>(memory);
  p.packed = &c.prepared<PackedOperand>();
  run_integer_product(c, p, memory + l.sums + l.row * static_cast<size_t>(c.threads()));
  Product s = p.geometry;
  if (c.in(a_scale).count() > 1 && s.batches == 1)  // rows were folded: scales are per row of one matrix
    s.m = c.in(a).rank() >= 2 ? c.in(a).dim(c.in(a).rank() - 2) : 1, s.batches = s.m > 0 ? p.geometry.m / s.m : 0;
  finish(c, s, p.y, memory + l.sums, l.row);
}

Cost cost(const CostContext& c) {
  const Type &x = *c.in(a), &y = *c.out(0);
  if (!x.is_static() || x.rank() == 0) return {};
  return {2 * c.count(y) * static_cast<double>(x.dims.back().size), c.count(x) + c.count(*c.in(b)) + c.count(y)};
}

}  // namespace

OUTPOST_DEFINE_OP(QLinearMatMul, .name = "QLinearMatMul", .since = 21, .first = 10, .min_inputs = 8, .max_inputs = 8,
                  .doc = "Product of quantised matrices, quantised", .infer = infer, .run = run,
                  .no_gradient = "integers", .cost = cost, .prepare = prepare, .scratch = scratch, .cases = R"(
  | u8[3,4] f32[]={0.5} u8[]={9} u8[4,5] f32[]={0.25} u8[]={100} f32[]={2.5} u8[]={20}
  | i8[2,3,4] f32[]={0.5} i8[]={1} i8[4,5] f32[5](0.1,1) i8[5] f32[]={2.5} i8[]={0}
)");

}  // namespace outpost
