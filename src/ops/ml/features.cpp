// Operators of ai.onnx.ml on plain features: ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer, Normalizer,
// Scaler (all version 1).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/carve.h"
#include "ops/ml/scores.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t tile = 256;  // values converted at once
constexpr int64_t grain = 16384;

// body(first, count, x) over all of input 0, x being its values as f64.
template <class F>
void for_each_tile(RunContext& c, F body) {
  const View& x = c.in(0);
  c.parallel_ranges(x.count(), grain, [&](int64_t begin, int64_t end) {
    double values[tile];
    for (int64_t first = begin; first < end; first += tile) {
      const int64_t n = std::min(tile, end - first);
      load(x.dtype, x.data, first, n, DType::f64, values);
      body(first, n, values);
    }
  });
}

void infer_f32(InferContext& c) {
  c.require_inputs(1, 1);
  ml::require_features(c, 0);
  Type y = c.input(0);
  y.dtype = DType::f32;
  c.output(0, y);
}

// ---- ArrayFeatureExtractor: columns of the last axis, by index
void infer_extract(InferContext& c) {
  c.require_inputs(2, 2);
  c.require_dtype(1, {DType::i64});
  if (!c.ranked(0)) return c.output(0, c.dtype(0));
  Dims y = c.dims(0);
  c.require(!y.empty(), "the input has rank 0");
  if (y.size() == 1) y.insert(y.begin(), 1);
  Dim picks(1);
  if (c.ranked(1))
    for (Dim d : c.dims(1)) picks = picks * d;
  else picks = {};
  y.back() = picks;
  c.output(0, c.dtype(0), y);
}

void run_extract(RunContext& c) {
  const View &x = c.in(0), &picks = c.in(1);
  const int64_t columns = x.dim(x.rank() - 1), count = picks.count(), rows = x.shape().count(0, x.rank() - 1);
  const int64_t* index = picks.as<int64_t>();
  for (int64_t i = 0; i < count; ++i) c.require(index[i] >= 0 && index[i] < columns, "index ", index[i], " is outside 0..", columns - 1);
  View& y = c.out(0);
  const size_t bytes = x.dtype == DType::string ? 0 : bytes_for(x.dtype, 1);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < count; ++i) {
      const int64_t from = r * columns + index[i], to = r * count + i;
      if (x.dtype == DType::string) y.as<std::string>()[to] = x.as<std::string>()[from];
      else std::memcpy(y.as<std::byte>() + static_cast<size_t>(to) * bytes, x.as<std::byte>() + static_cast<size_t>(from) * bytes, bytes);
    }
}

// ---- Binarizer
void infer_binarizer(InferContext& c) {
  c.require_inputs(1, 1);
  ml::require_features(c, 0);
  infer_same(c);
}

void run_binarizer(RunContext& c) {
  const double threshold = c.attributes().real("threshold", 0);
  View& y = c.out(0);
  for_each_tile(c, [&](int64_t first, int64_t n, double* v) {
    for (int64_t i = 0; i < n; ++i) v[i] = v[i] > threshold ? 1 : 0;
    store(DType::f64, v, n, y.dtype, y.data, first);
  });
}

// ---- Scaler: (x - offset) * scale
void infer_scaler(InferContext& c) {
  infer_f32(c);
  const size_t offsets = c.attributes().reals("offset").size(), scales = c.attributes().reals("scale").size();
  c.require(offsets == scales && offsets > 0, "offset has ", offsets, " values and scale ", scales, "; expected as many, at least 1");
  const Dim columns = ml::columns_of(c, 0);
  c.require(offsets == 1 || !columns.known() || columns.size == static_cast<int64_t>(offsets), "offset has ", offsets, " values for ", columns.size, " features");
}

void run_scaler(RunContext& c) {
  const auto &offset = c.attributes().reals("offset"), &scale = c.attributes().reals("scale");
  const auto n_offsets = static_cast<int64_t>(offset.size());
  View& y = c.out(0);
  c.require(n_offsets == 1 || (y.rank() > 0 && y.dim(y.rank() - 1) == n_offsets), "offset has ", n_offsets, " values, the input is ", to_string(y.shape()));
  for_each_tile(c, [&](int64_t first, int64_t n, double* v) {
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>((first + i) % n_offsets);
      v[i] = (v[i] - offset[at]) * scale[at];
    }
    store(DType::f64, v, n, y.dtype, y.data, first);
  });
}

