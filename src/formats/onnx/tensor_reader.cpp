// One pass over a TensorProto finds its header and counts its elements, a second one decodes them into memory whose
// size is then known to be right. Packing rules: onnx.proto, TensorProto.
#include "formats/onnx/tensor_reader.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "formats/onnx/schema.h"

static_assert(std::endian::native == std::endian::little, "ONNX stores raw data little-endian; a big-endian host needs swaps here");

namespace outpost::onnx {
namespace {

// Where the elements of a dtype lie when they are not raw.
struct Storage {
  int field;      // of TensorProto
  int width;      // bytes of one stored scalar; 0: varint
  int per_item;   // scalars that one element takes (complex: 2)
  int packed;     // elements that one scalar holds (4-bit types: 2)
};

Storage storage_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return {tensor_field::float_data, 4, 1, 1};
    case DType::complex64: return {tensor_field::float_data, 4, 2, 1};
    case DType::f64: return {tensor_field::double_data, 8, 1, 1};
    case DType::complex128: return {tensor_field::double_data, 8, 2, 1};
    case DType::i64: return {tensor_field::int64_data, 0, 1, 1};
    case DType::u32: case DType::u64: return {tensor_field::uint64_data, 0, 1, 1};
    case DType::u4: case DType::i4: case DType::f4e2m1: return {tensor_field::int32_data, 0, 1, 2};
    case DType::u2: case DType::i2: return {tensor_field::int32_data, 0, 1, 4};
    default: return {tensor_field::int32_data, 0, 1, 1};
  }
}

// Weights from here on are worth leaving where they lie; what shape rules and passes read by value is smaller.
constexpr size_t large_constant = size_t{64} << 10;

bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16; }

size_t alignment_of(DType dtype) {
  int width = bits(dtype) / 8;
  if (dtype == DType::complex64 || dtype == DType::complex128) width /= 2;
  return width > 0 ? static_cast<size_t>(width) : 1;
}

uint64_t parse_count(const Source& source, std::string_view tensor, std::string_view key, std::string_view value) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size())
    fail(ErrorCode::invalid_model, source.label, ": tensor '", tensor, "': external_data ", key, " is '", value,
         "', expected a decimal number below 2^64");
  return number;
}

// Bytes other than 0 and 1 would be undefined behaviour as C++ bool.
bool holds_only_bools(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) { return c <= 1; });
}

}  // namespace

struct TensorReader::Header {
  std::string_view name, raw, location;
  Shape shape;
  DType dtype = DType::undefined;
  int64_t count = 0;
  size_t bytes = 0;
  bool has_raw = false, is_external = false;
  std::string_view offset, length;  // of external data, as written
  uint64_t scalars[16] = {};        // found in each typed field, by field number
};

TensorReader::Header TensorReader::header(std::string_view bytes) {
  Header h;
  std::vector<int64_t> dims;
  int dtype = 0;
  FieldReader r(source_, bytes, "TensorProto");
  auto external_entry = [&](std::string_view entry) {
    FieldReader e(source_, entry, "StringStringEntryProto");
    std::string_view key, value;
    while (e.next()) {
      if (e.field() == entry_field::key) key = e.bytes();
      else if (e.field() == entry_field::value) value = e.bytes();
      else e.skip();
    }
    if (key == "location") h.location = value;
    if (key == "offset") h.offset = value;
    if (key == "length") h.length = value;
  };
  while (r.next()) {
    switch (r.field()) {
      case tensor_field::dims: r.append(dims, Shape::max_rank); break;
      case tensor_field::data_type: dtype = r.enumeration(); break;
      case tensor_field::name: h.name = r.bytes(); break;
      case tensor_field::segment: r.fail("a tensor in segments is not supported");
      case tensor_field::raw_data: h.raw = r.bytes(), h.has_raw = true; break;
      case tensor_field::float_data: h.scalars[r.field()] += r.count_elements(4); break;
      case tensor_field::double_data: h.scalars[r.field()] += r.count_elements(8); break;
      case tensor_field::int32_data: case tensor_field::int64_data: case tensor_field::uint64_data:
        h.scalars[r.field()] += r.count_elements(0);
        break;
      case tensor_field::string_data: r.bytes(), ++h.scalars[tensor_field::string_data]; break;
      case tensor_field::external_data: external_entry(r.bytes()); break;
      case tensor_field::data_location: h.is_external = r.enumeration() == 1; break;
      default: r.skip();
    }
  }
  if (dtype < 1 || dtype > static_cast<int>(DType::i2))
    fail(dtype == 27 || dtype == 28 ? ErrorCode::unsupported : ErrorCode::invalid_model, source_.label, ": tensor '", h.name,
         "': data_type is ", dtype, ", expected 1..26");
  h.dtype = static_cast<DType>(dtype);
  try {
    h.count = checked_count(dims);
    h.bytes = bytes_for(h.dtype, h.count);
  } catch (const Error& error) {
    fail(error.code(), source_.label, ": tensor '", h.name, "': ", error.what());
  }
  h.shape = Shape(dims);
  return h;
}

