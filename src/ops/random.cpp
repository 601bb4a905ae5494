// Random tensors. Without a `seed` attribute they continue the run state's Philox stream: element i takes word i from
// the stream's position, so results depend neither on threads nor on tiles, and the state moves on by what was drawn.
// With `seed` they are numpy's RandomState(seed): the same numbers as the ONNX reference implementation, every run.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <random>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

// numpy.random.RandomState: MT19937 (Matsumoto & Nishimura 1998), 53-bit uniforms, polar normals in pairs.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint32_t seed) : engine_(seed) {}
  double uniform() {
    const uint32_t a = static_cast<uint32_t>(engine_()) >> 5, b = static_cast<uint32_t>(engine_()) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
  }
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double x, y, square;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double f = std::sqrt(-2 * std::log(square) / square);
    spare_ = f * x;
    has_spare_ = true;
    return f * y;
  }

 private:
  std::mt19937 engine_;
  double spare_ = 0;
  bool has_spare_ = false;
};

// The Philox stream by position.
class Stream {
 public:
  explicit Stream(const Random& r) : seed_(r.seed()), first_(r.counter()) {}
  uint32_t word(uint64_t i) {
    const uint64_t at = first_ + i;
    if (at / 4 != block_) {
      block_ = at / 4;
      words_ = Random::block(seed_, block_);
    }
    return words_[at % 4];
  }
  double uniform(uint64_t i) { return word(i) * 0x1p-32; }
  double normal(uint64_t i) {  // Box and Muller 1958, from words 2i and 2i + 1
    const double u = (word(2 * i) + 0.5) * 0x1p-32, v = word(2 * i + 1) * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
  }

 private:
  uint64_t seed_, first_, block_ = ~uint64_t(0);
  std::array<uint32_t, 4> words_;
};

struct Options {
  bool seeded;
  uint32_t seed;
  double a, b;             // mean and scale, or low and high
  int64_t samples = 1;
};
Options parse(const Attributes& attributes) {
  Options o{attributes.has("seed"), 0, 0, 0};
  if (!o.seeded) return o;
  const Attribute* seed = attributes.find("seed");
  const double value = std::holds_alternative<int64_t>(*seed) ? static_cast<double>(std::get<int64_t>(*seed))
                                                              : attributes.real("seed", 0);
  o.seed = static_cast<uint32_t>(static_cast<int64_t>(std::clamp(value, -9e15, 9e15)));
  return o;
}
std::shared_ptr<const void> prepare_normal(const PrepareContext& c) {
  Options o = parse(c.attributes());
  o.a = c.attributes().real("mean", 0);
  o.b = c.attributes().real("scale", 1);
  return std::make_shared<Options>(o);
}
std::shared_ptr<const void> prepare_uniform(const PrepareContext& c) {
  Options o = parse(c.attributes());
  o.a = c.attributes().real("low", 0);
  o.b = c.attributes().real("high", 1);
  return std::make_shared<Options>(o);
}
std::shared_ptr<const void> prepare_plain(const PrepareContext& c) {
  Options o = parse(c.attributes());
  o.samples = c.attributes().integer("sample_size", 1);
  return std::make_shared<Options>(o);
}

// value(draw, element) for every element; `draw` is a NumpyRandom or a Stream with its position.
struct Draw {
  NumpyRandom* numpy;
  Stream* stream;
  uint64_t position;
  double uniform() { return numpy ? numpy->uniform() : stream->uniform(position); }
  double normal() { return numpy ? numpy->normal() : stream->normal(position); }
};
// tiles(begin, end, numpy): a seeded stream is walked in order, the state's stream by all threads.
template <class Tiles>
void over_stream(RunContext& c, const Options& o, int64_t count, int words_an_element, Tiles tiles) {
  if (o.seeded) {
    NumpyRandom numpy(o.seed);
    tiles(0, count, &numpy);
    return;
  }
  c.parallel_ranges(count, elementwise_grain, [&](int64_t begin, int64_t end) { tiles(begin, end, nullptr); });
  c.random().skip(static_cast<uint64_t>(count) * static_cast<uint64_t>(words_an_element));
}

template <class Value>
void generate(RunContext& c, const Options& o, View& y, int words_an_element, Value value) {
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
  const auto& o = c.prepared<Options>();
  generate(c, o, c.out(0), 2, [&](Draw& draw, int64_t) { return o.a + o.b * draw.normal(); });
}
void run_uniform(RunContext& c) {
  const auto& o = c.prepared<Options>();
  generate(c, o, c.out(0), 1, [&](Draw& draw, int64_t) { return o.a + (o.b - o.a) * draw.uniform(); });
}
void run_bernoulli(RunContext& c) {
  const View& x = c.in(0);
  generate(c, c.prepared<Options>(), c.out(0), 1, [&](Draw& draw, int64_t i) {
    double p;
    load(x.dtype, x.data, i, 1, DType::f64, &p);
    return draw.uniform() < p ? 1.0 : 0.0;
  });
}

