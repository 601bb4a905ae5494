// com.microsoft: QLinearAdd and QLinearMul (dequantise, compute in f32, quantise, tile by tile), QLinearSigmoid and
// QLinearLeakyRelu (a table of 256 answers). Tensors are u8 or i8 with one scale and zero point each.
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

constexpr uint32_t bytes8 = dtype_set({DType::u8, DType::i8});
constexpr std::string_view ms = "com.microsoft";
constexpr std::string_view rounding = "piecewise constant: zero wherever it exists";

struct Scale {
  float scale = 1;
  int32_t zero = 0;
};
// From inputs `i` (f32 scale) and i + 1 (zero point; absent: 0).
Scale read_scale(RunContext& c, int i) {
  Scale s;
  c.require(c.in(i).count() == 1, "scale ", i, " has shape ", c.in(i).shape(), "; expected a scalar");
  s.scale = *c.in(i).as<float>();
  if (!c.has(i + 1)) return s;
  const View& zero = c.in(i + 1);
  c.require(zero.count() == 1, "zero point ", i + 1, " has shape ", zero.shape(), "; expected a scalar");
  s.zero = zero.dtype == DType::u8 ? *zero.as<uint8_t>() : *zero.as<int8_t>();
  return s;
}

void dequantize(DType dtype, const void* x, const Scale& s, float* y, int64_t n) {
  const auto& table = kernels::kernels();
  if (dtype == DType::u8) table.dequantize_u8(static_cast<const uint8_t*>(x), s.scale, s.zero, y, n);
  else table.dequantize_s8(static_cast<const int8_t*>(x), s.scale, s.zero, y, n);
}
void quantize(DType dtype, const float* x, const Scale& s, void* y, int64_t n) {
  const auto& table = kernels::kernels();
  if (dtype == DType::u8) table.quantize_u8(x, s.scale, s.zero, static_cast<uint8_t*>(y), n);
  else table.quantize_s8(x, s.scale, s.zero, static_cast<int8_t*>(y), n);
}

// Elements of a broadcast operand as f32; one value where it is a scalar.
int64_t operand(const Broadcast& shape, int k, const View& v, const Scale& s, int64_t first, int64_t n, uint8_t* raw,
                float* values) {
  if (shape.scalar[k]) {
    dequantize(v.dtype, v.data, s, values, 1);
    return 0;
  }
  const uint8_t* codes = v.as<uint8_t>() + first;
  if (!shape.contiguous[k]) {
    shape.gather(k, v.data, 1, first, n, raw);
    codes = raw;
  }
  dequantize(v.dtype, codes, s, values, n);
  return 1;
}

template <kernels::Binary op>
void run_binary_q(RunContext& c) {
  const View &a = c.in(0), &b = c.in(3);
  View& y = c.out(0);
  const Scale sa = read_scale(c, 1), sb = read_scale(c, 4), sy = read_scale(c, 6);
  const Broadcast shape = make_broadcast(y.shape(), {&a.shape(), &b.shape()});
  c.parallel_ranges(shape.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    uint8_t raw[elementwise_tile];
    float left[elementwise_tile], right[elementwise_tile], out[elementwise_tile];
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      const int64_t step = operand(shape, 0, a, sa, i, n, raw, left);
      const int64_t other = operand(shape, 1, b, sb, i, n, raw, right);
      kernels::kernels().binary[int(op)](left, step, right, other, out, n);
      quantize(y.dtype, out, sy, y.as<uint8_t>() + i, n);
    }
  });
}

void infer_binary_q(InferContext& c) {
  c.require_inputs(7, 8);
  for (int i : {3, 4, 6}) c.require(c.has(i), "input ", i, " is missing");
  for (int i : {0, 2, 3, 5, 7}) {
    require_types(c, i, bytes8);
    if (c.has(i)) c.require_same_dtype(0, i);
  }
  for (int i : {1, 4, 6}) require_types(c, i, dtype_set({DType::f32}));
  if (c.ranked(0) && c.ranked(3)) c.output(0, c.dtype(0), broadcast(c, c.dims(0), c.dims(3)));
  else c.output(0, c.dtype(0));
}

