// Tensors from nothing but attributes and sizes: Constant, ConstantOfShape, EyeLike, Range.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/elementwise.h"
#include "tensor/convert.h"

namespace outpost {

namespace {

// ---- Constant
Tensor constant_value(const Attributes& a, const Node& node) {
  for (std::string_view name : {"value", "sparse_value"})
    if (const Tensor* t = a.tensor(name)) return *t;
  const auto vector = [](auto& values) { return Tensor::of(values, Shape{static_cast<int64_t>(values.size())}); };
  if (a.has("value_float")) return Tensor::scalar(a.real("value_float", 0));
  if (a.has("value_int")) return Tensor::scalar(a.integer("value_int", 0));
  if (a.has("value_string")) return Tensor::scalar(std::string(a.string("value_string", "")));
  if (a.has("value_floats")) return vector(a.reals("value_floats"));
  if (a.has("value_ints")) return vector(a.integers("value_ints"));
  if (a.has("value_strings")) return vector(a.strings("value_strings"));
  fail(ErrorCode::invalid_model, node.label(),
       ": has no value; expected one of value, value_float(s), value_int(s), value_string(s), sparse_value");
}
void infer_constant(InferContext& c) { c.output(0, Type::of(constant_value(c.attributes(), c.node()))); }
void expand_constant(ExpandContext& c) { c.replace(0, c.constant(constant_value(c.attributes(), c.node))); }

// ---- ConstantOfShape
void infer_constant_of_shape(InferContext& c) {
  const Tensor* value = c.attributes().tensor("value");
  c.require(!value || (value->count() == 1 && value->dtype() != DType::string), "attribute 'value' is not one number");
  c.require_dtype(0, {DType::i64});
  const DType dtype = value ? value->dtype() : DType::f32;
  std::vector<int64_t> shape;
  if (c.integers(0, shape)) {
    for (int64_t dim : shape) c.require(dim >= 0, "the shape has the negative dimension ", dim);
    c.require(shape.size() <= Shape::max_rank, "rank ", shape.size(), " is more than ", int(Shape::max_rank));
    return c.output(0, dtype, Dims(shape.begin(), shape.end()));
  }
  if (c.ranked(0) && c.rank(0) == 1 && c.dims(0)[0].known()) {
    c.require(c.dims(0)[0].size <= Shape::max_rank, "rank ", c.dims(0)[0].size, " is more than ", int(Shape::max_rank));
    return c.output(0, dtype, Dims(static_cast<size_t>(c.dims(0)[0].size)));
  }
  c.output(0, dtype);
}

// Memory filled by repeating one element of 1, 2, 4, … bytes.
void fill(RunContext& c, View& y, const Tensor* value) {
  const size_t bytes = y.bytes();
  char pattern[16] = {};
  size_t width = static_cast<size_t>(std::max(bits(y.dtype) / 8, 1));
  if (value) std::memcpy(pattern, value->raw(), width);
  if (const int narrow = bits(y.dtype); narrow < 8) {
    int code = pattern[0] & ((1 << narrow) - 1), byte = 0;
    for (int i = 0; i < 8; i += narrow) byte |= code << i;
    pattern[0] = static_cast<char>(byte);
  }
  if (std::all_of(pattern, pattern + width, [&](char b) { return b == pattern[0]; })) {
    if (bytes) std::memset(y.data, pattern[0], bytes);
    return;
  }
  c.parallel_ranges(static_cast<int64_t>(bytes / width), 4 * elementwise_grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::memcpy(y.as<char>() + static_cast<size_t>(i) * width, pattern, width);
  });
}

void run_constant_of_shape(RunContext& c) {
  const View& x = c.in(0);
  if (!c.out(0).defined()) {
    c.require(x.count() <= Shape::max_rank, "rank ", x.count(), " is more than ", int(Shape::max_rank));
    Shape shape;
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t dim = x.as<int64_t>()[i];
      c.require(dim >= 0, "the shape has the negative dimension ", dim);
      shape.push_back(dim);
    }
    c.allocate(0, shape);
  }
  fill(c, c.out(0), c.attributes().tensor("value"));
}

// ---- EyeLike
void infer_eye_like(InferContext& c) {
  Type t = c.input(0);
  c.require(!t.ranked || t.rank() == 2, "the input is ", t, "; expected a matrix");
  if (const int64_t dtype = c.attributes().integer("dtype", 0)) {
    c.require(dtype >= 1 && dtype <= 26, "attribute 'dtype' is ", dtype, "; expected a TensorProto.DataType of 1..26");
    t.dtype = static_cast<DType>(dtype);
  }
  c.require(t.dtype == DType::undefined || contains(floats | integers | booleans, t.dtype), "not defined for ",
            t.dtype);
  c.output(0, std::move(t));
}
void run_eye_like(RunContext& c) {
  View& y = c.out(0);
  if (y.count() == 0) return;
  std::memset(y.data, 0, y.bytes());
  const int64_t rows = y.dim(0), columns = y.dim(1), k = c.attributes().integer("k", 0);
  if (k >= columns || k <= -rows) return;
  const int64_t one = 1;
  for (int64_t r = std::max<int64_t>(0, -k); r < rows && r + k < columns; ++r)
    store(DType::i64, &one, 1, y.dtype, y.data, r * columns + r + k);
}