Tensor TensorReader::tensor(std::string_view bytes, bool anywhere) {
  Header h = header(bytes);
  if (h.dtype == DType::string) return strings(h, bytes);
  if (h.is_external) return external(h, anywhere);
  if (h.has_raw) return raw(h, h.raw, source_.owner, anywhere);
  return typed(h, bytes);
}

Tensor TensorReader::allocate(const Header& h) {
  budget_.charge(h.bytes, "a tensor's data");
  return Tensor(h.dtype, h.shape);
}

Tensor TensorReader::raw(const Header& h, std::string_view raw, const std::shared_ptr<const void>& owner, bool anywhere) {
  if (raw.size() != h.bytes)
    fail(ErrorCode::invalid_model, source_.label, ": tensor '", h.name, "': ", raw.size(), " bytes of data, but ",
         h.dtype, h.shape, " takes ", h.bytes);
  const bool large = anywhere && h.bytes >= large_constant && is_float(h.dtype);
  bool aligned = large || reinterpret_cast<uintptr_t>(raw.data()) % alignment_of(h.dtype) == 0;
  bool usable = h.dtype != DType::boolean || holds_only_bools(raw);
  if (owner && aligned && usable && h.bytes > 0)
    return Tensor::share(std::const_pointer_cast<void>(owner), const_cast<char*>(raw.data()), h.dtype, h.shape);
  Tensor result = allocate(h);
  if (h.bytes > 0) std::memcpy(result.raw(), raw.data(), h.bytes);
  if (!usable)
    for (auto& byte : std::span(static_cast<uint8_t*>(result.raw()), h.bytes)) byte = byte != 0;
  return result;
}

Tensor TensorReader::external(const Header& h, bool anywhere) {
  auto refuse = [&](const auto&... what) {
    fail(ErrorCode::invalid_model, source_.label, ": tensor '", h.name, "': ", what...);
  };
  if (!external_)
    fail(ErrorCode::unsupported, source_.label, ": tensor '", h.name, "': external data is not allowed here");
  auto file = external_->open(h.location);
  uint64_t size = file->bytes().size();
  uint64_t offset = h.offset.empty() ? 0 : parse_count(source_, h.name, "offset", h.offset);
  uint64_t length = h.length.empty() ? h.bytes : parse_count(source_, h.name, "length", h.length);
  if (offset > size || length > size - offset)
    refuse("external data at ", offset, " of ", length, " bytes lies beyond the end of '", h.location, "' (", size, " bytes)");
  return raw(h, file->text().substr(offset, length), file, anywhere);
}

Tensor TensorReader::typed(const Header& h, std::string_view bytes) {
  Storage storage = storage_of(h.dtype);
  uint64_t expected = (static_cast<uint64_t>(h.count) * storage.per_item + storage.packed - 1) / storage.packed;
  uint64_t found = h.scalars[storage.field];
  if (found != expected)
    fail(ErrorCode::invalid_model, source_.label, ": tensor '", h.name, "': ", found, " values in field ", storage.field,
         ", but ", h.dtype, h.shape, " takes ", expected);
  Tensor result = allocate(h);
  auto* to = static_cast<char*>(result.raw());
  // Bytes of memory that one stored scalar becomes.
  const size_t width = storage.width ? storage.width : storage.packed > 1 ? 1 : bits(h.dtype) / 8;
  FieldReader r(source_, bytes, "TensorProto");
  while (r.next()) {
    if (r.field() != storage.field) {
      r.skip();
      continue;
    }
    auto run = r.elements(storage.width);
    if (storage.width) {
      if (!run.empty()) std::memcpy(to, run.data(), run.size());
      to += run.size();
      continue;
    }
    for (; !run.empty(); to += width) {
      uint64_t value = next_varint(run);
      if (h.dtype == DType::boolean) value = value != 0;
      std::memcpy(to, &value, width);
    }
  }
  return result;
}

