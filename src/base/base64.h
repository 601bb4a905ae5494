// Base64 with padding (RFC 4648 §4).
#pragma once
#include <string>
#include <string_view>

namespace outpost {

std::string to_base64(std::string_view bytes);
// False, with `out` undefined, when the text is not exactly base64.
bool from_base64(std::string_view text, std::string& out);

}  // namespace outpost
