// How a program puts every session it makes into an odd configuration (tests/configs/README.md): it reads environment
// variables, which the library itself never does, and hands their values over before the first session is made.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace outpost {

// What a session takes where its options say nothing.
struct SessionDefaults {
  int threads = 0;
  std::vector<std::string> passes_off = {};
  bool debug_fill = false;
};

const SessionDefaults& session_defaults() noexcept;

// `variable` is OUTPOST_ISA, OUTPOST_THREADS, OUTPOST_PASSES or OUTPOST_DEBUG_FILL; a null value leaves things as they are.
// Not thread-safe. Throws Error(invalid_argument) for a value that means nothing, or an instruction set that this
// processor lacks.
void configure(std::string_view variable, const char* value);

// All four, each asked of `value_of` (std::getenv).
void configure(char* (*value_of)(const char*));

}  // namespace outpost
