// A scanner for the few JSON forms that the format allows. Source: RFC 8259; safetensors README "Format".
#include "formats/safetensors/header.h"

#include <charconv>
#include <unordered_set>

#include "base/text.h"
#include "base/utf8.h"

namespace outpost::safetensors {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

class Scanner {
 public:
  Scanner(std::string_view json, const std::string& name) : all_(json), rest_(json), name_(name) {}

  Header header() {
    Header header;
    std::unordered_set<std::string> seen;
    members([&](std::string key) {
      if (!seen.insert(key).second) refuse("the name '", key, "' is given twice");
      if (key == "__metadata__") {
        members([&](std::string k) {
          auto value = string();
          header.metadata.emplace_back(std::move(k), std::move(value));
        });
      } else {
        header.entries.push_back(entry(std::move(key)));
      }
    });
    skip_space();
    if (!rest_.empty()) refuse("something follows the header's object");
    return header;
  }

 private:
  template <class... A>
  [[noreturn]] void refuse(const A&... what) const {
    fail(ErrorCode::invalid_model, name_, ": header byte ", all_.size() - rest_.size(), ": ", what...);
  }

  void skip_space() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\n' || rest_[0] == '\r')) rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) refuse("'", std::string_view(&c, 1), "' expected");
  }

  // Reads {"key": …, …}: visit(key) reads each value.
  template <class F>
  void members(F visit) {
    expect('{');
    if (take('}')) return;
    do {
      auto key = string();
      expect(':');
      visit(std::move(key));
    } while (take(','));
    expect('}');
  }

  Entry entry(std::string name) {
    Entry entry{std::move(name), {}, {}, {}};
    int seen = 0;
    members([&](const std::string& key) {
      if (key == "dtype") entry.dtype = string();
      else if (key == "shape") entry.shape = integers();
      else if (key == "data_offsets") entry.offsets = integers();
      else refuse("tensor '", entry.name, "' has a key '", key, "', expected dtype, shape, data_offsets");
      ++seen;
    });
    if (seen != 3 || entry.dtype.empty() || entry.offsets.size() != 2)
      refuse("tensor '", entry.name, "' must have dtype, shape and two data_offsets");
    return entry;
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> values;
    expect('[');
    if (take(']')) return values;
    do {
      skip_space();
      int64_t value = 0;
      auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc() || value < 0) refuse("a whole number below 2^63 expected");
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      values.push_back(value);
      if (values.size() > Shape::max_rank) refuse("more than ", Shape::max_rank, " numbers in a list");
    } while (take(','));
    expect(']');
    return values;
  }

  std::string string() {
    expect('"');
    std::string out;
    for (;;) {
      if (rest_.empty()) refuse("a string does not end");
      char c = rest_[0];
      if (c == '"') break;
      if (c == '\\') {
        escape(out);
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) refuse("a control character in a string");
      uint32_t code_point;
      if (!take_code_point(rest_, code_point)) refuse("a string is not UTF-8");
      append_utf8(out, code_point);
    }
    rest_.remove_prefix(1);
    return out;
  }

  void escape(std::string& out) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    rest_.remove_prefix(1);
    if (rest_.empty()) refuse("a string ends within an escape");
    if (auto at = letters.find(rest_[0]); at != letters.npos) {
      out.push_back(meanings[at]);
      rest_.remove_prefix(1);
      return;
    }
    uint32_t c = unicode_escape();
    if (c >= 0xd800 && c < 0xdc00 && rest_.starts_with("\\u")) {  // the first half of a surrogate pair
      rest_.remove_prefix(1);
      uint32_t low = unicode_escape();
      if (low < 0xdc00 || low > 0xdfff) refuse("half a surrogate pair in a string");
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!is_code_point(c)) refuse("half a surrogate pair in a string");
    append_utf8(out, c);
  }

  uint32_t unicode_escape() {
    uint32_t c = 0;
    if (rest_.size() < 5 || rest_[0] != 'u') refuse("an unknown escape in a string");
    auto [end, error] = std::from_chars(rest_.data() + 1, rest_.data() + 5, c, 16);
    if (error != std::errc() || end != rest_.data() + 5) refuse("\\u takes four hexadecimal digits");
    rest_.remove_prefix(5);
    return c;
  }

  std::string_view all_, rest_;
  const std::string& name_;
};

}  // namespace

Header parse_header(std::string_view json, const std::string& name) { return Scanner(json, name).header(); }

void append_json_string(std::string& out, std::string_view s) {
  out.push_back('"');
  for (char c : s) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out.append(1, '\\').push_back(c);
    else if (byte < 0x20) out.append("\\u00").append(1, hex_digits[byte >> 4]).push_back(hex_digits[byte & 15]);
    else out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace outpost::safetensors
