// QuantizeLinear (ai.onnx and com.microsoft): y = saturate(round(x / scale) + zero point).
// f32 to int8 takes kernels; everything else goes through f32 tiles (f64 for i32 and f64 sources), a segment of one
// scale at a time.
#include <cmath>

#include "ops/granularity.h"

namespace outpost {

namespace {

struct Limits {
  double low, high;
};
Limits limits(DType t) {
  const bool sign = compute_type(t) == DType::i64;
  const int width = bits(t);
  return sign ? Limits{-std::ldexp(1, width - 1), std::ldexp(1, width - 1) - 1} : Limits{0, std::ldexp(1, width) - 1};
}

// q[i] = x[i] / scale, rounded to `precision`.
template <class T>
void divide(const T* x, const T* scale, int64_t step, T* q, int64_t n, DType precision) {
  for (int64_t i = 0; i < n; ++i) q[i] = x[i] / scale[i * step];
  if (precision != DType::f16 && precision != DType::bf16) return;
  uint16_t narrow[elementwise_tile];
  store(dtype_of<T>(), q, n, precision, narrow, 0);
  load(precision, narrow, 0, n, dtype_of<T>(), q);
}

// NaN becomes the zero point.
template <class T>
void round_and_saturate(const T* q, const T* zero, int64_t step, const Limits& range, float* y, int64_t n) {
  const T low = static_cast<T>(range.low), high = static_cast<T>(range.high);
  for (int64_t i = 0; i < n; ++i) {
    const T offset = zero ? zero[i * step] : T(0);
    const T r = q[i] == q[i] ? std::nearbyint(q[i]) + offset : offset;
    y[i] = static_cast<float>(r < low ? low : r > high ? high : r);
  }
}

template <class T>
void quantize_tiles(RunContext& c, const Granularity& g, const QuantizeOptions& options) {
  const auto p = quantize_parameters<T>(c);
  const View& x = c.in(0);
  View& y = c.out(0);
  const bool whole = contains(quantized_integers, y.dtype);
  const Limits range = limits(y.dtype);
  const DType precision = options.precision == DType::undefined ? c.in(1).dtype : options.precision;
  c.parallel_ranges(g.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    T values[elementwise_tile];
    float results[elementwise_tile];
    for (int64_t tile = begin; tile < end; tile += elementwise_tile) {  // a tile ends where a byte ends
      const int64_t n = std::min(elementwise_tile, end - tile);
      load_tile(x.dtype, x.data, tile, n, dtype_of<T>(), values);
      for_segments(g, tile, tile + n, [&](int64_t first, int64_t length, int64_t scale, int64_t step) {
        T* q = values + (first - tile);
        float* r = results + (first - tile);
        const T* zero = p.zero ? p.zero + scale : nullptr;
        divide(q, p.scale + scale, step, q, length, precision);
        if (whole) return round_and_saturate(q, zero, step, range, r, length);
        for (int64_t i = 0; i < length; ++i) r[i] = static_cast<float>(q[i] + (zero ? zero[i * step] : T(0)));
      });
      store(DType::f32, results, n, y.dtype, y.data, tile, options.saturate);
    }
  });
}

template <class T>
void quantize_bytes(RunContext& c, const Granularity& g, const QuantizeParameters<float>& p,
                    void (*kernel)(const float*, float, int32_t, T*, int64_t)) {
  const float* x = c.in(0).as<float>();
  T* y = c.out(0).as<T>();
  c.parallel_ranges(g.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    for_segments(g, begin, end, [&](int64_t first, int64_t n, int64_t scale, int64_t step) {
      for (int64_t i = 0; i < n; i += step ? 1 : n) {
        const int64_t s = scale + i * step;
        kernel(x + first + i, p.scale[s], p.zero ? static_cast<int32_t>(p.zero[s]) : 0, y + first + i, step ? 1 : n);
      }
    });
  });
}

