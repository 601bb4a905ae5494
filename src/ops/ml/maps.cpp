// Maps of ai.onnx.ml (version 1): CastMap and DictVectorizer read one, ZipMap makes a sequence of them.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

#include "ops/ml/scores.h"
#include "tensor/convert.h"

namespace outpost {
namespace {

constexpr int64_t longest = int64_t{1} << 32;

const Type* map_type(const InferContext& c) {
  c.require_inputs(1, 1);
  const Type& t = c.input(0);
  if (t.kind == Type::Kind::none) return nullptr;
  c.require(t.kind == Type::Kind::map && t.element, "the input is ", to_string(t), "; expected a map");
  return &t;
}

// A map's value, a single element.
const Tensor& value_of(const RunContext& c, const Datum& item) {
  c.require(item.kind() == Datum::Kind::tensor && item.tensor().count() == 1, "the map's values are not single numbers or strings");
  return item.tensor();
}

const Datum& require_map(const RunContext& c, const Datum& d, bool text_keys) {
  c.require(d.kind() == Datum::Kind::map, "the input is not a map");
  c.require((d.keys().dtype() == DType::string) == text_keys && (text_keys || d.keys().dtype() == DType::i64), "the map's keys are ", d.keys().dtype());
  return d;
}

// ---- CastMap: values in order of their keys, or at the positions that the keys name
DType cast_type(const Node& node) {
  const auto to = node.attributes.string("cast_to", "TO_FLOAT");
  if (to == "TO_FLOAT") return DType::f32;
  if (to == "TO_INT64") return DType::i64;
  if (to == "TO_STRING") return DType::string;
  fail(ErrorCode::invalid_model, node.label(), ": cast_to is '", to, "'; expected TO_FLOAT, TO_STRING or TO_INT64");
}

bool sparse(const Attributes& a) { return a.string("map_form", "DENSE") == "SPARSE"; }

void infer_cast_map(InferContext& c) {
  map_type(c);
  const int64_t length = c.attributes().integer("max_map", 1);
  c.require(!sparse(c.attributes()) || (length >= 1 && length <= longest), "max_map is ", length, "; expected 1..", longest);
  c.output(0, cast_type(c.node()), {1, sparse(c.attributes()) ? Dim(length) : Dim()});
}

double parse_number(const RunContext& c, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  c.require(!text.empty() && *end == 0, "'", text, "' is not a number");
  return value;
}

void put(const RunContext& c, const Tensor& from, View& y, int64_t at) {
  if (y.dtype == DType::string) {
    if (from.dtype() == DType::string) y.as<std::string>()[at] = *from.data<std::string>();
    else {
      double value;
      convert(from.dtype(), from.raw(), DType::f64, &value, 1);
      y.as<std::string>()[at] = text(value);
    }
    return;
  }
  if (from.dtype() != DType::string) return convert(from.dtype(), from.raw(), y.dtype, y.as<std::byte>() + bytes_for(y.dtype, at), 1);
  const double value = parse_number(c, *from.data<std::string>());
  convert(DType::f64, &value, y.dtype, y.as<std::byte>() + bytes_for(y.dtype, at), 1);
}

void clear(View& y) {
  if (y.dtype == DType::string) std::fill_n(y.as<std::string>(), y.count(), std::string());
  else std::fill_n(y.as<std::byte>(), y.bytes(), std::byte{0});
}

void run_cast_map(RunContext& c) {
  const Datum map = c.datum(0);
  require_map(c, map, false);
  const int64_t* keys = map.keys().data<int64_t>();
  const auto& items = map.items();
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  const int64_t length = sparse(c.attributes()) ? c.attributes().integer("max_map", 1) : static_cast<int64_t>(items.size());
  if (!c.out(0).defined()) c.allocate(0, {1, length});
  View& y = c.out(0);
  clear(y);
  int64_t next = 0;
  for (size_t i : order) {
    const int64_t at = sparse(c.attributes()) ? keys[i] : next++;
    c.require(at >= 0 && at < length, "key ", at, " is outside 0..", length - 1);
    put(c, value_of(c, items[i]), y, at);
  }
}

// ---- DictVectorizer: values at their keys' places in a vocabulary
void infer_dict_vectorizer(InferContext& c) {
  const Type* map = map_type(c);
  const size_t texts = c.attributes().strings("string_vocabulary").size(), numbers = c.attributes().integers("int64_vocabulary").size();
  c.require((texts == 0) != (numbers == 0), "one of string_vocabulary and int64_vocabulary is needed");
  if (map) c.require((map->dtype == DType::string) == (texts > 0), "the map's keys are ", map->dtype, ", the vocabulary is not");
  const DType dtype = map && map->element ? map->element->dtype : DType::f32;
  c.output(0, dtype, {1, static_cast<int64_t>(texts + numbers)});
}

struct Vocabulary {
  std::unordered_map<std::string, int64_t> texts;
  std::unordered_map<int64_t, int64_t> numbers;
};

std::shared_ptr<const void> prepare_dict_vectorizer(const PrepareContext& c) {
  auto v = std::make_shared<Vocabulary>();
  for (const auto& word : c.attributes().strings("string_vocabulary")) v->texts.try_emplace(word, static_cast<int64_t>(v->texts.size()));
  for (int64_t number : c.attributes().integers("int64_vocabulary")) v->numbers.try_emplace(number, static_cast<int64_t>(v->numbers.size()));
  return v;
}

template <class M, class K>
int64_t place(const M& map, const K& key) {
  auto at = map.find(key);
  return at == map.end() ? -1 : at->second;
}

void run_dict_vectorizer(RunContext& c) {
  const auto& vocabulary = c.prepared<Vocabulary>();
  const bool text_keys = !vocabulary.texts.empty();
  const Datum map = c.datum(0);
  require_map(c, map, text_keys);
  if (!c.out(0).defined()) c.allocate(0, {1, static_cast<int64_t>(vocabulary.texts.size() + vocabulary.numbers.size())});
  View& y = c.out(0);
  clear(y);
  for (int64_t i = 0; i < static_cast<int64_t>(map.items().size()); ++i) {
    const int64_t at = text_keys ? place(vocabulary.texts, map.keys().data<std::string>()[i]) : place(vocabulary.numbers, map.keys().data<int64_t>()[i]);
    if (at >= 0 && at < y.count()) put(c, value_of(c, map.items()[static_cast<size_t>(i)]), y, at);
  }
}

// ---- ZipMap
void infer_zip_map(InferContext& c) {
  c.require_inputs(1, 1);
  c.require_dtype(0, {DType::f32});
  const auto labels = ml::Labels{c.attributes().integers("classlabels_int64s"), c.attributes().strings("classlabels_strings")};
  const Dim columns = ml::columns_of(c, 0);
  c.require(!columns.known() || columns.size == labels.count(), "the input has ", columns.size, " columns and there are ", labels.count(), " labels");
  c.output(0, Type::sequence(Type::map(labels.dtype(), Type::tensor(DType::f32, Dims{}))));
}

void run_zip_map(RunContext& c) {
  const auto& integers = c.attributes().integers("classlabels_int64s");
  const auto& texts = c.attributes().strings("classlabels_strings");
  const auto count = static_cast<int64_t>(texts.empty() ? integers.size() : texts.size());
  const View& x = c.in(0);
  const auto [rows, columns] = ml::matrix(x);
  c.require(columns == count, "the input has ", columns, " columns and there are ", count, " labels");
  const Tensor keys = texts.empty() ? Tensor::of(integers, Shape{count}) : Tensor::of(texts, Shape{count});
  std::vector<Datum> maps;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<Datum> values;
    for (int64_t i = 0; i < count; ++i) values.emplace_back(Tensor::scalar(x.as<float>()[r * columns + i]));
    maps.push_back(Datum::map(keys, std::move(values)));
  }
  c.set_datum(0, Datum::sequence(std::move(maps)));
}

}  // namespace

OUTPOST_DEFINE_OP(ml_CastMap, .name = "CastMap", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "a map's values as a tensor",
                  .infer = infer_cast_map, .run = run_cast_map, .no_gradient = ml::no_gradient);
OUTPOST_DEFINE_OP(ml_DictVectorizer, .name = "DictVectorizer", .domain = "ai.onnx.ml", .since = 1, .first = 1,
                  .doc = "a map's values at their places in a vocabulary", .infer = infer_dict_vectorizer, .run = run_dict_vectorizer,
                  .no_gradient = ml::no_gradient, .prepare = prepare_dict_vectorizer);
OUTPOST_DEFINE_OP(ml_ZipMap, .name = "ZipMap", .domain = "ai.onnx.ml", .since = 1, .first = 1, .doc = "rows of scores as maps from labels",
                  .infer = infer_zip_map, .run = run_zip_map, .no_gradient = ml::no_gradient);

}  // namespace outpost
