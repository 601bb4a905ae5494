// Sets of characters, for regular expressions.
#pragma once
#include <string_view>
#include <vector>

#include "base/regex.h"

namespace outpost {

class CharClass {
 public:
  std::vector<Regex::Range> ranges;
  bool negated = false;

  void add(char32_t first, char32_t last) { ranges.push_back({first, last}); }
  void add_perl(char letter);                                // one of d D w W s S
  bool add_named(std::string_view name, bool inverted);      // alpha, digit, …; false if unknown
  bool add_category(std::string_view name, bool inverted);   // L, Lu, N, Greek, …; false if unknown
  void fold_case();                                          // adds the other case of every letter (ASCII, Latin-1, Greek, Cyrillic)
  void sort();                                               // ranges in order, none touching another

 private:
  void add_set(const Regex::Range* begin, const Regex::Range* end, bool inverted);
};

}  // namespace outpost
