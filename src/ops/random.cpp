// Random tensors: normal, uniform, Bernoulli and multinomial samples (ops/random_stream.h says from which numbers).
#include <algorithm>
#include <cmath>
#include <memory>

#include "ops/random_stream.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

std::shared_ptr<const void> prepare_normal(const PrepareContext& c) {
  RandomOptions o = random_options(c.attributes());
  o.a = c.attributes().real("mean", 0);
  o.b = c.attributes().real("scale", 1);
  return std::make_shared<RandomOptions>(o);
}
std::shared_ptr<const void> prepare_uniform(const PrepareContext& c) {
  RandomOptions o = random_options(c.attributes());
  o.a = c.attributes().real("low", 0);
  o.b = c.attributes().real("high", 1);
  return std::make_shared<RandomOptions>(o);
}
std::shared_ptr<const void> prepare_plain(const PrepareContext& c) {
  RandomOptions o = random_options(c.attributes());
  o.samples = c.attributes().integer("sample_size", 1);
  return std::make_shared<RandomOptions>(o);
}

template <class Value>
void generate(RunContext& c, const RandomOptions& o, View& y, int words_an_element, Value value) {
  over_stream(c, o, y.count(), words_an_element, [&](int64_t begin, int64_t end, NumpyRandom* numpy) {
    Stream stream(c.random());
    double values[elementwise_tile];
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      for (int64_t j = 0; j < n; ++j) {
        Draw draw{numpy, &stream, static_cast<uint64_t>(i + j)};
        values[j] = value(draw, i + j);
      }
      store(DType::f64, values, n, y.dtype, y.data, i);
    }
  });
}

void run_normal(RunContext& c) {
  const auto& o = c.prepared<RandomOptions>();
  generate(c, o, c.out(0), 2, [&](Draw& draw, int64_t) { return o.a + o.b * draw.normal(); });
}
void run_uniform(RunContext& c) {
  const auto& o = c.prepared<RandomOptions>();
  generate(c, o, c.out(0), 1, [&](Draw& draw, int64_t) { return o.a + (o.b - o.a) * draw.uniform(); });
}
void run_bernoulli(RunContext& c) {
  const View& x = c.in(0);
  generate(c, c.prepared<RandomOptions>(), c.out(0), 1, [&](Draw& draw, int64_t i) {
    double p;
    load(x.dtype, x.data, i, 1, DType::f64, &p);
    return draw.uniform() < p ? 1.0 : 0.0;
  });
}

// ---- Multinomial: rows of unnormalised log-probabilities; samples by inverting the cumulative sum.
size_t scratch_multinomial(const ScratchContext& c) { return sizeof(double) * static_cast<size_t>(c.in(0).dim(1)); }

void run_multinomial(RunContext& c) {
  const auto& o = c.prepared<RandomOptions>();
  const View& x = c.in(0);
  View& y = c.out(0);
  const int64_t rows = x.dim(0), classes = x.dim(1);
  c.require(classes > 0 || y.count() == 0, "there are no classes to draw from");
  double* sums = c.scratch<double>();
  NumpyRandom numpy(o.seed);
  Stream stream(c.random());
  for (int64_t r = 0; r < rows; ++r) {
    load(x.dtype, x.data, r * classes, classes, DType::f64, sums);
    const double top = classes ? *std::max_element(sums, sums + classes) : 0;
    double total = 0;
    for (int64_t i = 0; i < classes; ++i) sums[i] = total += std::isfinite(top) ? std::exp(sums[i] - top) : 0;
    c.require(o.samples == 0 || (total > 0 && std::isfinite(total)), "row ", r, " has no probabilities to draw from");
    for (int64_t s = 0; s < o.samples; ++s) {
      const double u = total * (o.seeded ? numpy.uniform() : stream.uniform(static_cast<uint64_t>(r * o.samples + s)));
      const int64_t pick = std::min<int64_t>(std::upper_bound(sums, sums + classes, u) - sums, classes - 1);
      store(DType::i64, &pick, 1, y.dtype, y.data, r * o.samples + s);
    }
  }
  if (!o.seeded) c.random().skip(static_cast<uint64_t>(rows * o.samples));
}