// ---- Imputer: one value, or NaN, replaced by another
bool on_integers(const InferContext& c) { return c.dtype(0) == DType::i64 || c.dtype(0) == DType::i32; }

void infer_imputer(InferContext& c) {
  infer_binarizer(c);
  const char* name = on_integers(c) ? "imputed_value_int64s" : "imputed_value_floats";
  const size_t values = on_integers(c) ? c.attributes().integers(name).size() : c.attributes().reals(name).size();
  const Dim columns = ml::columns_of(c, 0);
  c.require(values > 0, name, " is missing, for an input of ", c.dtype(0));
  c.require(values == 1 || !columns.known() || columns.size == static_cast<int64_t>(values), name, " has ", values, " values for ", columns.size, " features");
}

template <class T, class V>
void impute(RunContext& c, const std::vector<V>& values, V replaced) {
  const auto count = static_cast<int64_t>(values.size());
  const View& x = c.in(0);
  c.require(count == 1 || (x.rank() > 0 && x.dim(x.rank() - 1) == count), "has ", count, " imputed values, the input is ", to_string(x.shape()));
  const T *from = x.as<T>(), gone = static_cast<T>(replaced);
  T* to = c.out(0).as<T>();
  c.parallel_ranges(x.count(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      to[i] = from[i] == gone || (gone != gone && from[i] != from[i]) ? static_cast<T>(values[static_cast<size_t>(i % count)]) : from[i];
  });
}

void run_imputer(RunContext& c) {
  const Attributes& a = c.attributes();
  const auto &floats = a.reals("imputed_value_floats");
  const auto& integers = a.integers("imputed_value_int64s");
  switch (c.in(0).dtype) {
    case DType::f32: return impute<float>(c, floats, a.real("replaced_value_float", 0));
    case DType::f64: return impute<double>(c, floats, a.real("replaced_value_float", 0));
    case DType::i64: return impute<int64_t>(c, integers, a.integer("replaced_value_int64", 0));
    case DType::i32: return impute<int32_t>(c, integers, a.integer("replaced_value_int64", 0));
    default: c.fail("cannot impute ", c.in(0).dtype);
  }
}

// ---- Normalizer: rows divided by their largest value (which may be negative), sum of magnitudes, or length
void infer_normalizer(InferContext& c) {
  infer_f32(c);
  const auto norm = c.attributes().string("norm", "MAX");
  c.require(norm == "MAX" || norm == "L1" || norm == "L2", "norm is '", norm, "'; expected MAX, L1 or L2");
}

void run_normalizer(RunContext& c) {
  const View &x = c.in(0), &y = c.out(0);
  const auto norm = c.attributes().string("norm", "MAX");
  const int64_t columns = x.rank() > 0 ? x.dim(x.rank() - 1) : 1;
  if (x.count() == 0) return;
  float* out = y.as<float>();
  c.parallel_ranges(x.count() / columns, std::max<int64_t>(1, grain / columns), [&](int64_t begin, int64_t end) {
    load(x.dtype, x.data, begin * columns, (end - begin) * columns, DType::f32, out + begin * columns);
    for (float* row = out + begin * columns; row != out + end * columns; row += columns) {
      double divisor = norm == "MAX" ? row[0] : 0;
      for (int64_t i = 0; i < columns; ++i) {
        const double v = row[i];
        if (norm == "MAX") divisor = std::max(divisor, v);
        else divisor += norm == "L1" ? std::fabs(v) : v * v;
      }
      if (norm == "L2") divisor = std::sqrt(divisor);
      if (divisor != 0)
        for (int64_t i = 0; i < columns; ++i) row[i] = static_cast<float>(row[i] / divisor);
    }
  });
}