// ---- Range
// max(ceil((limit - start) / delta), 0), or a reason why there is none.
const char* range_count(DType dtype, const void* start, const void* limit, const void* delta, int64_t& count) {
  if (compute_type(dtype) == DType::i64) {
    int64_t v[3];
    const void* from[] = {start, limit, delta};
    for (int i = 0; i < 3; ++i) convert(dtype, from[i], DType::i64, v + i, 1);
    if (v[2] == 0) return "delta is 0";
    const auto span = static_cast<__int128>(v[1]) - v[0], step = static_cast<__int128>(v[2]);
    const auto n = (span + step + (step > 0 ? -1 : 1)) / step;
    const bool forward = (span > 0) == (step > 0) && span != 0;
    if (forward && n > (int64_t(1) << 48)) return "too many elements";
    count = forward ? static_cast<int64_t>(n) : 0;
    return nullptr;
  }
  double v[3];
  const void* from[] = {start, limit, delta};
  for (int i = 0; i < 3; ++i) convert(dtype, from[i], DType::f64, v + i, 1);
  if (v[2] == 0) return "delta is 0";
  const double n = std::ceil((v[1] - v[0]) / v[2]);
  if (!(n < 0x1p48)) return "the number of elements is not finite";
  count = n > 0 ? static_cast<int64_t>(n) : 0;
  return nullptr;
}

void infer_range(InferContext& c) {
  for (int i = 0; i < 3; ++i) {
    require_types(c, i, floats | dtype_set({DType::i16, DType::i32, DType::i64}));
    c.require_same_dtype(0, i);
    if (c.has(i) && c.ranked(i))
      for (const Dim& d : c.dims(i))
        c.require(!d.known() || d.size == 1, "input ", i, " is ", c.input(i), "; expected a scalar");
  }
  const Tensor *start = c.value(0), *limit = c.value(1), *delta = c.value(2);
  if (!start || !limit || !delta) return c.output(0, c.dtype(0), Dims(1));
  int64_t count = 0;
  if (const char* reason = range_count(c.dtype(0), start->raw(), limit->raw(), delta->raw(), count)) c.fail(reason);
  c.output(0, c.dtype(0), Dims{Dim(count)});
}

template <class T>
void fill_range(RunContext& c, View& y, T start, T delta) {
  c.parallel_ranges(y.count(), elementwise_grain, [&](int64_t begin, int64_t end) {
    TileBuffer buffer;
    auto* values = reinterpret_cast<T*>(buffer.bytes);
    for (int64_t i = begin; i < end; i += elementwise_tile) {
      const int64_t n = std::min(elementwise_tile, end - i);
      for (int64_t j = 0; j < n; ++j) values[j] = start + static_cast<T>(i + j) * delta;
      store(dtype_of<T>(), values, n, y.dtype, y.data, i);
    }
  });
}

void run_range(RunContext& c) {
  const DType dtype = c.in(0).dtype;
  for (int i = 0; i < 3; ++i)
    c.require(c.in(i).count() == 1, "input ", i, " has shape ", c.in(i).shape(), "; expected a scalar");
  if (!c.out(0).defined()) {
    int64_t count = 0;
    if (const char* reason = range_count(dtype, c.in(0).data, c.in(1).data, c.in(2).data, count)) c.fail(reason);
    c.allocate(0, {count});
  }
  View& y = c.out(0);
  if (compute_type(dtype) == DType::i64) {  // unsigned arithmetic wraps where the last step would overflow
    uint64_t v[2];
    convert(dtype, c.in(0).data, DType::i64, v, 1);
    convert(dtype, c.in(2).data, DType::i64, v + 1, 1);
    return fill_range(c, y, v[0], v[1]);
  }
  double v[2];
  convert(dtype, c.in(0).data, DType::f64, v, 1);
  convert(dtype, c.in(2).data, DType::f64, v + 1, 1);
  fill_range(c, y, v[0], v[1]);
}

}  // namespace

OUTPOST_DEFINE_OP(Constant, .name = "Constant", .since = 25, .min_inputs = 0, .max_inputs = 0,
                  .doc = "the tensor in its attribute", .infer = infer_constant, .expand = expand_constant,
                  .no_gradient = "no inputs",
                  .cases = "value_float=1.5 |\nvalue_ints=[1,2,3] |\nvalue_strings=[\"a\",\"b\"] |");
OUTPOST_DEFINE_OP(ConstantOfShape, .name = "ConstantOfShape", .since = 25, .first = 9,
                  .doc = "one value in every element of a shape", .infer = infer_constant_of_shape,
                  .run = run_constant_of_shape, .no_gradient = "the input is a shape",
                  .cases = "| i64[3]={2,3,4}\n| i64[2]={0,3}\n| i64[0]");
OUTPOST_DEFINE_OP(EyeLike, .name = "EyeLike", .since = 22, .first = 9, .doc = "ones on a diagonal",
                  .infer = infer_eye_like, .run = run_eye_like, .no_gradient = "only the input's shape is read",
                  .cases = "| f32[3,4]\nk=1 dtype=11 | f32[3,3]\nk=-2 | i32[4,2]\n| f32[0,3]");
OUTPOST_DEFINE_OP(
    Range, .name = "Range", .since = 27, .first = 11, .min_inputs = 3, .max_inputs = 3,
    .doc = "start, start + delta, … before limit", .infer = infer_range, .run = run_range,
    .no_gradient = "its length depends on its inputs",
    .cases =
        "| i64[]={0} i64[]={7} i64[]={2}\n| f32[]={1} f32[]={-1} f32[]={-0.3}\n| i32[]={3} i32[]={3} i32[]={1}\n"
        "| f64[]={0} f64[]={1} f64[]={0.25}");

}  // namespace outpost
