// The four variables of odd configurations, parsed and kept.
#include "api/configuration.h"

#include <algorithm>
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

// "none", or the names of passes to leave out with commas between.
std::vector<std::string> parse_passes(std::string_view text) {
  if (text == "none") return {"all"};
  std::vector<std::string> off;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) off.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
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
