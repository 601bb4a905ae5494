// ONNX has no state variables. They are written as inputs with an initial value (an initializer of the same name) and
// outputs, so that any engine can carry them from run to run, and told apart by the model's metadata:
// "outpost.state.NAME" = read, write and "listed" (the value is an ordinary output too) or "hidden", one a line.
#pragma once
#include <string>
#include <string_view>

namespace outpost::onnx {

inline constexpr std::string_view state_prefix = "outpost.state.";
inline std::string state_key(std::string_view name) { return std::string(state_prefix).append(name); }

struct StateNames {
  std::string read, write;
  bool listed = false;

  std::string text() const { return read + "\n" + write + (listed ? "\nlisted" : "\nhidden"); }
  // False when `text` is not of this form.
  static bool parse(std::string_view text, StateNames& out) {
    const auto first = text.find('\n'), second = text.find('\n', first == text.npos ? first : first + 1);
    if (second == text.npos) return false;
    out.read = text.substr(0, first);
    out.write = text.substr(first + 1, second - first - 1);
    out.listed = text.substr(second + 1) == "listed";
    return out.listed || text.substr(second + 1) == "hidden";
  }
};

}  // namespace outpost::onnx
