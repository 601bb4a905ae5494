// Sequences, optionals and maps of onnx-data.proto, which carry test data and a few models' attributes.
#include "formats/onnx/schema.h"
#include "formats/onnx/tensor_reader.h"

namespace outpost::onnx {
namespace {
constexpr int max_depth = 64;
}

Datum TensorReader::datum(std::string_view bytes, Type::Kind kind, int depth) {
  if (depth > max_depth) fail(ErrorCode::limit, source_.label, ": values are nested more than ", max_depth, " deep");
  switch (kind) {
    case Type::Kind::sparse_tensor: return sparse_tensor(bytes);
    case Type::Kind::sequence: return Datum::sequence(sequence(bytes, depth));
    case Type::Kind::optional: return optional(bytes, depth);
    case Type::Kind::map: return map(bytes, depth);
    default: return tensor(bytes);
  }
}

std::vector<Datum> TensorReader::sequence(std::string_view bytes, int depth) {
  std::vector<Datum> items;
  auto add = [&](FieldReader& r, Type::Kind kind) {
    auto item = r.bytes();
    budget_.charge(sizeof(Datum), "a sequence");
    items.push_back(datum(item, kind, depth + 1));
  };
  FieldReader r(source_, bytes, "SequenceProto");
  while (r.next()) {
    switch (r.field()) {
      case sequence_field::tensors: add(r, Type::Kind::tensor); break;
      case sequence_field::sparse_tensors: add(r, Type::Kind::sparse_tensor); break;
      case sequence_field::sequences: add(r, Type::Kind::sequence); break;
      case sequence_field::maps: add(r, Type::Kind::map); break;
      case sequence_field::optionals: add(r, Type::Kind::optional); break;
      default: r.skip();
    }
  }
  return items;
}

Datum TensorReader::optional(std::string_view bytes, int depth) {
  Datum result;
  FieldReader r(source_, bytes, "OptionalProto");
  while (r.next()) {
    switch (r.field()) {
      case optional_field::tensor: result = datum(r.bytes(), Type::Kind::tensor, depth + 1); break;
      case optional_field::sparse_tensor: result = datum(r.bytes(), Type::Kind::sparse_tensor, depth + 1); break;
      case optional_field::sequence: result = datum(r.bytes(), Type::Kind::sequence, depth + 1); break;
      case optional_field::map: result = datum(r.bytes(), Type::Kind::map, depth + 1); break;
      case optional_field::optional: result = datum(r.bytes(), Type::Kind::optional, depth + 1); break;
      default: r.skip();
    }
  }
  return result;
}

Datum TensorReader::map(std::string_view bytes, int depth) {
  std::vector<int64_t> keys;
  std::vector<std::string> names;
  std::vector<Datum> values;
  DType key_type = DType::undefined;
  budget_.charge(bytes.size() * sizeof(int64_t), "a map");
  FieldReader r(source_, bytes, "MapProto");
  while (r.next()) {
    switch (r.field()) {
      case map_field::key_type: key_type = static_cast<DType>(r.enumeration()); break;
      case map_field::keys: r.append(keys, bytes.size()); break;
      case map_field::string_keys:
        budget_.charge(sizeof(std::string), "a map");
        names.push_back(r.string());
        break;
      case map_field::values: values = sequence(r.bytes(), depth + 1); break;
      default: r.skip();
    }
  }
  size_t count = key_type == DType::string ? names.size() : keys.size();
  if (count != values.size()) r.fail(count, " keys for ", values.size(), " values");
  Shape shape{static_cast<int64_t>(count)};
  Tensor key_tensor = key_type == DType::string ? Tensor::of(names, shape) : Tensor::of(keys, shape);
  return Datum::map(std::move(key_tensor), std::move(values));
}

}  // namespace outpost::onnx