void run_quantize(RunContext& c) {
  const auto& options = c.prepared<QuantizeOptions>();
  const View &x = c.in(0), &scale = c.in(1);
  const Granularity g = granularity(x.shape(), scale.shape(), options.axis, options.block);
  const bool plain = x.dtype == DType::f32 && scale.dtype == DType::f32 &&
                     (options.precision == DType::undefined || options.precision == DType::f32);
  const bool rows = g.per_tensor || g.inner >= 16;
  if (plain && rows && c.out(0).dtype == DType::u8)
    return quantize_bytes(c, g, quantize_parameters<float>(c), kernels::kernels().quantize_u8);
  if (plain && rows && c.out(0).dtype == DType::i8)
    return quantize_bytes(c, g, quantize_parameters<float>(c), kernels::kernels().quantize_s8);
  if (x.dtype == DType::i32 || x.dtype == DType::f64 || scale.dtype == DType::f64)
    quantize_tiles<double>(c, g, options);
  else quantize_tiles<float>(c, g, options);
}

void infer_quantize(InferContext& c) {
  const auto& a = c.attributes();
  require_types(c, 0, narrow_floats | dtype_set({DType::i32, DType::f64}));
  require_types(c, 1, narrow_floats | dtype_set({DType::i32, DType::f8e8m0, DType::f64}));
  const int64_t wanted = a.integer("output_dtype", 0);
  DType dtype = wanted ? static_cast<DType>(wanted) : c.has(2) ? c.dtype(2) : DType::u8;
  c.require(wanted == 0 || (wanted > 0 && wanted <= 26), "output_dtype is ", wanted,
            "; expected a TensorProto.DataType of 1..26");
  c.require(dtype == DType::undefined || contains(quantized, dtype), "cannot quantise to ", dtype);
  if (c.has(2))
    c.require(wanted == 0 || c.dtype(2) == dtype, "output_dtype is ", dtype, " but the zero point is ", c.dtype(2));
  const int64_t precision = a.integer("precision", 0);
  c.require(precision >= 0 && precision <= 26 && (precision == 0 || contains(floats, static_cast<DType>(precision))),
            "precision is ", precision, "; expected a float type");
  require_granularity(c, 0, 1, 2, a.integer("axis", 1), a.integer("block_size", 0));
  Type t = c.input(0);
  t.dtype = dtype;
  c.output(0, std::move(t));
}

// The straight-through estimator is a training pass's choice, not this operator's derivative.
constexpr std::string_view rounding = "piecewise constant: zero wherever it exists";
constexpr std::string_view quantize_cases =
    "| f32[2,3,4] f32[]={0.02} u8[]={128}\naxis=1 | f32[2,3,4] f32[3](0.01,0.1) i8[3]\n"
    "axis=-1 | f32[5,7] f32[7](0.01,0.1) i16[7]\n"
    "output_dtype=22 axis=1 block_size=2 | f32[2,5] f32[2,3](0.1,0.5)\n"
    "axis=0 block_size=2 | f32[4,3] f32[2,3](0.1,0.5) u4[2,3]\n"
    "output_dtype=17 | f32[3,5] f32[]={0.1}\n| f16[0,3] f16[]={0.1} u8[]={3}\noutput_dtype=23 | f32[7] f32[]={0.5}\n"
    "| f32[2,40] f32[]={0.1}";
constexpr std::string_view ms = "com.microsoft";

}  // namespace

OUTPOST_DEFINE_OP(QuantizeLinear, .name = "QuantizeLinear", .since = 28, .first = 10, .min_inputs = 2, .max_inputs = 3,
                  .doc = "saturate(round(x / scale) + zero point); per tensor, axis or block", .infer = infer_quantize,
                  .run = run_quantize, .no_gradient = rounding, .prepare = prepare_quantize,
                  .scratch = scratch_quantize, .cases = quantize_cases);
OUTPOST_DEFINE_OP(ms_QuantizeLinear, .name = "QuantizeLinear", .domain = ms, .min_inputs = 2, .max_inputs = 3,
                  .doc = "as ai.onnx's", .infer = infer_quantize, .run = run_quantize, .no_gradient = rounding,
                  .prepare = prepare_quantize, .scratch = scratch_quantize, .cases = quantize_cases);

}  // namespace outpost
