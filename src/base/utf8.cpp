// Encoding and decoding of single code points.
#include "base/utf8.h"

namespace outpost {

void append_utf8(std::string& out, uint32_t c) {
  auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3f))); };
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xc0 | (c >> 6)));
    tail(0);
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | (c >> 12)));
    tail(6), tail(0);
  } else {
    out.push_back(static_cast<char>(0xf0 | (c >> 18)));
    tail(12), tail(6), tail(0);
  }
}

bool take_code_point(std::string_view& rest, uint32_t& code_point) noexcept {
  if (rest.empty()) return false;
  const auto lead = static_cast<unsigned char>(rest[0]);
  if (lead < 0x80) {
    code_point = lead;
    rest.remove_prefix(1);
    return true;
  }
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || rest.size() < length) return false;
  uint32_t c = lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(rest[i]);
    if ((byte & 0xc0) != 0x80) return false;
    c = c << 6 | (byte & 0x3f);
  }
  constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < least[length] || !is_code_point(c)) return false;
  code_point = c;
  rest.remove_prefix(length);
  return true;
}

bool is_utf8(std::string_view bytes) noexcept {
  uint32_t code_point;
  while (!bytes.empty())
    if (!take_code_point(bytes, code_point)) return false;
  return true;
}

}  // namespace outpost
