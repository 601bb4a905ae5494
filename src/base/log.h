// log(level, a, b, …): a message for the program's log function, if there is one that wants it.
#pragma once
#include "base/text.h"
#include "outpost/log.h"

namespace outpost {

bool log_wanted(LogLevel level) noexcept;
void log_message(LogLevel level, std::string_view message);

template <class... A>
void log(LogLevel level, const A&... what) {
  if (log_wanted(level)) log_message(level, text(what...));
}

}  // namespace outpost
