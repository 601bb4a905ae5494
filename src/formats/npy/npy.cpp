// Data of .npy files: the common layout is shared or copied as it is; byte order, Fortran order and strings are
// converted element by element.
#include "formats/npy/npy.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/mapped_file.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/write_file.h"
#include "formats/npy/npy_header.h"
#include "tensor/convert.h"

static_assert(std::endian::native == std::endian::little, "npy data is written as it lies in memory");

namespace outpost {
namespace {

using npy::Header;
using npy::Text;

// Without content in the file (U0), nothing else bounds how many strings it can ask for.
constexpr int64_t max_empty_strings = 1 << 24;
constexpr size_t max_string_data = size_t{4} << 30;

std::string cell_text(const char* cell, const Header& header, const std::string& name) {
  if (header.text == Text::bytes) {
    std::string_view bytes(cell, static_cast<size_t>(header.width));
    auto end = bytes.find_last_not_of('\0');
    return std::string(bytes.substr(0, end == bytes.npos ? 0 : end + 1));
  }
  std::string result;
  size_t kept = 0;  // up to the last character that is not NUL
  for (int64_t i = 0; i < header.width; ++i) {
    uint32_t c;
    std::memcpy(&c, cell + 4 * i, 4);
    if (header.big_endian) c = __builtin_bswap32(c);
    if (!is_code_point(c)) fail(ErrorCode::invalid_model, name, ": a string holds ", c, ", which is no Unicode character");
    append_utf8(result, c);
    if (c != 0) kept = result.size();
  }
  result.resize(kept);
  return result;
}

void swap_bytes(char* data, size_t count, size_t width) {
  if (width < 2) return;
  for (size_t i = 0; i < count; ++i) std::reverse(data + i * width, data + (i + 1) * width);
}

// Calls visit(n, m) for every element: n-th in row-major order, m-th in column-major order.
template <class F>
void for_each_fortran(const Shape& shape, F visit) {
  std::vector<int64_t> at(shape.size(), 0);
  const int64_t count = shape.count();
  for (int64_t n = 0; n < count; ++n) {
    int64_t m = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) m = m * shape[axis] + at[axis];
    visit(n, m);
    for (int axis = shape.rank() - 1; axis >= 0 && ++at[axis] == shape[axis]; --axis) at[axis] = 0;
  }
}

Tensor read_strings(const char* data, const Header& header, const std::string& name) {
  if (header.width == 0 && header.shape.count() > max_empty_strings) fail(ErrorCode::limit, name, ": ", header.shape.count(), " empty strings");
  Tensor result(DType::string, header.shape);
  auto strings = result.values<std::string>();
  const size_t cell = header.item_bytes();
  auto read = [&](int64_t to, int64_t from) { strings[to] = cell_text(data + from * cell, header, name); };
  if (header.fortran_order) for_each_fortran(header.shape, read);
  else for (int64_t i = 0; i < header.shape.count(); ++i) read(i, i);
  return result;
}

bool is_bools(const char* data, size_t bytes) {
  return std::all_of(data, data + bytes, [](unsigned char c) { return c <= 1; });
}

std::string string_data(const Tensor& tensor, std::string& descr) {
  auto strings = tensor.values<std::string>();
  const bool unicode = std::all_of(strings.begin(), strings.end(), [](const std::string& s) { return is_utf8(s); });
  auto length = [&](const std::string& s) {
    return unicode ? static_cast<size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xc0) != 0x80; })) : s.size();
  };
  size_t width = 1;
  for (const auto& s : strings) width = std::max(width, length(s));
  const size_t cell = width * (unicode ? 4 : 1);
  if (!strings.empty() && cell > max_string_data / strings.size())
    fail(ErrorCode::limit, "npy stores strings in cells of equal width: ", strings.size(), " cells of ", cell, " bytes are too much");
  descr = text(unicode ? "<U" : "|S", width);
  std::string data(strings.size() * cell, '\0');
  for (size_t i = 0; i < strings.size(); ++i) {
    char* to = data.data() + i * cell;
    std::string_view rest = strings[i];
    if (!unicode) std::memcpy(to, rest.data(), rest.size());
    for (uint32_t c; unicode && take_code_point(rest, c); to += 4) std::memcpy(to, &c, 4);
  }
  return data;
}

