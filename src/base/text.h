// text(a, b, …): the arguments written one after another, for error messages. fail(code, …): throw an Error saying so.
// Small on purpose: no streams, no formatting language.
#pragma once
#include <string>
#include <string_view>
#include <type_traits>

#include "outpost/error.h"

namespace outpost {

void append(std::string& out, std::string_view s);
void append(std::string& out, double v);
void append_integer(std::string& out, long long v);
void append_unsigned(std::string& out, unsigned long long v);

template <class T>
void append_any(std::string& out, const T& v) {
  if constexpr (std::is_same_v<T, bool>) append(out, std::string_view(v ? "true" : "false"));
  else if constexpr (std::is_same_v<T, char>) out.push_back(v);
  else if constexpr (std::is_enum_v<T>) append(out, std::string_view(name(v)));
  else if constexpr (std::is_floating_point_v<T>) append(out, static_cast<double>(v));
  else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) append_integer(out, v);
  else if constexpr (std::is_integral_v<T>) append_unsigned(out, v);
  else if constexpr (std::is_convertible_v<const T&, std::string_view>) append(out, std::string_view(v));
  else append(out, std::string_view(to_string(v)));  // Shape, Type, … by argument-dependent lookup
}

template <class... A>
std::string text(const A&... args) {
  std::string out;
  (append_any(out, args), ...);
  return out;
}

[[noreturn]] void fail_with(ErrorCode code, const std::string& message);

template <class... A>
[[noreturn]] void fail(ErrorCode code, const A&... args) {
  fail_with(code, text(args...));
}

}  // namespace outpost
