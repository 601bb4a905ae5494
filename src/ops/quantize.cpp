// QuantizeLinear, DequantizeLinear (ai.onnx and com.microsoft) and DynamicQuantizeLinear.
//   y = saturate(round(x / scale) + zero point)        x' = (y - zero point) scale
// int8 takes kernels; everything else goes through f32 tiles (f64 for i32 sources), a segment of one scale at a time.
#include "ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/convert.h"

namespace outpost {

namespace {

constexpr uint32_t float4s = dtype_set({DType::f4e2m1});
constexpr uint32_t quantized_integers =
    dtype_set({DType::u8, DType::i8, DType::u16, DType::i16, DType::u4, DType::i4, DType::u2, DType::i2});
constexpr uint32_t quantized = quantized_integers | float8s | float4s;
constexpr uint32_t real_floats = dtype_set({DType::f32, DType::f16, DType::bf16});

struct Options {
  int64_t axis = 1, block = 0;
  bool saturate = true;
  DType precision = DType::undefined;  // what x / scale is rounded to; undefined: the scale's dtype
};
std::shared_ptr<const void> prepare(const PrepareContext& c) {
  const auto& a = c.attributes();
  return std::make_shared<Options>(Options{a.integer("axis", 1), a.integer("block_size", 0), a.integer("saturate", 1) != 0,
                                           static_cast<DType>(a.integer("precision", 0))});
}

// Scales and zero points as T (f32 holds every quantised code exactly), in scratch memory unless they are T already.
size_t scratch(const ScratchContext& c) {
  return 2 * sizeof(double) * static_cast<size_t>(c.in(1).count()) + 64;
}
template <class T>
struct Parameters {
  const T* scale;
  const T* zero;  // null: 0
};
template <class T>
Parameters<T> parameters(RunContext& c) {
  const View& scale = c.in(1);
  T* room = c.scratch<T>();
  Parameters<T> p{scale.as<T>(), nullptr};
  if (scale.dtype != dtype_of<T>()) {
    convert(scale.dtype, scale.data, dtype_of<T>(), room, scale.count());
    p.scale = room;
  }
  if (c.has(2)) {
    convert(c.in(2).dtype, c.in(2).data, dtype_of<T>(), room + scale.count(), scale.count());
    p.zero = room + scale.count();
  }
  return p;
}

// Calls body(first element, length, scale index, step) over [begin, end), at most a tile long.
template <class Body>
void for_segments(const Granularity& g, int64_t begin, int64_t end, Body body) {
  while (begin < end) {
    const auto s = g.at(begin);
    const int64_t n = std::min({s.length, end - begin, elementwise_tile});
    body(begin, n, s.scale, s.step);
    begin += n;
  }
}

// ---- quantise
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
void quantize_tiles(RunContext& c, const Granularity& g, const Options& options) {
  const auto p = parameters<T>(c);
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
void quantize_bytes(RunContext& c, const Granularity& g, const Parameters<float>& p, void (*kernel)(const float*, float, int32_t, T*, int64_t)) {
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
  const auto& options = c.prepared<Options>();
  const View &x = c.in(0), &scale = c.in(1);
  const Granularity g = granularity(x.shape(), scale.shape(), options.axis, options.block);
  const bool plain = x.dtype == DType::f32 && scale.dtype == DType::f32 && (options.precision == DType::undefined || options.precision == DType::f32);
  const bool rows = g.per_tensor || g.inner >= 16;
  if (plain && rows && c.out(0).dtype == DType::u8) return quantize_bytes(c, g, parameters<float>(c), kernels::kernels().quantize_u8);
  if (plain && rows && c.out(0).dtype == DType::i8) return quantize_bytes(c, g, parameters<float>(c), kernels::kernels().quantize_s8);
  if (x.dtype == DType::i32 || x.dtype == DType::f64 || scale.dtype == DType::f64) quantize_tiles<double>(c, g, options);
  else quantize_tiles<float>(c, g, options);
}

void infer_quantize(InferContext& c) {
  const auto& a = c.attributes();
  require_types(c, 0, real_floats | dtype_set({DType::i32, DType::f64}));
  require_types(c, 1, real_floats | dtype_set({DType::i32, DType::f8e8m0, DType::f64}));
  const int64_t wanted = a.integer("output_dtype", 0);
  DType dtype = wanted ? static_cast<DType>(wanted) : c.has(2) ? c.dtype(2) : DType::u8;
  c.require(wanted == 0 || (wanted > 0 && wanted <= 26), "output_dtype is ", wanted, "; expected a TensorProto.DataType of 1..26");
  c.require(dtype == DType::undefined || contains(quantized, dtype), "cannot quantise to ", dtype);
  if (c.has(2)) c.require(wanted == 0 || c.dtype(2) == dtype, "output_dtype is ", dtype, " but the zero point is ", c.dtype(2));
  const int64_t precision = a.integer("precision", 0);
  c.require(precision >= 0 && precision <= 26 && (precision == 0 || contains(floats, static_cast<DType>(precision))), "precision is ", precision, "; expected a float type");
  require_granularity(c, 0, 1, 2, a.integer("axis", 1), a.integer("block_size", 0));
  Type t = c.input(0);
  t.dtype = dtype;
  c.output(0, std::move(t));
}

// ---- dequantise
template <class T>
using Dequantize = void (*)(const T*, float, int32_t, float*, int64_t);

template <class T>
void dequantize_rows(RunContext& c, const Granularity& g, Dequantize<T> kernel) {
  const auto p = parameters<float>(c);
  const T* x = c.in(0).as<T>();
  float* y = c.out(0).as<float>();
  c.parallel_ranges(g.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    for_segments(g, begin, end, [&](int64_t first, int64_t n, int64_t scale, int64_t step) {
      for (int64_t i = 0; i < n; i += step ? 1 : n) {
        const int64_t s = scale + i * step;
        kernel(x + first + i, p.scale[s], p.zero ? static_cast<int32_t>(p.zero[s]) : 0, y + first + i, step ? 1 : n);
      }
    });
  });
}

// T is f64 for i32, whose values f32 does not hold.
template <class T>
void dequantize_tiles(RunContext& c, const Granularity& g) {
  const auto p = parameters<T>(c);
  const View& x = c.in(0);
  View& y = c.out(0);
  c.parallel_ranges(g.count, elementwise_grain, [&](int64_t begin, int64_t end) {
    T values[elementwise_tile];
    for (int64_t tile = begin; tile < end; tile += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - tile);
      load_tile(x.dtype, x.data, tile, n, dtype_of<T>(), values);
      for_segments(g, tile, tile + n, [&](int64_t first, int64_t length, int64_t scale, int64_t step) {
        T* v = values + (first - tile);
        for (int64_t i = 0; i < length; ++i) {
          const int64_t s = scale + i * step;
          v[i] = (v[i] - (p.zero ? p.zero[s] : T(0))) * p.scale[s];
        }
      });
      store_tile(dtype_of<T>(), values, n, y.dtype, y.data, tile);
    }
  });
}

void run_dequantize(RunContext& c) {
  const auto& options = c.prepared<Options>();
  const View &x = c.in(0), &y = c.out(0);
  const Granularity g = granularity(x.shape(), c.in(1).shape(), options.axis, options.block);
  const bool rows = y.dtype == DType::f32 && (g.per_tensor || g.inner >= 16);
  const auto& table = kernels::kernels();
  if (rows && x.dtype == DType::u8) return dequantize_rows<uint8_t>(c, g, table.dequantize_u8);
  if (rows && x.dtype == DType::i8) return dequantize_rows<int8_t>(c, g, table.dequantize_s8);
  if (y.dtype == DType::f64 || x.dtype == DType::i32) dequantize_tiles<double>(c, g);
  else dequantize_tiles<float>(c, g);
}

void infer_dequantize(InferContext& c) {
  const auto& a = c.attributes();
  require_types(c, 0, quantized | dtype_set({DType::i32}));
  require_types(c, 1, real_floats | dtype_set({DType::f8e8m0, DType::f64}));
  c.require_same_dtype(0, 2);
  const int64_t wanted = a.integer("output_dtype", 0);
  c.require(wanted >= 0 && wanted <= 26 && (wanted == 0 || contains(floats, static_cast<DType>(wanted))), "output_dtype is ", wanted, "; expected a float type");
  require_granularity(c, 0, 1, 2, a.integer("axis", 1), a.integer("block_size", 0));
  Type t = c.input(0);
  t.dtype = wanted ? static_cast<DType>(wanted) : c.dtype(1);
  c.require(t.dtype != DType::f8e8m0, "the scale is f8e8m0: output_dtype is needed");
  c.output(0, std::move(t));
}

// The straight-through estimator is a training pass's choice, not this operator's derivative.
constexpr std::string_view rounding = "piecewise constant: zero wherever it exists";
// With respect to the scale: the sum of gradient times (x - zero point) over what shares it.
void gradient_dequantize(GradientContext& c) {
  if (!c.wants(1)) return;
  const Type &x = c.in(0)->type, &scale = c.in(1)->type;
  if (!x.is_static() || !scale.is_static())
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient of its scale needs known shapes; found ", x, " and ", scale);
  // Differences are the operator's own value at scale 1.
  Value* ones = c.emit("CastLike", {c.emit("ConstantOfShape", {c.emit("Shape", {c.in(1)})}, {{"value", Tensor::of({1.0f})}}), c.in(1)});
  Value* codes = c.emit("DequantizeLinear", {c.in(0), ones, c.in(2)}, c.node.attributes);
  Value* terms = c.emit("CastLike", {c.mul(c.grad(), codes), c.in(1)});
  const int64_t block = c.attributes().integer("block_size", 0);
  const int rank = x.rank();
  int64_t axis = c.attributes().integer("axis", 1);
  if (axis < 0) axis += rank;
  std::vector<int64_t> others;
  if (block == 0 && (scale.rank() == 0 || scale.shape().count() == 1)) {
    for (int i = 0; i < rank; ++i) others.push_back(i);
  } else if (block == 0) {
    for (int i = 0; i < rank; ++i)
      if (i != axis) others.push_back(i);
  } else {  // (…, stripes, block, …), the last block filled up with zeros
    Shape split = x.shape();
    const int64_t stripes = scale.shape()[static_cast<int>(axis)], missing = stripes * block - split[static_cast<int>(axis)];
    if (missing > 0) {
      std::vector<int64_t> pads(static_cast<size_t>(2 * rank), 0);
      pads[static_cast<size_t>(rank + axis)] = missing;
      terms = c.emit("Pad", {terms, c.integers(pads)});
    }
    split[static_cast<int>(axis)] = stripes;
    split.insert(static_cast<int>(axis) + 1, block);
    terms = c.emit("Reshape", {terms, c.integers(std::vector<int64_t>(split.begin(), split.end()))}, {{"allowzero", int64_t{1}}});
    others.push_back(axis + 1);
  }
  Value* sums = others.empty() ? terms : c.emit("ReduceSum", {terms, c.integers(others)}, {{"keepdims", int64_t{0}}});
  c.set(1, c.reshape_like(sums, c.in(1)));
}

// ---- DynamicQuantizeLinear
constexpr int64_t extreme_tile = 65536;

size_t scratch_dynamic(const ScratchContext& c) { return 2 * sizeof(float) * static_cast<size_t>(c.in(0).count() / extreme_tile + 1); }

void run_dynamic(RunContext& c) {
  const View& x = c.in(0);
  const auto& table = kernels::kernels();
  const int64_t count = x.count(), tiles = (count + extreme_tile - 1) / extreme_tile;
  float* extremes = c.scratch<float>();
  c.parallel(tiles, [&](int64_t t) {
    const int64_t first = t * extreme_tile, n = std::min(extreme_tile, count - first);
    table.reduce_rows[int(kernels::Reduce::min)](x.as<float>() + first, 1, n, n, extremes + 2 * t);
    table.reduce_rows[int(kernels::Reduce::max)](x.as<float>() + first, 1, n, n, extremes + 2 * t + 1);
  });
  float low = 0, high = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    low = std::min(low, extremes[2 * t]);
    high = std::max(high, extremes[2 * t + 1]);
  }
  const float range = high - low, scale = range == 0 ? 1 : range / 255.0f;  // all zero: any scale does
  const float raw = std::nearbyint(-low / scale);
  const int32_t zero = raw >= 0 && raw <= 255 ? static_cast<int32_t>(raw) : raw > 255 ? 255 : 0;
  *c.out(1).as<float>() = scale;
  *c.out(2).as<uint8_t>() = static_cast<uint8_t>(zero);
  c.parallel_ranges(count, elementwise_grain, [&](int64_t begin, int64_t end) {
    table.quantize_u8(x.as<float>() + begin, scale, zero, c.out(0).as<uint8_t>() + begin, end - begin);
  });
}

