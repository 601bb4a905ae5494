// Plain conversions behind text() and fail().
#include "base/text.h"

#include <charconv>

namespace outpost {

void append(std::string& out, std::string_view s) { out.append(s); }

void append(std::string& out, double v) {
  char buffer[40];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, v);
  out.append(buffer, end);
}

void append_integer(std::string& out, long long v) {
  char buffer[24];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, v);
  out.append(buffer, end);
}

void append_unsigned(std::string& out, unsigned long long v) {
  char buffer[24];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, v);
  out.append(buffer, end);
}

void fail_with(ErrorCode code, const std::string& message) { throw Error(code, message); }

}  // namespace outpost