// ---- FeatureVectorizer: inputs side by side, cut or filled with zeros to inputdimensions
void infer_vectorizer(InferContext& c) {
  const auto& sizes = c.attributes().integers("inputdimensions");
  c.require(static_cast<int>(sizes.size()) == c.inputs(), "inputdimensions has ", sizes.size(), " values for ", c.inputs(), " inputs");
  Dim rows;
  int64_t columns = 0;
  for (int i = 0; i < c.inputs(); ++i) {
    ml::require_features(c, i);
    const int64_t size = sizes[static_cast<size_t>(i)];
    c.require(size >= 0 && size < int64_t{1} << 32, "inputdimensions[", i, "] is ", size);
    columns += size;
    const Dim d = ml::rows_of(c, i);
    c.require(!rows.known() || !d.known() || rows.size == d.size, "input ", i, " has ", d.size, " rows; expected ", rows.size);
    if (!rows.known()) rows = d;
  }
  c.output(0, DType::f32, {rows, columns});
}

void run_vectorizer(RunContext& c) {
  const auto& sizes = c.attributes().integers("inputdimensions");
  View& y = c.out(0);
  if (!y.defined()) {
    int64_t columns = 0;
    for (int64_t s : sizes) columns += s;
    c.allocate(0, {ml::matrix(c.in(0)).rows, columns});
  }
  const int64_t rows = y.dim(0), columns = y.dim(1);
  float* out = y.as<float>();
  std::fill_n(out, rows * columns, 0.0f);
  int64_t at = 0;
  for (int i = 0; i < c.inputs(); ++i) {
    const View& x = c.in(i);
    const auto m = ml::matrix(x);
    c.require(m.rows == rows, "input ", i, " has ", m.rows, " rows; expected ", rows);
    const int64_t size = sizes[static_cast<size_t>(i)];
    for (int64_t r = 0; r < rows; ++r) load(x.dtype, x.data, r * m.columns, std::min(size, m.columns), DType::f32, out + r * columns + at);
    at += size;
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ml_ArrayFeatureExtractor, .name = "ArrayFeatureExtractor", .domain = "ai.onnx.ml", .since = 1, .first = 1, .min_inputs = 2,
                  .max_inputs = 2, .doc = "columns of the last axis, by index", .infer = infer_extract, .run = run_extract,
                  .no_gradient = ml::no_gradient, .cases = R"( | f32[2,3,4] i64[1,3]={3,0,3}
 | i32[5] i64[2]={1,4}
 | f32[0,3] i64[1]={1})");
OUTPOST_DEFINE_OP(ml_Binarizer, .name = "Binarizer", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "1 above a threshold, else 0",
                  .infer = infer_binarizer, .run = run_binarizer, .no_gradient = ml::no_gradient, .in_place = {{0, 0}},
                  .cases = "threshold=0.25 | f32[3,4]\n | i64[0,2]");
OUTPOST_DEFINE_OP(ml_Scaler, .name = "Scaler", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "(x - offset) * scale", .infer = infer_scaler,
                  .run = run_scaler, .no_gradient = ml::no_gradient,
                  .cases = "offset=[0.5,1.0] scale=[2.0,0.25] | f32[3,2]\noffset=[0.5] scale=[2.0] | i32[3,4]\noffset=[0.5] scale=[2.0] | f32[0,4]");
OUTPOST_DEFINE_OP(ml_Imputer, .name = "Imputer", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "one value replaced by another",
                  .infer = infer_imputer, .run = run_imputer, .no_gradient = ml::no_gradient, .in_place = {{0, 0}},
                  .cases = "imputed_value_floats=[7.0] replaced_value_float=0.0 | f32[3,2]\nimputed_value_int64s=[1,2] replaced_value_int64=3 | i64[2,2]={3,4,3,3}");
OUTPOST_DEFINE_OP(ml_Normalizer, .name = "Normalizer", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "rows over their norm",
                  .infer = infer_normalizer, .run = run_normalizer, .no_gradient = ml::no_gradient,
                  .cases = "norm=\"L1\" | f32[3,2]\nnorm=\"L2\" | f64[3,2]\nnorm=\"MAX\" | f32[3,0]");
OUTPOST_DEFINE_OP(ml_FeatureVectorizer, .name = "FeatureVectorizer", .domain = "ai.onnx.ml", .since = 1, .first = 1, .max_inputs = -1,
                  .doc = "inputs side by side", .infer = infer_vectorizer, .run = run_vectorizer, .no_gradient = ml::no_gradient,
                  .cases = "inputdimensions=[2,4] | f32[3,2] i64[3,3]\ninputdimensions=[2] | f32[0,2]");

}  // namespace outpost