void infer_dynamic(InferContext& c) {
  c.require_dtype(0, {DType::f32});
  Type t = c.input(0);
  t.dtype = DType::u8;
  c.output(0, std::move(t));
  c.output(1, DType::f32, Dims{});
  c.output(2, DType::u8, Dims{});
}

constexpr std::string_view quantize_cases =
    "| f32[2,3,4] f32[]={0.02} u8[]={128}\naxis=1 | f32[2,3,4] f32[3](0.01,0.1) i8[3]\naxis=-1 | f32[5,7] f32[7](0.01,0.1) i16[7]\n"
    "output_dtype=22 axis=1 block_size=2 | f32[2,5] f32[2,3](0.1,0.5)\naxis=0 block_size=2 | f32[4,3] f32[2,3](0.1,0.5) u4[2,3]\n"
    "output_dtype=17 | f32[3,5] f32[]={0.1}\n| f16[0,3] f16[]={0.1} u8[]={3}\noutput_dtype=23 | f32[7] f32[]={0.5}\n| f32[2,40] f32[]={0.1}";
constexpr std::string_view dequantize_cases =
    "| u8[2,3,4](0,255) f32[]={0.02} u8[]={128}\naxis=1 | i8[2,3,4](-128,127) f32[3](0.01,0.1) i8[3]\naxis=-1 | i16[5,7](-99,99) f32[7](0.01,0.1)\n"
    "axis=1 block_size=2 | i4[2,5](-8,7) f32[2,3](0.1,0.5)\noutput_dtype=10 | f8e4m3fn[3,5] f32[]={0.1}\n| u8[0,3] f32[]={0.1}\n| i32[4](-99,99) f32[]={0.5}\n"
    "axis=0 | u8[3,40](0,255) f32[3](0.1,0.5) u8[3]";