std::string_view descr_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return "|b1";
    case DType::i8: return "|i1";
    case DType::i16: return "<i2";
    case DType::i32: return "<i4";
    case DType::i64: return "<i8";
    case DType::u8: return "|u1";
    case DType::u16: return "<u2";
    case DType::u32: return "<u4";
    case DType::u64: return "<u8";
    case DType::f16: return "<f2";
    case DType::f32: return "<f4";
    case DType::f64: return "<f8";
    case DType::complex64: return "<c8";
    case DType::complex128: return "<c16";
    case DType::bf16: return "<V2";
    default: return "|V1";  // 8-bit floats, as bits
  }
}

// What is written as it lies in memory; sub-byte types are unpacked first (signed and unsigned ones to bytes, float4 to f32).
Tensor writable(const Tensor& tensor) {
  if (tensor.dtype() == DType::string || bits(tensor.dtype()) >= 8) return tensor.to_contiguous();
  const bool is_signed = tensor.dtype() == DType::i4 || tensor.dtype() == DType::i2;
  Tensor bytes(tensor.dtype() == DType::f4e2m1 ? DType::f32 : is_signed ? DType::i8 : DType::u8, tensor.shape());
  convert(tensor.dtype(), tensor.raw(), bytes.dtype(), bytes.raw(), tensor.count());
  return bytes;
}

}  // namespace

Tensor read_npy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& name) {
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Header header = npy::parse_header(file, name);
  const size_t item = header.item_bytes(), left = file.size() - header.data_offset;
  const uint64_t count = static_cast<uint64_t>(header.shape.count());
  if (item > 0 && (count > left / item || count * item != left))
    fail(ErrorCode::invalid_model, name, ": ", left, " bytes of data, but ", count, " elements take ", item, " bytes each");
  const char* data = file.data() + header.data_offset;
  if (header.text != Text::none) return read_strings(data, header, name);

  const bool plain = !header.big_endian && (!header.fortran_order || header.shape.rank() < 2);
  const bool usable = header.dtype != DType::boolean || is_bools(data, left);
  const size_t alignment = header.dtype == DType::complex64 || header.dtype == DType::complex128 ? item / 2 : item;
  if (owner && plain && usable && left > 0 && reinterpret_cast<uintptr_t>(data) % alignment == 0)
    return Tensor::share(std::const_pointer_cast<void>(owner), const_cast<char*>(data), header.dtype, header.shape);
  Tensor result(header.dtype, header.shape);
  auto* to = static_cast<char*>(result.raw());
  if (header.fortran_order) for_each_fortran(header.shape, [&](int64_t n, int64_t m) { std::memcpy(to + n * item, data + m * item, item); });
  else if (left > 0) std::memcpy(to, data, left);
  if (header.big_endian) swap_bytes(to, left / alignment, alignment);
  if (!usable) std::transform(to, to + left, to, [](char c) { return static_cast<char>(c != 0); });
  return result;
}

Tensor load_npy(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return read_npy(file->bytes(), file, path.string());
}

std::string npy_bytes(const Tensor& given) {
  Tensor tensor = writable(given);
  if (tensor.dtype() == DType::string) {
    std::string descr, data = string_data(tensor, descr);
    return npy::header_bytes(descr, tensor.shape()) + data;
  }
  auto result = npy::header_bytes(descr_of(tensor.dtype()), tensor.shape());
  return result.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
}

void save_npy(const std::filesystem::path& path, const Tensor& given) {
  Tensor tensor = writable(given);
  if (tensor.dtype() == DType::string) return write_file(path, npy_bytes(tensor));
  const auto header = npy::header_bytes(descr_of(tensor.dtype()), tensor.shape());
  const std::string_view pieces[] = {header, {static_cast<const char*>(tensor.raw()), tensor.bytes()}};
  write_file(path, pieces);
}

}  // namespace outpost
