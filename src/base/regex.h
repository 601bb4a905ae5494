// Regular expressions in RE2's syntax, matched in time linear in the text: the pattern becomes a non-deterministic
// automaton, simulated by sets of states (Thompson 1968; Pike's VM without captures, as only whether a text matches is
// asked). No pattern can make it explode: its size is bounded when it is made.
//
// Text and pattern are UTF-8; a byte that is not part of valid UTF-8 matches as one unknown character.
// Understood: literals, ., [classes], [[:names:]], \d \w \s \D \W \S, \pL-style categories of ASCII and Latin ranges,
// ^ $ \A \z \b \B, groups (capturing, (?:), (?P<name>), flags i m s U), |, * + ? {n,m} and their lazy forms,
// \x{…}, \Q…\E. Refused, as RE2 does: back-references and look-around.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace outpost {

class Regex {
 public:
  // Throws Error(invalid_argument) with the position for a pattern it cannot read, Error(limit) for one too large.
  explicit Regex(std::string_view pattern);
  // Whether the whole text matches. Thread-safe.
  bool full_match(std::string_view text) const;

  // The automaton; public for the parser alone.
  struct Range { char32_t first, last; };
  struct State {
    enum class Kind : uint8_t { ranges, split, jump, begin_text, end_text, begin_line, end_line, word_edge, no_word_edge, match, fail } kind;
    bool negated = false;
    uint32_t first_range = 0, range_count = 0;  // ranges: characters that lead on
    uint32_t next = 0, other = 0;               // split: both
  };

 private:
  struct Threads;
  void follow(Threads& set, uint32_t state, std::string_view text, size_t position) const;
  bool accepts(const State& state, char32_t c) const;

  std::vector<State> states_;
  std::vector<Range> ranges_;
  uint32_t start_ = 0;
};

}  // namespace outpost
