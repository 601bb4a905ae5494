// MatMulInteger, and com.microsoft's MatMulIntegerToFloat and DynamicQuantizeMatMul, which scale the int32 sums.
// Source: ONNX MatMulInteger-10; onnxruntime ContribOperators.md.
#include <algorithm>

#include "ops/integer_product.h"

namespace outpost {
namespace {

const View* optional(const RunContext& c, int i) { return c.has(i) ? &c.in(i) : nullptr; }
const View* optional(const ScratchContext& c, int i) { return c.has(i) ? &c.in(i) : nullptr; }

template <int B, int Zero>
std::shared_ptr<const void> prepare(const PrepareContext& c) { return prepare_integer_product(c, B, Zero); }

// ---- MatMulInteger (A, B, a_zero, b_zero)

void infer(InferContext& c) {
  c.require_dtype(0, {DType::i8, DType::u8});
  c.require_dtype(1, {DType::i8, DType::u8});
  c.require_same_dtype(0, 2);
  c.require_same_dtype(1, 3);
  check_zero_point(c, 2, 0, true);
  check_zero_point(c, 3, 1, false);
  infer_matmul(c, 0, 1, DType::i32);
}

size_t scratch(const ScratchContext& c) {
  return integer_product_scratch_bytes(integer_product(c.in(0), c.in(1), optional(c, 2), optional(c, 3)), c.threads);
}

void run(RunContext& c) {
  IntegerProduct p = integer_product(c.in(0), c.in(1), optional(c, 2), optional(c, 3));
  p.y = c.out(0).as<int32_t>();
  p.packed = &c.prepared<PackedOperand>();
  run_integer_product(c, p, c.scratch());
}

// ---- MatMulIntegerToFloat (A, B, a_scale, b_scale, a_zero, b_zero, bias)

// y = sums * a_scale * b_scale + bias, row by row. b_scale and bias: one value or one per column.
void scale_rows(const RunContext& c, const IntegerProduct& p, float a_scale, const View& b_scale, const View* bias,
                float* y) {
  require_lines(c, b_scale, p.geometry.n, p.geometry.batches);
  const int64_t n = p.geometry.n, grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, n));
  const kernels::Kernels& k = kernels::kernels();
  const auto* scales = b_scale.as<const float>();
  const bool columns = b_scale.count() > 1;
  c.parallel_ranges(p.geometry.batches * p.geometry.m, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* line = y + row * n;
      const int64_t batch = row / p.geometry.m;
      k.dequantize_s32(p.y + row * n, columns ? a_scale : a_scale * scales[0], 0, line, n);
      if (columns) {
        const float* line_scales = scales + (b_scale.count() > n ? batch * n : 0);
        k.binary[int(kernels::Binary::multiply)](line, 1, line_scales, 1, line, n);
      }
      if (bias) k.binary[int(kernels::Binary::add)](line, 1, bias->as<const float>(), 1, line, n);
    }
  });
}

void infer_to_float(InferContext& c) {
  c.require_dtype(0, {DType::i8, DType::u8});
  c.require_dtype(1, {DType::i8, DType::u8});
  c.require_dtype(2, {DType::f32});
  c.require_dtype(3, {DType::f32});
  c.require_same_dtype(0, 4);
  c.require_same_dtype(1, 5);
  check_zero_point(c, 4, 0, true);
  check_zero_point(c, 5, 1, false);
  check_zero_point(c, 3, 1, false);
  check_single(c, 2);
  infer_matmul(c, 0, 1, DType::f32);
}

void check_bias(const RunContext& c, const View* bias, int64_t n) {
  c.require(!bias || bias->count() == n, "bias has ", bias ? bias->count() : 0, " values; expected ", n);
}

size_t scratch_to_float(const ScratchContext& c) {
  const IntegerProduct p = integer_product(c.in(0), c.in(1), optional(c, 4), optional(c, 5));
  return slice_bytes(static_cast<size_t>(p.count()) * sizeof(int32_t)) + integer_product_scratch_bytes(p, c.threads);
}

void run_to_float(RunContext& c) {
  IntegerProduct p = integer_product(c.in(0), c.in(1), optional(c, 4), optional(c, 5));
  p.y = c.scratch<int32_t>();
  p.packed = &c.prepared<PackedOperand>();
  check_bias(c, optional(c, 6), p.geometry.n);
  run_integer_product(c, p, c.scratch<char>() + slice_bytes(static_cast<size_t>(p.count()) * sizeof(int32_t)));
  scale_rows(c, p, c.in(2).as<const float>()[0], c.in(3), optional(c, 6), c.out(0).as<float>());
}

// ---- DynamicQuantizeMatMul (A f32, B, b_scale, b_zero, bias): A becomes u8 over its own range

void infer_dynamic(InferContext& c) {
  c.require_dtype(0, {DType::f32});
  c.require_dtype(1, {DType::i8, DType::u8});
  c.require_dtype(2, {DType::f32});
  c.require_same_dtype(1, 3);
  check_zero_point(c, 2, 1, false);
  check_zero_point(c, 3, 1, false);
  infer_matmul(c, 0, 1, DType::f32);
}

