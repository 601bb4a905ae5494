// The four variables of odd configurations, parsed and kept.
#include "api/configuration.h"

#include <charconv>

#include "base/text.h"
#include "kernels/kernels.h"

namespace outpost {
namespace {

SessionDefaults defaults;

int parse_threads(std::string_view text) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1 || threads > 1024)
    fail(ErrorCode::invalid_argument, "OUTPOST_THREADS is '", text, "'; use 1 to 1024");
  return threads;
}

// "none", or passes to leave out, each with a minus: "-fold,-dead".
std::vector<std::string> parse_passes(std::string_view text) {
  if (text == "none") return {"all"};
  std::vector<std::string> off;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (item.size() < 2 || item[0] != '-')
      fail(ErrorCode::invalid_argument, "OUTPOST_PASSES has '", item, "'; use none, or names with a minus: -fold,-dead");
    off.emplace_back(item.substr(1));
  }
  return off;
}

}  // namespace

const SessionDefaults& session_defaults() noexcept { return defaults; }

void configure(std::string_view variable, const char* value) {
  if (!value) return;
  const std::string_view text = value;
  if (variable == "OUTPOST_ISA") {
    if (!kernels::select_kernels(text))
      fail(ErrorCode::invalid_argument, "OUTPOST_ISA is '", text, "': no such kernels here, or this processor cannot run them");
  } else if (variable == "OUTPOST_THREADS") {
    defaults.threads = parse_threads(text);
  } else if (variable == "OUTPOST_PASSES") {
    defaults.passes_off = parse_passes(text);
  } else if (variable == "OUTPOST_DEBUG_FILL") {
    if (text != "nan") fail(ErrorCode::invalid_argument, "OUTPOST_DEBUG_FILL is '", text, "'; use nan");
    defaults.debug_fill = true;
  } else {
    fail(ErrorCode::invalid_argument, "no variable '", variable, "'");
  }
}

void configure(char* (*value_of)(const char*)) {
  for (const char* variable : {"OUTPOST_ISA", "OUTPOST_THREADS", "OUTPOST_PASSES", "OUTPOST_DEBUG_FILL"})
    configure(variable, value_of(variable));
}

}  // namespace outpost
