// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF (Unicode 15, table 3-7).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace outpost {

constexpr bool is_code_point(uint32_t c) noexcept { return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff); }
// Appends one code point (is_code_point must hold).
void append_utf8(std::string& out, uint32_t code_point);
// Takes the first code point off `rest`; false, with `rest` unchanged, when its bytes are not UTF-8.
bool take_code_point(std::string_view& rest, uint32_t& code_point) noexcept;
bool is_utf8(std::string_view bytes) noexcept;

}  // namespace outpost