// ---- one operand: x, scale, zero point, output scale, output zero point
void fill_code_table(DType dtype, const Scale& from, const Scale& to, UnaryRow row, double alpha, uint8_t* table) {
  uint8_t codes[256];
  float values[256];
  for (int i = 0; i < 256; ++i) codes[i] = static_cast<uint8_t>(i);
  dequantize(dtype, codes, from, values, 256);
  row(values, values, 256, alpha, 0);
  quantize(dtype, values, to, table, 256);
}

constexpr auto sigmoid = [](float x, float, float) { return 1 / (1 + std::exp(-x)); };
constexpr auto leaky_relu = [](float x, float alpha, float) { return x < 0 ? alpha * x : x; };

template <auto f>
void run_table(RunContext& c) {
  const View& x = c.in(0);
  View& y = c.out(0);
  uint8_t table[256];
  fill_code_table(x.dtype, read_scale(c, 1), read_scale(c, 3), unary_row<f, float>, c.prepared<UnaryParameters>().a,
                  table);
  c.parallel_ranges(x.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.as<uint8_t>()[i] = table[x.as<uint8_t>()[i]];
  });
}
std::shared_ptr<const void> prepare_alpha(const PrepareContext& c) {
  return std::make_shared<UnaryParameters>(UnaryParameters{c.attributes().real("alpha", 0.01f), 0});
}
void infer_table(InferContext& c) {
  c.require_inputs(4, 5);
  c.require(c.has(3), "input 3 is missing");
  for (int i : {0, 2, 4}) {
    require_types(c, i, bytes8);
    if (c.has(i)) c.require_same_dtype(0, i);
  }
  for (int i : {1, 3}) require_types(c, i, dtype_set({DType::f32}));
  c.output(0, c.input(0));
}

constexpr std::string_view pairs =
    "| u8[2,3,4](0,255) f32[]={0.02} u8[]={128} u8[4](0,255) f32[]={0.03} u8[]={100} f32[]={0.05} u8[]={120}\n"
    "| i8[2,1,4](-128,127) f32[]={0.02} i8[]={3} i8[3,1](-128,127) f32[]={0.03} - f32[]={0.05}\n"
    "| u8[40](0,255) f32[]={0.02} - u8[](0,255) f32[]={0.03} - f32[]={0.05} u8[]={9}\n"
    "| u8[0] f32[]={0.1} - u8[0] f32[]={0.1} - f32[]={0.1}";
constexpr std::string_view singles =
    "| u8[2,3,4](0,255) f32[]={0.02} u8[]={128} f32[]={0.005} u8[]={0}\n"
    "| i8[7](-128,127) f32[]={0.03} - f32[]={0.01}\n| u8[0] f32[]={0.1} - f32[]={0.1}";

}  // namespace

OUTPOST_DEFINE_OP(ms_QLinearAdd, .name = "QLinearAdd", .domain = ms, .min_inputs = 2, .max_inputs = 8,
                  .doc = "quantised a + b", .infer = infer_binary_q, .run = run_binary_q<kernels::Binary::add>,
                  .no_gradient = rounding, .in_place = {{0, 0}, {3, 0}}, .cases = pairs);
OUTPOST_DEFINE_OP(ms_QLinearMul, .name = "QLinearMul", .domain = ms, .min_inputs = 2, .max_inputs = 8,
                  .doc = "quantised a b", .infer = infer_binary_q, .run = run_binary_q<kernels::Binary::multiply>,
                  .no_gradient = rounding, .in_place = {{0, 0}, {3, 0}}, .cases = pairs);
OUTPOST_DEFINE_OP(ms_QLinearSigmoid, .name = "QLinearSigmoid", .domain = ms, .min_inputs = 2, .max_inputs = 5,
                  .doc = "quantised Sigmoid", .infer = infer_table, .run = run_table<sigmoid>, .no_gradient = rounding,
                  .prepare = prepare_alpha, .in_place = {{0, 0}}, .cases = singles);
OUTPOST_DEFINE_OP(ms_QLinearLeakyRelu, .name = "QLinearLeakyRelu", .domain = ms, .min_inputs = 2, .max_inputs = 5,
                  .doc = "quantised LeakyRelu", .infer = infer_table, .run = run_table<leaky_relu>,
                  .no_gradient = rounding, .prepare = prepare_alpha, .in_place = {{0, 0}}, .cases = singles);

}  // namespace outpost
