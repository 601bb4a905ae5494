// Data is always written raw (strings excepted): ONNX's raw layout is that of tensors in memory.
#include "formats/onnx/value_writer.h"

#include "base/text.h"
#include "formats/onnx/schema.h"

namespace outpost::onnx {
namespace {

constexpr int tensor_doc_string = 12;

void write_entry(FieldWriter& out, int field, std::string_view key, std::string_view value) {
  out.message(field, [&] {
    out.bytes(entry_field::key, key);
    out.bytes(entry_field::value, value);
  });
}

void write_dim(FieldWriter& out, const Dim& dim, const Symbols& symbols) {
  if (dim.known()) out.integer(shape_field::dim_value, dim.size);
  else if (dim.symbol != 0) out.bytes(shape_field::dim_param, symbols.name(dim.symbol));
}

void write_tensor_type(FieldWriter& out, const Type& type, const Symbols& symbols) {
  out.integer(type_field::elem_type, static_cast<int>(type.dtype));
  if (!type.ranked) return;
  out.message(type_field::shape, [&] {
    for (const auto& dim : type.dims) out.message(shape_field::dim, [&] { write_dim(out, dim, symbols); });
  });
}

Type::Kind kind_of(const Datum& value) {
  switch (value.kind()) {
    case Datum::Kind::sequence: return Type::Kind::sequence;
    case Datum::Kind::map: return Type::Kind::map;
    case Datum::Kind::none: return Type::Kind::optional;
    default: return Type::Kind::tensor;
  }
}

// Fields of SequenceProto and OptionalProto have the same numbers for the same kinds.
void write_element(FieldWriter& out, const Datum& value) {
  const auto kind = kind_of(value);
  const int field = kind == Type::Kind::tensor ? sequence_field::tensors : kind == Type::Kind::sequence ? sequence_field::sequences
                    : kind == Type::Kind::map ? sequence_field::maps : sequence_field::optionals;
  out.message(field, [&] { write_value(out, value, kind); });
}

DataKind data_kind(const Datum& value) {
  switch (kind_of(value)) {
    case Type::Kind::sequence: return DataKind::sequence;
    case Type::Kind::map: return DataKind::map;
    case Type::Kind::optional: return DataKind::optional;
    default: return DataKind::tensor;
  }
}

void write_sequence(FieldWriter& out, const std::vector<Datum>& items) {
  if (!items.empty()) out.integer(sequence_field::elem_type, static_cast<int>(data_kind(items[0])));
  for (const auto& item : items) write_element(out, item);
}

void write_map(FieldWriter& out, const Datum& value) {
  const auto& keys = value.keys();
  out.integer(map_field::key_type, static_cast<int>(keys.dtype()));
  if (keys.dtype() == DType::string) {
    for (const auto& key : keys.values<std::string>()) out.bytes(map_field::string_keys, key);
  } else {
    for (int64_t key : keys.values<int64_t>()) out.integer(map_field::keys, key);
  }
  out.message(map_field::values, [&] { write_sequence(out, value.items()); });
}

}  // namespace

int ir_version_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f4e2m1: return 11;
    case DType::f8e8m0: return 12;
    case DType::u2: case DType::i2: return 13;
    default: return 10;
  }
}

void write_tensor(FieldWriter& out, const Tensor& given, std::string_view name, const ExternalPlace* place) {
  const Tensor tensor = given.to_contiguous();
  for (int64_t dim : tensor.shape()) out.integer(tensor_field::dims, dim);
  out.integer(tensor_field::data_type, static_cast<int>(tensor.dtype()));
  if (!name.empty()) out.bytes(tensor_field::name, name);
  const std::string_view bytes(static_cast<const char*>(tensor.raw()), tensor.bytes());
  if (tensor.dtype() == DType::string) {
    for (const auto& s : tensor.values<std::string>()) out.bytes(tensor_field::string_data, s);
  } else if (place) {
    write_entry(out, tensor_field::external_data, "location", place->location);
    write_entry(out, tensor_field::external_data, "offset", text(place->offset));
    write_entry(out, tensor_field::external_data, "length", text(bytes.size()));
    out.integer(tensor_field::data_location, 1);
  } else {
    out.aligned_bytes(tensor_field::raw_data, bytes, tensor_doc_string);
  }
}

void write_type(FieldWriter& out, const Type& type, const Symbols& symbols) {
  auto element = [&](int field, int inner) {
    out.message(field, [&] {
      if (type.kind == Type::Kind::map) out.integer(type_field::key_type, static_cast<int>(type.dtype));
      out.message(inner, [&] { write_type(out, type.element ? *type.element : Type(), symbols); });
    });
  };
  switch (type.kind) {
    case Type::Kind::none: return;
    case Type::Kind::tensor: return out.message(type_field::tensor, [&] { write_tensor_type(out, type, symbols); });
    case Type::Kind::sparse_tensor: return out.message(type_field::sparse_tensor, [&] { write_tensor_type(out, type, symbols); });
    case Type::Kind::sequence: return element(type_field::sequence, type_field::elem_type);
    case Type::Kind::optional: return element(type_field::optional, type_field::elem_type);
    case Type::Kind::map: return element(type_field::map, type_field::value_type);
  }
}

void write_value(FieldWriter& out, const Datum& value, Type::Kind kind) {
  switch (kind) {
    case Type::Kind::sequence: return write_sequence(out, value.items());
    case Type::Kind::map: return write_map(out, value);
    case Type::Kind::optional:
      out.integer(optional_field::elem_type, static_cast<int>(value.has_value() ? data_kind(value) : DataKind::undefined));
      if (value.has_value()) write_element(out, value);
      return;
    default: return write_tensor(out, value.tensor(), "");
  }
}

}  // namespace outpost::onnx
