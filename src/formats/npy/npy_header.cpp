// A parser for just the literals that NumPy writes there: strings, True/False, tuples of integers.
#include "formats/npy/npy_header.h"

#include <charconv>
#include <cstring>
#include <vector>

#include "base/text.h"

namespace outpost::npy {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr size_t max_header = 1 << 20;

class LiteralParser {
 public:
  LiteralParser(std::string_view text, const std::string& name) : rest_(text), name_(name) {}

  void parse(Header& header) {
    expect('{');
    while (!take('}')) {
      auto key = string();
      expect(':');
      if (key == "descr") set_dtype(header);
      else if (key == "fortran_order") header.fortran_order = boolean();
      else if (key == "shape") header.shape = shape();
      else refuse("the key '", key, "' in the header, expected descr, fortran_order, shape");
      ++keys_;
      if (!take(',')) { expect('}'); break; }
    }
    if (keys_ != 3) refuse(keys_, " keys in the header, expected descr, fortran_order, shape");
  }

 private:
  template <class... A>
  [[noreturn]] void refuse(const A&... what) const { fail(ErrorCode::invalid_model, name_, ": ", what...); }

  void skip_space() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) refuse("'", std::string_view(&c, 1), "' expected in the header before '", rest_.substr(0, 20), "'");
  }
  std::string_view string() {
    char quote = take('\'') ? '\'' : (expect('"'), '"');
    auto end = rest_.find(quote);
    if (end == rest_.npos) refuse("a string in the header does not end");
    auto result = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return result;
  }
  bool boolean() {
    skip_space();
    for (bool value : {true, false}) {
      std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    refuse("fortran_order is '", rest_.substr(0, 10), "', expected True or False");
  }
  int64_t integer() {
    skip_space();
    int64_t value = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) refuse("the shape holds '", rest_.substr(0, 24), "', expected a number below 2^63");
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    if (!rest_.empty() && rest_[0] == 'L') rest_.remove_prefix(1);  // Python 2 wrote 3L
    return value;
  }
  Shape shape() {
    std::vector<int64_t> dims;
    expect('(');
    while (!take(')')) {
      dims.push_back(integer());
      if (dims.size() > Shape::max_rank) refuse("more than ", Shape::max_rank, " axes");
      if (!take(',')) { expect(')'); break; }
    }
    try {
      checked_count(dims);
    } catch (const Error& error) {
      fail(error.code(), name_, ": ", error.what());
    }
    return Shape(dims);
  }

  void set_dtype(Header& header) {
    skip_space();
    if (!rest_.empty() && rest_[0] == '[') fail(ErrorCode::unsupported, name_, ": structured arrays are not supported");
    auto descr = string(), type = descr;
    char order = '|';
    if (!type.empty() && std::strchr("<>|=", type[0])) order = type[0], type.remove_prefix(1);
    header.big_endian = order == '>';
    if (type.empty()) refuse("an empty descr");
    if (type[0] == 'O') fail(ErrorCode::unsupported, name_, ": pickled Python objects are never read; save an array of numbers or strings");
    if (type[0] == 'U' || type[0] == 'S' || type[0] == 'a') {
      header.dtype = DType::string;
      header.text = type[0] == 'U' ? Text::unicode : Text::bytes;
      auto [end, error] = std::from_chars(type.data() + 1, type.data() + type.size(), header.width);
      if (error != std::errc() || end != type.data() + type.size() || header.width < 0 || header.width > (1 << 28)) refuse("descr '", descr, "'");
      return;
    }
    constexpr std::pair<std::string_view, DType> types[] = {
        {"b1", DType::boolean}, {"i1", DType::i8}, {"i2", DType::i16}, {"i4", DType::i32}, {"i8", DType::i64},
        {"u1", DType::u8}, {"u2", DType::u16}, {"u4", DType::u32}, {"u8", DType::u64}, {"f2", DType::f16},
        {"f4", DType::f32}, {"f8", DType::f64}, {"c8", DType::complex64}, {"c16", DType::complex128},
        {"V2", DType::bf16}, {"V1", DType::u8}};
    for (auto [spelling, dtype] : types)
      if (type == spelling) header.dtype = dtype;
    if (header.dtype == DType::undefined) fail(ErrorCode::unsupported, name_, ": dtype '", descr, "' is not supported");
  }

  std::string_view rest_;
  const std::string& name_;
  int keys_ = 0;
};

}  // namespace

size_t Header::item_bytes() const {
  if (text == Text::none) return static_cast<size_t>(bits(dtype)) / 8;
  return static_cast<size_t>(width) * (text == Text::unicode ? 4 : 1);
}

Header parse_header(std::string_view file, const std::string& name) {
  auto refuse = [&](const auto&... what) { fail(ErrorCode::invalid_model, name, ": ", what...); };
  if (file.size() < 10 || !file.starts_with(magic)) refuse("does not begin with \\x93NUMPY, so it is no .npy file");
  const int version = static_cast<unsigned char>(file[6]);
  if (version < 1 || version > 3) refuse("npy version ", version, ", expected 1, 2 or 3");
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (file.size() < 8 + length_bytes) refuse("ends within its header");
  uint32_t length = 0;
  std::memcpy(&length, file.data() + 8, length_bytes);
  const size_t begin = 8 + length_bytes;
  if (length > max_header || length > file.size() - begin) refuse("the header is said to take ", length, " bytes, but ", file.size() - begin, " are left");
  Header header;
  LiteralParser(file.substr(begin, length), name).parse(header);
  header.data_offset = begin + length;
  return header;
}

std::string header_bytes(std::string_view descr, const Shape& shape) {
  std::string dict = text("{'descr': '", descr, "', 'fortran_order': False, 'shape': (");
  for (int64_t dim : shape) dict += text(dim, ", ");
  if (shape.rank() > 1) dict.resize(dict.size() - 2);  // (3, 4), but (3,)
  else if (shape.rank() == 1) dict.pop_back();
  dict += "), }";
  const size_t begin = dict.size() + 11 <= 65000 ? 10 : 12;  // version 1 counts its header in 16 bits
  dict.append(63 - (begin + dict.size()) % 64, ' ').push_back('\n');
  std::string out(magic);
  out.push_back(begin == 10 ? 1 : 2);
  out.push_back(0);
  const uint32_t length = static_cast<uint32_t>(dict.size());
  out.append(reinterpret_cast<const char*>(&length), begin - 8);
  return out + dict;
}

}  // namespace outpost::npy