constexpr std::string_view ms = "com.microsoft";

}  // namespace

Granularity::Segment Granularity::at(int64_t element) const noexcept {
  if (per_tensor) return {count - element, 0, 0};
  const int64_t i = element % inner, a = element / inner % axis, outer = element / inner / axis;
  if (block == 0) return inner == 1 ? Segment{axis - a, a, 1} : Segment{inner - i, a, 0};
  const int64_t row = outer * stripes + a / block;
  return inner == 1 ? Segment{std::min(block - a % block, axis - a), row, 0} : Segment{inner - i, row * inner + i, 1};
}

Granularity granularity(const Shape& x, const Shape& scale, int64_t axis, int64_t block) {
  Granularity g;
  g.count = x.count();
  if (block == 0 && scale.count() == 1 && (scale.rank() == 0 || x.rank() <= 1 || scale.rank() == 1)) return g;
  if (axis < 0) axis += x.rank();
  g.per_tensor = false;
  g.axis = x[static_cast<int>(axis)];
  g.inner = x.count(static_cast<int>(axis) + 1, x.rank());
  g.block = block;
  g.stripes = block ? scale[static_cast<int>(axis)] : g.axis;
  return g;
}

void require_granularity(InferContext& c, int x, int scale, int zero_point, int64_t given, int64_t block) {
  c.require(block >= 0, "block_size is ", block, "; expected 0 or more");
  if (!c.ranked(x) || !c.ranked(scale)) return;
  const Dims &xs = c.dims(x), &ss = c.dims(scale);
  if (c.has(zero_point) && c.ranked(zero_point)) {
    const Dims& zs = c.dims(zero_point);
    bool same = zs.size() == ss.size();
    for (size_t i = 0; same && i < zs.size(); ++i) same = !zs[i].known() || !ss[i].known() || zs[i].size == ss[i].size;
    const auto single = [](const Dims& dims) { return std::all_of(dims.begin(), dims.end(), [](const Dim& d) { return d == Dim(1); }); };
    c.require(same || (single(zs) && single(ss)), "the scale is ", c.input(scale), ", the zero point ", c.input(zero_point), "; expected equal shapes");
  }
  if (ss.empty()) return c.require(block == 0, "block_size is ", block, " but the scale is a scalar");
  if (block == 0 && ss.size() == 1) {
    if (ss[0] == Dim(1)) return;  // one for all, whatever the axis
    const int axis = c.axis(given, static_cast<int>(xs.size()));
    const Dim extent = xs[static_cast<size_t>(axis)];
    return c.require(!extent.known() || !ss[0].known() || extent.size == ss[0].size, "the scale has ", ss[0].size, " elements; axis ", given, " has ", extent.size);
  }
  c.require(block > 0, "the scale is ", c.input(scale), "; expected a scalar, a vector, or block_size > 0");
  c.require(ss.size() == xs.size(), "the scale is ", c.input(scale), "; blocked quantisation of ", c.input(x), " needs equal ranks");
  const int axis = c.axis(given, static_cast<int>(xs.size()));
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!xs[i].known() || !ss[i].known()) continue;
    const int64_t expected = static_cast<int>(i) == axis ? xs[i].size / block + (xs[i].size % block != 0) : xs[i].size;
    c.require(ss[i].size == expected, "dimension ", i, " of the scale is ", ss[i].size, "; expected ", expected);
  }
}