// ---- Multinomial: rows of unnormalised log-probabilities; samples by inverting the cumulative sum.
size_t scratch_multinomial(const ScratchContext& c) { return sizeof(double) * static_cast<size_t>(c.in(0).dim(1)); }

void run_multinomial(RunContext& c) {
  const auto& o = c.prepared<Options>();
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

// ---- Dropout
double dropout_ratio(RunContext& c) {
  double ratio = 0.5;
  if (c.has(1) && c.in(1).count() == 1) load(c.in(1).dtype, c.in(1).data, 0, 1, DType::f64, &ratio);
  c.require(ratio >= 0 && ratio < 1, "ratio is ", ratio, "; expected 0 up to but not including 1");
  return ratio;
}

template <class T>
void drop(RunContext& c, const View& x, View& y, uint8_t* mask, double ratio) {
  const T scale = static_cast<T>(1 / (1 - ratio));
  over_stream(c, c.prepared<Options>(), x.count(), 1, [&](int64_t begin, int64_t end, NumpyRandom* numpy) {
    Stream stream(c.random());
    T values[elementwise_tile];
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      load_tile(x.dtype, x.data, i, n, dtype_of<T>(), values);
      for (int64_t j = 0; j < n; ++j) {
        const bool kept = Draw{numpy, &stream, static_cast<uint64_t>(i + j)}.uniform() >= ratio;
        values[j] = kept ? values[j] * scale : T(0);
        if (mask) mask[i + j] = kept;
      }
      store_tile(dtype_of<T>(), values, n, y.dtype, y.data, i);
    }
  });
}

void run_dropout(RunContext& c) {
  const View& x = c.in(0);
  View& y = c.out(0);
  const bool training = c.has(2) && c.in(2).count() == 1 && *c.in(2).as<uint8_t>() != 0;
  const double ratio = training ? dropout_ratio(c) : 0;
  uint8_t* mask = c.wants(1) ? c.out(1).as<uint8_t>() : nullptr;
  if (ratio == 0) {
    if (y.data != x.data) convert(x.dtype, x.data, y.dtype, y.data, x.count());
    if (mask) std::fill_n(mask, x.count(), uint8_t(1));
    return;
  }
  if (x.dtype == DType::f64) drop<double>(c, x, y, mask, ratio);
  else drop<float>(c, x, y, mask, ratio);
}

void infer_dropout(InferContext& c) {
  require_types(c, 0, floats | float8s);
  require_types(c, 1, floats | float8s);
  require_types(c, 2, booleans);
  c.output(0, c.input(0));
  Type mask = c.input(0);
  mask.dtype = DType::boolean;
  c.output(1, std::move(mask));
}

// Opset 1 and 6 drop unless is_test; their models are run, not trained, so they pass their input on like 7 to 10.
void upgrade_dropout(UpgradeContext& c) {
  upgrade_consumed_inputs(c);
  c.node.attributes.erase("is_test");
  if (c.from < 12) c.real_to_input("ratio", 1, DType::f32);
}

void gradient_dropout(GradientContext& c) {
  Value* training = c.in(2);
  if (!training || (training->is_constant() && training->constant().dtype() == DType::boolean &&
                    !*training->constant().data<bool>()))
    return c.set(0, c.grad());
  Value* mask = c.out(1) ? c.out(1) : c.graph().add_output(&c.node);
  if (!mask->type.is_tensor()) {
    mask->type = c.in(0)->type;
    mask->type.dtype = DType::boolean;
  }
  Value* one = c.like(c.grad(), 1);
  Value* ratio = c.has(1) ? c.emit("CastLike", {c.in(1), c.grad()}) : c.like(c.grad(), 0.5);
  Value* scale = c.emit("Where", {training, c.div(one, c.sub(one, ratio)), one});
  c.set(0, c.emit("Where", {mask, c.mul(c.grad(), scale), c.like(c.grad(), 0)}));
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
OUTPOST_DEFINE_OP(
    Dropout, .name = "Dropout", .since = 22, .max_inputs = 3, .max_outputs = 2,
    .doc = "the input, or in training a random part of it scaled up", .infer = infer_dropout, .run = run_dropout,
    .upgrade = upgrade_dropout, .gradient = gradient_dropout, .prepare = prepare_plain, .in_place = {{0, 0}},
    .random = true,
    .cases =
        "| f32[2,3,4]\n| f32[5] f32[]={0.3} bool[]={false} | 2\nseed=7 | f64[2,9] f64[]={0.4} bool[]={true} | 2\n"
        "| f32[0]");

}  // namespace outpost
