// Look-ups of ai.onnx.ml: LabelEncoder (4), CategoryMapper and OneHotEncoder (1). Keys of any kind are brought to one form
// (text, integer or number), so that a table is one hash map; values are copied from a tensor.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <unordered_map>

#include "ops/ml/scores.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

enum class Key : uint8_t { text, integer, number };

Key key_kind(DType dtype) {
  if (dtype == DType::string) return Key::text;
  return compute_type(dtype) == DType::f32 || compute_type(dtype) == DType::f64 ? Key::number : Key::integer;
}

// Numbers by their bits, with one NaN and one zero.
int64_t number_bits(double x) { return x != x ? INT64_MIN : std::bit_cast<int64_t>(x == 0 ? 0.0 : x); }

struct Table {
  std::unordered_map<std::string, int64_t> texts;
  std::unordered_map<int64_t, int64_t> numbers;  // integers, or bits of numbers
  Tensor values;    // one per position
  Tensor fallback;  // one value

  // Position of element i, or -1.
  int64_t find(const View& x, int64_t i) const {
    if (x.dtype == DType::string) {
      auto at = texts.find(x.as<std::string>()[i]);
      return at == texts.end() ? -1 : at->second;
    }
    auto at = numbers.find(key(x.dtype, x.data, i));
    return at == numbers.end() ? -1 : at->second;
  }
  static int64_t key(DType dtype, const void* data, int64_t i) {
    int64_t integer;
    if (key_kind(dtype) == Key::integer) {
      load(dtype, data, i, 1, DType::i64, &integer);
      return integer;
    }
    double number;
    load(dtype, data, i, 1, DType::f64, &number);
    return number_bits(number);
  }
  // The last of equal keys wins.
  void add(const Tensor& keys) {
    for (int64_t i = 0; i < keys.count(); ++i) {
      if (keys.dtype() == DType::string) texts[keys.data<std::string>()[i]] = i;
      else numbers[key(keys.dtype(), keys.raw(), i)] = i;
    }
  }
};

template <class T>
Tensor list(const std::vector<T>& v) { return Tensor::of(v, Shape{static_cast<int64_t>(v.size())}); }

// The attribute in use among prefix_strings, prefix_int64s, prefix_floats and prefix_tensor; undefined if there is none.
Tensor either(const Attributes& a, const std::string& prefix) {
  if (const Tensor* t = a.tensor(prefix + "_tensor")) return *t;
  if (a.has(prefix + "_strings")) return list(a.strings(prefix + "_strings"));
  if (a.has(prefix + "_int64s")) return list(a.integers(prefix + "_int64s"));
  if (a.has(prefix + "_floats")) return list(a.reals(prefix + "_floats"));
  return {};
}

Tensor default_of(const Attributes& a, DType values) {
  if (const Tensor* t = a.tensor("default_tensor")) return *t;
  if (values == DType::string) return list(std::vector<std::string>{std::string(a.string("default_string", "_Unused"))});
  if (values == DType::i64) return list(std::vector<int64_t>{a.integer("default_int64", -1)});
  if (values == DType::f32) return list(std::vector<float>{a.real("default_float", -0.0f)});
  Tensor t(values, Shape{1});
  const double value = key_kind(values) == Key::number ? -0.0 : -1;
  convert(DType::f64, &value, values, t.raw(), 1);
  return t;
}

void copy_value(const Tensor& from, int64_t i, View& y, int64_t at) {
  if (y.dtype == DType::string) {
    y.as<std::string>()[at] = from.data<std::string>()[i];
    return;
  }
  const size_t bytes = bytes_for(y.dtype, 1);
  std::memcpy(y.as<std::byte>() + static_cast<size_t>(at) * bytes, static_cast<const std::byte*>(from.raw()) + static_cast<size_t>(i) * bytes, bytes);
}

void run_look_up(RunContext& c) {
  const auto& table = c.prepared<Table>();
  const View& x = c.in(0);
  View& y = c.out(0);
  c.parallel_ranges(x.count(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = table.find(x, i);
      copy_value(at < 0 ? table.fallback : table.values, at < 0 ? 0 : at, y, i);
    }
  });
}

// ---- LabelEncoder
void infer_label_encoder(InferContext& c) {
  c.require_inputs(1, 1);
  const Tensor keys = either(c.attributes(), "keys"), values = either(c.attributes(), "values");
  c.require(keys.defined() && values.defined(), "keys_* or values_* is missing");
  c.require(keys.count() == values.count(), "has ", keys.count(), " keys and ", values.count(), " values");
  c.require(keys.dtype() == c.dtype(0), "the input is ", c.dtype(0), " and the keys are ", keys.dtype());
  const Tensor* fallback = c.attributes().tensor("default_tensor");
  c.require(!fallback || (fallback->dtype() == values.dtype() && fallback->count() == 1), "default_tensor is not one ", values.dtype());
  Type y = c.input(0);
  y.dtype = values.dtype();
  c.output(0, y);
}

std::shared_ptr<const void> prepare_label_encoder(const PrepareContext& c) {
  auto table = std::make_shared<Table>();
  table->add(either(c.attributes(), "keys"));
  table->values = either(c.attributes(), "values");
  table->fallback = default_of(c.attributes(), table->values.dtype());
  return table;
}