OUTPOST_DEFINE_OP(QuantizeLinear, .name = "QuantizeLinear", .since = 28, .first = 10, .min_inputs = 2, .max_inputs = 3,
                  .doc = "saturate(round(x / scale) + zero point); per tensor, axis or block", .infer = infer_quantize, .run = run_quantize,
                  .no_gradient = rounding, .prepare = prepare, .scratch = scratch, .cases = quantize_cases);
OUTPOST_DEFINE_OP(DequantizeLinear, .name = "DequantizeLinear", .since = 28, .first = 10, .min_inputs = 2, .max_inputs = 3,
                  .doc = "(x - zero point) scale; per tensor, axis or block", .infer = infer_dequantize, .run = run_dequantize,
                  .gradient = gradient_dequantize, .prepare = prepare, .scratch = scratch, .cases = dequantize_cases);
OUTPOST_DEFINE_OP(ms_QuantizeLinear, .name = "QuantizeLinear", .domain = ms, .min_inputs = 2, .max_inputs = 3,
                  .doc = "as ai.onnx's", .infer = infer_quantize, .run = run_quantize, .no_gradient = rounding, .prepare = prepare,
                  .scratch = scratch, .cases = quantize_cases);
OUTPOST_DEFINE_OP(ms_DequantizeLinear, .name = "DequantizeLinear", .domain = ms, .min_inputs = 2, .max_inputs = 3,
                  .doc = "as ai.onnx's", .infer = infer_dequantize, .run = run_dequantize, .gradient = gradient_dequantize,
                  .prepare = prepare, .scratch = scratch, .cases = dequantize_cases);
OUTPOST_DEFINE_OP(DynamicQuantizeLinear, .name = "DynamicQuantizeLinear", .since = 11, .first = 11, .min_outputs = 3, .max_outputs = 3,
                  .doc = "u8 with the scale and zero point of the values at hand", .infer = infer_dynamic, .run = run_dynamic,
                  .no_gradient = rounding, .scratch = scratch_dynamic, .cases = "| f32[2,3,4](-3,5) | 3\n| f32[7](0.5,2) | 3\n| f32[](-1,1) | 3\n| f32[0] | 3");

}  // namespace outpost