// ---- shapes
DType attribute_dtype(const InferContext& c, DType fallback) {
  const int64_t dtype = c.attributes().integer("dtype", 0);
  c.require(dtype >= 0 && dtype <= 26, "attribute 'dtype' is ", dtype, "; expected a TensorProto.DataType of 1..26");
  return dtype ? static_cast<DType>(dtype) : fallback;
}
void require_float(const InferContext& c, DType dtype) {
  c.require(dtype == DType::undefined || contains(floats, dtype), "random numbers as ", dtype,
            "; expected f16, bf16, f32 or f64");
}
void infer_shape(InferContext& c) {
  const DType dtype = attribute_dtype(c, DType::f32);
  require_float(c, dtype);
  const auto& shape = c.attributes().integers("shape");
  for (int64_t dim : shape) c.require(dim >= 0, "attribute 'shape' has the negative dimension ", dim);
  c.require(shape.size() <= Shape::max_rank, "rank ", shape.size(), " is more than ", int(Shape::max_rank));
  c.output(0, dtype, Dims(shape.begin(), shape.end()));
}
void infer_like(InferContext& c) {
  Type t = c.input(0);
  const bool real = contains(floats, t.dtype);
  t.dtype = attribute_dtype(c, real || t.dtype == DType::undefined ? t.dtype : DType::f32);
  require_float(c, t.dtype);
  c.output(0, std::move(t));
}
void infer_bernoulli(InferContext& c) {
  require_types(c, 0, floats);
  Type t = c.input(0);
  t.dtype = attribute_dtype(c, t.dtype);
  c.require(t.dtype == DType::undefined || contains(floats | integers | booleans, t.dtype), "samples as ", t.dtype,
            "; expected a number or bool");
  c.output(0, std::move(t));
}
void infer_multinomial(InferContext& c) {
  require_types(c, 0, floats);
  const DType dtype = attribute_dtype(c, DType::i32);
  c.require(dtype == DType::i32 || dtype == DType::i64, "samples as ", dtype, "; expected i32 or i64");
  const int64_t samples = c.attributes().integer("sample_size", 1);
  c.require(samples >= 0, "sample_size is ", samples, "; expected 0 or more");
  c.require(!c.ranked(0) || c.rank(0) == 2, "the input is ", c.input(0), "; expected (batch, classes)");
  c.output(0, dtype, Dims{c.ranked(0) ? c.dims(0)[0] : Dim(), Dim(samples)});
}

constexpr std::string_view no_inputs = "no inputs", only_shape = "only the input's shape is read",
                           samples = "samples do not depend smoothly on their probabilities";

}  // namespace

OUTPOST_DEFINE_OP(RandomNormal, .name = "RandomNormal", .since = 22, .min_inputs = 0, .max_inputs = 0,
                  .doc = "normal numbers of a given shape", .infer = infer_shape, .run = run_normal,
                  .no_gradient = no_inputs, .prepare = prepare_normal, .random = true,
                  .cases = "shape=[2,3] seed=1.0 |\nshape=[0] |\nshape=[5] dtype=11 mean=3.0 scale=0.5 |");
OUTPOST_DEFINE_OP(RandomUniform, .name = "RandomUniform", .since = 22, .min_inputs = 0, .max_inputs = 0,
                  .doc = "uniform numbers of a given shape", .infer = infer_shape, .run = run_uniform,
                  .no_gradient = no_inputs, .prepare = prepare_uniform, .random = true,
                  .cases = "shape=[2,3] seed=1.0 |\nshape=[0] |\nshape=[5] dtype=10 low=-1.0 high=3.0 |");
OUTPOST_DEFINE_OP(RandomNormalLike, .name = "RandomNormalLike", .since = 22,
                  .doc = "normal numbers of another tensor's shape", .infer = infer_like, .run = run_normal,
                  .no_gradient = only_shape, .prepare = prepare_normal, .random = true,
                  .cases = "seed=1.0 | f32[2,3]\n| i64[4]\n| f64[0]");
OUTPOST_DEFINE_OP(RandomUniformLike, .name = "RandomUniformLike", .since = 22,
                  .doc = "uniform numbers of another tensor's shape", .infer = infer_like, .run = run_uniform,
                  .no_gradient = only_shape, .prepare = prepare_uniform, .random = true,
                  .cases = "seed=1.0 | f32[2,3]\n| i64[4]\n| f64[0]");
OUTPOST_DEFINE_OP(Bernoulli, .name = "Bernoulli", .since = 22, .first = 15,
                  .doc = "1 with the given probabilities, else 0", .infer = infer_bernoulli, .run = run_bernoulli,
                  .no_gradient = samples, .prepare = prepare_plain, .random = true,
                  .cases = "seed=1.0 | f32[2,3](0,1)\ndtype=9 | f64[4](0,1)\n| f32[0]");
OUTPOST_DEFINE_OP(Multinomial, .name = "Multinomial", .since = 22, .first = 7,
                  .doc = "class indices drawn with given log-probabilities", .infer = infer_multinomial,
                  .run = run_multinomial, .no_gradient = samples, .prepare = prepare_plain,
                  .scratch = scratch_multinomial, .random = true,
                  .cases = "seed=1.0 sample_size=5 | f32[2,3]\ndtype=7 | f64[1,4]\n| f32[0,3]");
}  // namespace outpost