struct Quantised {
  View a;
  uint8_t zero;
  Shape scalar;
  View zero_view;
  float scale;
};

// The range of x, widened to hold 0, onto 0..255 (ONNX DynamicQuantizeLinear-11).
void quantise(const RunContext& c, const View& x, uint8_t* y, Quantised& q) {
  const kernels::Kernels& k = kernels::kernels();
  const auto* values = x.as<const float>();
  const int64_t n = x.count();
  float low = 0, high = 0;
  if (n > 0) {
    k.reduce_rows[int(kernels::Reduce::min)](values, 1, n, n, &low);
    k.reduce_rows[int(kernels::Reduce::max)](values, 1, n, n, &high);
  }
  low = std::min(low, 0.0f), high = std::max(high, 0.0f);
  q.scale = (high - low) / 255;
  if (!(q.scale > 0) || !std::isfinite(q.scale)) q.scale = 1;
  q.zero = static_cast<uint8_t>(std::clamp(std::nearbyint(-low / q.scale), 0.0f, 255.0f));
  c.parallel_ranges(n, 1 << 14, [&](int64_t begin, int64_t end) {
    k.quantize_u8(values + begin, q.scale, q.zero, y + begin, end - begin);
  });
  q.a = View{y, x.dims, DType::u8};
  q.zero_view = View{&q.zero, &q.scalar, DType::u8};
}

size_t scratch_dynamic(const ScratchContext& c) {
  Quantised q;
  q.a = View{nullptr, c.in(0).dims, DType::u8};
  q.zero_view = View{nullptr, &q.scalar, DType::u8};
  const IntegerProduct p = integer_product(q.a, c.in(1), &q.zero_view, optional(c, 3));
  return slice_bytes(static_cast<size_t>(c.in(0).count())) +
         slice_bytes(static_cast<size_t>(p.count()) * sizeof(int32_t)) + integer_product_scratch_bytes(p, c.threads);
}

void run_dynamic(RunContext& c) {
  Quantised q;
  auto* bytes = c.scratch<uint8_t>();
  quantise(c, c.in(0), bytes, q);
  IntegerProduct p = integer_product(q.a, c.in(1), &q.zero_view, optional(c, 3));
  char* rest = c.scratch<char>() + slice_bytes(static_cast<size_t>(c.in(0).count()));
  p.y = reinterpret_cast<int32_t*>(rest);
  p.packed = &c.prepared<PackedOperand>();
  check_bias(c, optional(c, 4), p.geometry.n);
  run_integer_product(c, p, rest + slice_bytes(static_cast<size_t>(p.count()) * sizeof(int32_t)));
  scale_rows(c, p, q.scale, c.in(2), optional(c, 4), c.out(0).as<float>());
}

Cost cost(const CostContext& c) {
  const Type &a = *c.in(0), &y = *c.out(0);
  if (!a.is_static() || a.rank() == 0) return {};
  return {2 * c.count(y) * static_cast<double>(a.dims.back().size), c.count(a) + c.count(*c.in(1)) + 4 * c.count(y)};
}

}  // namespace

OUTPOST_DEFINE_OP(MatMulInteger, .name = "MatMulInteger", .since = 10, .first = 10, .min_inputs = 2, .max_inputs = 4,
                  .doc = "Product of 8-bit integers with zero points, in int32", .infer = infer, .run = run,
                  .no_gradient = "integers", .cost = cost, .prepare = prepare<1, 3>, .scratch = scratch,
                  .cases = R"(
  | u8[3,4] i8[4,5]
  | u8[3,4] u8[4,5] u8[]={12} u8[5]
  | i8[2,3,4] i8[4,7] i8[3] i8[]
)");
OUTPOST_DEFINE_OP(ms_MatMulIntegerToFloat, .name = "MatMulIntegerToFloat", .domain = "com.microsoft", .min_inputs = 4,
                  .max_inputs = 7, .doc = "Product of 8-bit integers, scaled to f32", .infer = infer_to_float,
                  .run = run_to_float, .no_gradient = "integers", .cost = cost, .prepare = prepare<1, 5>,
                  .scratch = scratch_to_float,
                  .cases = R"(
  | u8[3,4] i8[4,5] f32[]={0.5} f32[5] u8[]={3} i8[5] f32[5]
  | i8[2,3,4] i8[4,5] f32[1]={0.5} f32[1]={0.25}
)");
OUTPOST_DEFINE_OP(ms_DynamicQuantizeMatMul, .name = "DynamicQuantizeMatMul", .domain = "com.microsoft",
                  .min_inputs = 3, .max_inputs = 5, .doc = "f32 quantised on the fly times 8-bit integers",
                  .infer = infer_dynamic, .run = run_dynamic, .no_gradient = "rounds", .cost = cost,
                  .prepare = prepare<1, 3>, .scratch = scratch_dynamic, .cases = R"(
  | f32[3,4] i8[4,5] f32[5] i8[5] f32[5]
  | f32[2,3,4] u8[4,5] f32[1]={0.25} u8[1]={7}
)");

}  // namespace outpost
