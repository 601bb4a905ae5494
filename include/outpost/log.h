// Log: the library prints nothing; what is worth saying goes to a function of the program's.
#pragma once
#include <string_view>

namespace outpost {

enum class LogLevel : int { debug = 0, info = 1, warning = 2, error = 3 };

using LogFunction = void (*)(LogLevel level, std::string_view message, void* context);

// Replaces the process's log function (null: silence, the default) and the least level it is called for. Messages come
// from any thread, several at once; `message` is good for the call only. Thread-safe; returns at once, so that a call on
// another thread may still be under way in the old function.
void set_log(LogFunction function, void* context = nullptr, LogLevel least = LogLevel::info) noexcept;

}  // namespace outpost
