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

}  // namespace outpost