Tensor TensorReader::strings(const Header& h, std::string_view bytes) {
  auto found = h.scalars[tensor_field::string_data];
  if (h.is_external || h.has_raw || found != static_cast<uint64_t>(h.count))
    fail(ErrorCode::invalid_model, source_.label, ": tensor '", h.name, "': ", found, " strings in string_data, but ",
         h.dtype, h.shape, " takes ", h.count, " there (strings are never raw or external)");
  Tensor result = allocate(h);
  auto* to = static_cast<std::string*>(result.raw());
  FieldReader r(source_, bytes, "TensorProto");
  while (r.next()) {
    if (r.field() != tensor_field::string_data) {
      r.skip();
      continue;
    }
    auto s = r.bytes();
    budget_.charge(s.size(), "a tensor's data");
    to++->assign(s);
  }
  return result;
}

// The indices are [NNZ] positions in row-major order or [NNZ, rank] coordinates, ascending without repetition.
void TensorReader::scatter(const Tensor& values, const Tensor& indices, Tensor& dense) {
  auto refuse = [&](const auto&... what) { fail(ErrorCode::invalid_model, source_.label, ": SparseTensorProto: ", what...); };
  const auto& shape = dense.shape();
  const int64_t count = values.count();
  const bool linear = indices.rank() == 1;
  if (indices.dtype() != DType::i64 || values.rank() != 1 || indices.rank() < 1 || indices.rank() > 2 ||
      indices.shape()[0] != count || (!linear && indices.shape()[1] != shape.rank()))
    refuse("indices are ", indices.dtype(), indices.shape(), " for values ", values.shape(), " in a dense shape ", shape,
           ", expected i64[NNZ] or i64[NNZ,rank]");
  const auto* at = indices.data<int64_t>();
  const size_t width = static_cast<size_t>(bits(values.dtype())) / 8;
  int64_t previous = -1;
  for (int64_t i = 0; i < count; ++i) {
    int64_t position = 0;
    for (int axis = 0; axis < (linear ? 1 : shape.rank()); ++axis) {
      int64_t index = *at++, size = linear ? dense.count() : shape[axis];
      if (index < 0 || index >= size) refuse("index ", index, " is outside [0, ", size, ")");
      position = linear ? index : position * size + index;
    }
    if (position <= previous) refuse("indices are not ascending at number ", i);
    previous = position;
    if (values.dtype() == DType::string) dense.data<std::string>()[position] = values.data<std::string>()[i];
    else std::memcpy(static_cast<char*>(dense.raw()) + position * width, static_cast<const char*>(values.raw()) + i * width, width);
  }
}

Tensor TensorReader::sparse_tensor(std::string_view bytes) {
  Tensor values, indices;
  std::vector<int64_t> dims;
  FieldReader r(source_, bytes, "SparseTensorProto");
  while (r.next()) {
    switch (r.field()) {
      case sparse_tensor_field::values: values = tensor(r.bytes()); break;
      case sparse_tensor_field::indices: indices = tensor(r.bytes()); break;
      case sparse_tensor_field::dims: r.append(dims, Shape::max_rank); break;
      default: r.skip();
    }
  }
  if (!values.defined() || !indices.defined()) r.fail("values or indices are missing");
  if (bits(values.dtype()) < 8) fail(ErrorCode::unsupported, source_.label, ": a sparse tensor of ", values.dtype());
  Header h;
  h.dtype = values.dtype();
  try {
    h.count = checked_count(dims);
    h.bytes = bytes_for(h.dtype, h.count);
  } catch (const Error& error) {
    fail(error.code(), source_.label, ": SparseTensorProto: ", error.what());
  }
  h.shape = Shape(dims);
  Tensor dense = allocate(h);
  if (h.dtype != DType::string && h.bytes > 0) std::memset(dense.raw(), 0, h.bytes);
  scatter(values, indices, dense);
  return dense;
}

}  // namespace outpost::onnx
