// From a pattern to an automaton. Only regex.cpp needs it.
#pragma once
#include <string_view>
#include <vector>

#include "base/regex.h"

namespace outpost {

struct RegexProgram {
  std::vector<Regex::State> states;
  std::vector<Regex::Range> ranges;
  uint32_t start = 0;
};

RegexProgram compile_regex(std::string_view pattern);

// The character at `at`, which moves past it. A byte that is not part of valid UTF-8 is one unknown character.
char32_t next_character(std::string_view text, size_t& at);

}  // namespace outpost
