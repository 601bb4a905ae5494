// DequantizeLinear (ai.onnx and com.microsoft): y = (x - zero point) scale.
// int8 to f32 takes kernels; everything else goes through f32 tiles (f64 for i32 and f64), a segment of one scale at a
// time.
#include "ops/granularity.h"

namespace outpost {

namespace {

template <class T>
using Dequantize = void (*)(const T*, float, int32_t, float*, int64_t);

template <class T>
void dequantize_rows(RunContext& c, const Granularity& g, Dequantize<T> kernel) {
  const auto p = quantize_parameters<float>(c);
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
  const auto p = quantize_parameters<T>(c);
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
  const auto& options = c.prepared<QuantizeOptions>();
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
  require_types(c, 1, narrow_floats | dtype_set({DType::f8e8m0, DType::f64}));
  c.require_same_dtype(0, 2);
  const int64_t wanted = a.integer("output_dtype", 0);
  c.require(wanted >= 0 && wanted <= 26 && (wanted == 0 || contains(floats, static_cast<DType>(wanted))),
            "output_dtype is ", wanted, "; expected a float type");
  require_granularity(c, 0, 1, 2, a.integer("axis", 1), a.integer("block_size", 0));
  Type t = c.input(0);
  t.dtype = wanted ? static_cast<DType>(wanted) : c.dtype(1);
  c.require(t.dtype != DType::f8e8m0, "the scale is f8e8m0: output_dtype is needed");
  c.output(0, std::move(t));
}

// With respect to the scale: the sum of gradient times (x - zero point) over what shares it.
void gradient_dequantize(GradientContext& c) {
  if (!c.wants(1)) return;
  const Type &x = c.in(0)->type, &scale = c.in(1)->type;
  if (!x.is_static() || !scale.is_static())
    fail(ErrorCode::unsupported, c.node.label(), ": the gradient of its scale needs known shapes; found ", x, " and ",
         scale);
  // Differences are the operator's own value at scale 1.
  Value* ones = c.emit(
      "CastLike", {c.emit("ConstantOfShape", {c.emit("Shape", {c.in(1)})}, {{"value", Tensor::of({1.0f})}}), c.in(1)});
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
    const int64_t stripes = scale.shape()[static_cast<int>(axis)],
                  missing = stripes * block - split[static_cast<int>(axis)];
    if (missing > 0) {
      std::vector<int64_t> pads(static_cast<size_t>(2 * rank), 0);
      pads[static_cast<size_t>(rank + axis)] = missing;
      terms = c.emit("Pad", {terms, c.integers(pads)});
    }
    split[static_cast<int>(axis)] = stripes;
    split.insert(static_cast<int>(axis) + 1, block);
    terms = c.emit("Reshape", {terms, c.integers(std::vector<int64_t>(split.begin(), split.end()))},
                   {{"allowzero", int64_t{1}}});
    others.push_back(axis + 1);
  }
  Value* sums = others.empty() ? terms : c.emit("ReduceSum", {terms, c.integers(others)}, {{"keepdims", int64_t{0}}});
  c.set(1, c.reshape_like(sums, c.in(1)));
}

constexpr std::string_view dequantize_cases =
    "| u8[2,3,4](0,255) f32[]={0.02} u8[]={128}\naxis=1 | i8[2,3,4](-128,127) f32[3](0.01,0.1) i8[3]\n"
    "axis=-1 | i16[5,7](-99,99) f32[7](0.01,0.1)\n"
    "axis=1 block_size=2 | i4[2,5](-8,7) f32[2,3](0.1,0.5)\noutput_dtype=10 | f8e4m3fn[3,5] f32[]={0.1}\n"
    "| u8[0,3] f32[]={0.1}\n| i32[4](-99,99) f32[]={0.5}\n"
    "axis=0 | u8[3,40](0,255) f32[3](0.1,0.5) u8[3]";
constexpr std::string_view ms = "com.microsoft";

}  // namespace

OUTPOST_DEFINE_OP(DequantizeLinear, .name = "DequantizeLinear", .since = 28, .first = 10, .min_inputs = 2,
                  .max_inputs = 3, .doc = "(x - zero point) scale; per tensor, axis or block",
                  .infer = infer_dequantize, .run = run_dequantize, .gradient = gradient_dequantize,
                  .prepare = prepare_quantize, .scratch = scratch_quantize, .cases = dequantize_cases);
OUTPOST_DEFINE_OP(ms_DequantizeLinear, .name = "DequantizeLinear", .domain = ms, .min_inputs = 2, .max_inputs = 3,
                  .doc = "as ai.onnx's", .infer = infer_dequantize, .run = run_dequantize,
                  .gradient = gradient_dequantize, .prepare = prepare_quantize, .scratch = scratch_quantize,
                  .cases = dequantize_cases);

}  // namespace outpost
