// Tensors lie one after another without holes; whoever reads checks that, so that no byte hides and none is read twice.
#include "formats/safetensors/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/mapped_file.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/write_file.h"
#include "formats/safetensors/header.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and used as it lies");

namespace outpost {
namespace {

constexpr uint64_t max_header = 100'000'000;  // the reference implementation's limit

constexpr std::pair<std::string_view, DType> dtypes[] = {
    {"BOOL", DType::boolean}, {"U8", DType::u8}, {"I8", DType::i8}, {"U16", DType::u16}, {"I16", DType::i16},
    {"U32", DType::u32}, {"I32", DType::i32}, {"U64", DType::u64}, {"I64", DType::i64}, {"F16", DType::f16},
    {"BF16", DType::bf16}, {"F32", DType::f32}, {"F64", DType::f64}, {"C64", DType::complex64},
    {"F8_E4M3", DType::f8e4m3fn}, {"F8_E5M2", DType::f8e5m2}, {"F8_E8M0", DType::f8e8m0}};

DType dtype_of_name(const safetensors::Entry& entry, const std::string& name) {
  for (auto [spelling, dtype] : dtypes)
    if (entry.dtype == spelling) return dtype;
  fail(ErrorCode::unsupported, name, ": tensor '", entry.name, "' has dtype '", entry.dtype, "'");
}

std::string_view name_of_dtype(DType dtype, const std::string& tensor) {
  for (auto [spelling, known] : dtypes)
    if (dtype == known) return spelling;
  fail(ErrorCode::unsupported, "tensor '", tensor, "': safetensors cannot hold ", dtype);
}

Tensor tensor_at(std::string_view data, DType dtype, const Shape& shape, const std::shared_ptr<const void>& owner) {
  const bool usable = dtype != DType::boolean || std::all_of(data.begin(), data.end(), [](unsigned char c) { return c <= 1; });
  const size_t width = static_cast<size_t>(bits(dtype)) / 8, alignment = dtype == DType::complex64 ? width / 2 : width;
  if (owner && usable && !data.empty() && reinterpret_cast<uintptr_t>(data.data()) % alignment == 0)
    return Tensor::share(std::const_pointer_cast<void>(owner), const_cast<char*>(data.data()), dtype, shape);
  Tensor copy(dtype, shape);
  auto* to = static_cast<char*>(copy.raw());
  if (!data.empty()) std::memcpy(to, data.data(), data.size());
  if (!usable) std::transform(to, to + data.size(), to, [](char c) { return static_cast<char>(c != 0); });
  return copy;
}

size_t bytes_of(const safetensors::Entry& entry, DType dtype, const std::string& name) {
  try {
    return bytes_for(dtype, checked_count(entry.shape));
  } catch (const Error& error) {
    fail(error.code(), name, ": tensor '", entry.name, "': ", error.what());
  }
}

// The header (with its length in front) and the tensors in the order in which their data follows.
std::string layout(const Safetensors& content, std::vector<Tensor>& ordered) {
  std::vector<const std::pair<std::string, Tensor>*> order;
  std::unordered_set<std::string_view> names{"__metadata__"};
  for (const auto& entry : content.tensors) {
    if (!names.insert(entry.first).second) fail(ErrorCode::invalid_argument, "two tensors are named '", entry.first, "'");
    if (!is_utf8(entry.first)) fail(ErrorCode::invalid_argument, "a tensor's name is not UTF-8");
    order.push_back(&entry);
  }
  // Wide elements first: then each tensor is aligned to its own width without holes, which the format forbids.
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return bits(a->second.dtype()) > bits(b->second.dtype()); });
  std::string json = "{";
  if (!content.metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : content.metadata) {
      if (json.back() != '{') json += ',';
      safetensors::append_json_string(json, key);
      json += ':';
      safetensors::append_json_string(json, value);
    }
    json += '}';
  }
  uint64_t offset = 0;
  for (auto* entry : order) {
    const auto& tensor = ordered.emplace_back(entry->second.to_contiguous());
    if (json.size() > 1) json += ',';
    safetensors::append_json_string(json, entry->first);
    json += text(":{\"dtype\":\"", name_of_dtype(tensor.dtype(), entry->first), "\",\"shape\":", tensor.shape(), ",\"data_offsets\":[",
                 offset, ",", offset + tensor.bytes(), "]}");
    offset += tensor.bytes();
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  const uint64_t length = json.size();
  return json.insert(0, reinterpret_cast<const char*>(&length), 8);
}

}  // namespace

const Tensor* Safetensors::find(std::string_view name) const noexcept {
  for (const auto& [key, tensor] : tensors)
    if (key == name) return &tensor;
  return nullptr;
}

Safetensors read_safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& name) {
  auto refuse = [&](const auto&... what) { fail(ErrorCode::invalid_model, name, ": ", what...); };
  std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  uint64_t length = 0;
  if (file.size() < 8) refuse(file.size(), " bytes are too few for a safetensors file");
  std::memcpy(&length, file.data(), 8);
  if (length > max_header || length > file.size() - 8) refuse("the header is said to take ", length, " bytes, but ", file.size() - 8, " follow (at most ", max_header, " are allowed)");
  auto header = safetensors::parse_header(file.substr(8, length), name);
  auto data = file.substr(8 + length);

  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  Safetensors result;
  result.metadata = std::move(header.metadata);
  uint64_t at = 0;
  for (auto& entry : header.entries) {
    const DType dtype = dtype_of_name(entry, name);
    const size_t size = bytes_of(entry, dtype, name);
    const auto begin = static_cast<uint64_t>(entry.offsets[0]), end = static_cast<uint64_t>(entry.offsets[1]);
    if (begin != at || end < begin || end > data.size())
      refuse("tensor '", entry.name, "' is at [", begin, ", ", end, "), expected to begin at ", at, " and to end by ", data.size());
    if (end - begin != size) refuse("tensor '", entry.name, "' takes ", end - begin, " bytes, but ", dtype, Shape(entry.shape), " takes ", size);
    result.tensors.emplace_back(std::move(entry.name), tensor_at(data.substr(begin, size), dtype, Shape(entry.shape), owner));
    at = end;
  }
  if (at != data.size()) refuse(data.size() - at, " bytes at the end belong to no tensor");
  return result;
}

Safetensors load_safetensors(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return read_safetensors(file->bytes(), file, path.string());
}

void save_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  std::vector<Tensor> tensors;
  const auto header = layout(content, tensors);
  std::vector<std::string_view> pieces{header};
  for (const auto& tensor : tensors) pieces.emplace_back(static_cast<const char*>(tensor.raw()), tensor.bytes());
  write_file(path, pieces);
}

std::string safetensors_bytes(const Safetensors& content) {
  std::vector<Tensor> tensors;
  auto out = layout(content, tensors);
  for (const auto& tensor : tensors) out.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  return out;
}

}  // namespace outpost