// Before version 4 a NaN matched nothing, not even a NaN among the keys.
void drop_nan_keys(Attributes& a) {
  std::vector<float> keys = a.reals("keys_floats"), kept;
  for (float k : keys)
    if (k == k) kept.push_back(k);
  if (kept.size() == keys.size()) return;
  for (const char* name : {"values_floats", "values_int64s", "values_strings"}) {
    const Attribute* list = a.find(name);
    if (!list) continue;
    Attribute shorter = *list;
    std::visit([&](auto& values) {
      if constexpr (requires { values.erase(values.begin()); values.size(); }) {
        if (values.size() != keys.size()) return;
        for (size_t i = keys.size(); i-- > 0;)
          if (keys[i] != keys[i]) values.erase(values.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }, shorter);
    a.set(name, std::move(shorter));
  }
  a.set("keys_floats", kept);
}

// Version 1 numbered a list of strings, in either direction.
void upgrade_label_encoder(UpgradeContext& c) {
  if (c.attributes().has("keys_floats")) drop_nan_keys(c.node.attributes);
  if (c.from >= 2) return;
  const auto classes = c.attributes().strings("classes_strings");
  std::vector<int64_t> numbers(classes.size());
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int64_t>(i);
  const bool to_numbers = c.in(0)->type.dtype == DType::string;
  c.node.attributes.erase("classes_strings");
  c.node.attributes.set(to_numbers ? "keys_strings" : "values_strings", classes);
  c.node.attributes.set(to_numbers ? "values_int64s" : "keys_int64s", numbers);
}

// ---- CategoryMapper: strings to integers, or back, by the type of the input
void infer_category_mapper(InferContext& c) {
  c.require_inputs(1, 1);
  c.require_dtype(0, {DType::string, DType::i64});
  const size_t strings = c.attributes().strings("cats_strings").size(), integers = c.attributes().integers("cats_int64s").size();
  c.require(strings == integers, "has ", strings, " strings and ", integers, " integers");
  Type y = c.input(0);
  y.dtype = c.dtype(0) == DType::string ? DType::i64 : DType::string;
  c.output(0, y);
}

std::shared_ptr<const void> prepare_category_mapper(const PrepareContext& c) {
  auto table = std::make_shared<Table>();
  const Tensor strings = list(c.attributes().strings("cats_strings")), integers = list(c.attributes().integers("cats_int64s"));
  const bool from_strings = c.node.input(0)->type.dtype == DType::string;
  table->add(from_strings ? strings : integers);
  table->values = from_strings ? integers : strings;
  table->fallback = default_of(c.attributes(), table->values.dtype());
  return table;
}

// ---- OneHotEncoder: one more axis, of categories
Tensor categories(const Attributes& a) {
  const auto& strings = a.strings("cats_strings");
  return strings.empty() ? list(a.integers("cats_int64s")) : list(strings);
}

void infer_one_hot(InferContext& c) {
  c.require_inputs(1, 1);
  c.require_dtype(0, {DType::string, DType::i64, DType::i32, DType::f32, DType::f64});
  const Tensor cats = categories(c.attributes());
  c.require(cats.count() > 0, "has no categories");
  c.require((cats.dtype() == DType::string) == (c.dtype(0) == DType::string), "the input is ", c.dtype(0), " and the categories are ", cats.dtype());
  if (!c.ranked(0)) return c.output(0, DType::f32);
  Dims y = c.dims(0);
  y.push_back(cats.count());
  c.output(0, DType::f32, y);
}

std::shared_ptr<const void> prepare_one_hot(const PrepareContext& c) {
  auto table = std::make_shared<Table>();
  table->values = categories(c.attributes());
  table->add(table->values);
  return table;
}

void run_one_hot(RunContext& c) {
  const auto& table = c.prepared<Table>();
  const View& x = c.in(0);
  const int64_t n = table.values.count();
  const bool zeros = c.attributes().integer("zeros", 1) != 0;
  float* y = c.out(0).as<float>();
  std::fill_n(y, x.count() * n, 0.0f);
  for (int64_t i = 0; i < x.count(); ++i) {
    int64_t at;
    if (x.dtype == DType::string) {
      at = table.find(x, i);
    } else {  // numbers are cut to integers first
      int64_t value;
      load(x.dtype, x.data, i, 1, DType::i64, &value);
      auto found = table.numbers.find(value);
      at = found == table.numbers.end() ? -1 : found->second;
    }
    c.require(at >= 0 || zeros, "element ", i, " is none of the ", n, " categories");
    if (at >= 0) y[i * n + at] = 1;
  }
}

}  // namespace

OUTPOST_DEFINE_OP(ml_LabelEncoder, .name = "LabelEncoder", .domain = "ai.onnx.ml", .since = 4, .first = 1, .doc = "values looked up by keys",
                  .infer = infer_label_encoder, .run = run_look_up, .upgrade = upgrade_label_encoder, .no_gradient = ml::no_gradient,
                  .prepare = prepare_label_encoder,
                  .cases = "keys_int64s=[1,5,3] values_floats=[0.5,1.5,2.5] default_float=9.0 | i64[2,2]={1,3,4,5}\nkeys_floats=[1.0,2.0] values_int64s=[7,8] | f32[0]");
OUTPOST_DEFINE_OP(ml_CategoryMapper, .name = "CategoryMapper", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "strings to integers, or back",
                  .infer = infer_category_mapper, .run = run_look_up, .no_gradient = ml::no_gradient, .prepare = prepare_category_mapper,
                  .cases = "cats_int64s=[1,5] cats_strings=[\"a\",\"b\"] default_string=\"?\" | i64[3]={1,5,9}");
OUTPOST_DEFINE_OP(ml_OneHotEncoder, .name = "OneHotEncoder", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "categories as one-hot rows",
                  .infer = infer_one_hot, .run = run_one_hot, .no_gradient = ml::no_gradient, .prepare = prepare_one_hot,
                  .cases = "cats_int64s=[1,5,3] | i64[2,2]={1,3,4,5}\ncats_int64s=[1,5,3] | f32[0,2]");

}  // namespace outpost
