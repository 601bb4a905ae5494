// The simulation: one pass over the text with a set of live states, each at most once (sparse set).
#include "base/regex.h"

#include <algorithm>

#include "base/regex_parser.h"
#include "base/utf8.h"

namespace outpost {
namespace {

bool is_word(std::string_view text, size_t at) {
  if (at >= text.size()) return false;
  const char c = text[at];
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

char32_t next_character(std::string_view text, size_t& at) {
  std::string_view rest = text.substr(at);
  uint32_t code = 0;
  if (take_code_point(rest, code)) {
    at = text.size() - rest.size();
    return code;
  }
  ++at;
  return 0xfffd;
}

Regex::Regex(std::string_view pattern) {
  RegexProgram program = compile_regex(pattern);
  states_ = std::move(program.states);
  ranges_ = std::move(program.ranges);
  start_ = program.start;
}

// Live states in order of arrival; membership by position, so that clearing costs nothing.
struct Regex::Threads {
  std::vector<uint32_t> list, where, pending;
  explicit Threads(size_t states) : where(states, 0) { list.reserve(states); }
  bool add(uint32_t state) {
    if (where[state] < list.size() && list[where[state]] == state) return false;
    where[state] = static_cast<uint32_t>(list.size());
    list.push_back(state);
    return true;
  }
};

// Adds a state and all that it reaches without a character.
void Regex::follow(Threads& set, uint32_t state, std::string_view text, size_t at) const {
  using Kind = State::Kind;
  set.pending.assign(1, state);
  while (!set.pending.empty()) {
    const uint32_t id = set.pending.back();
    set.pending.pop_back();
    if (!set.add(id)) continue;
    const State& s = states_[id];
    const bool edge = (at > 0 && is_word(text, at - 1)) != is_word(text, at);
    bool open = false;
    switch (s.kind) {
      case Kind::split: set.pending.push_back(s.other); [[fallthrough]];
      case Kind::jump: open = true; break;
      case Kind::begin_text: open = at == 0; break;
      case Kind::end_text: open = at == text.size(); break;
      case Kind::begin_line: open = at == 0 || text[at - 1] == '\n'; break;
      case Kind::end_line: open = at == text.size() || text[at] == '\n'; break;
      case Kind::word_edge: open = edge; break;
      case Kind::no_word_edge: open = !edge; break;
      case Kind::ranges:
      case Kind::match:
      case Kind::fail: break;
    }
    if (open) set.pending.push_back(s.next);
  }
}

bool Regex::accepts(const State& s, char32_t c) const {
  const Range* begin = ranges_.data() + s.first_range;
  const Range* after = std::upper_bound(begin, begin + s.range_count, c, [](char32_t x, const Range& r) { return x < r.first; });
  const bool inside = after != begin && c <= after[-1].last;
  return inside != s.negated;
}

bool Regex::full_match(std::string_view text) const {
  Threads now(states_.size()), next(states_.size());
  follow(now, start_, text, 0);
  for (size_t at = 0; at < text.size() && !now.list.empty();) {
    const char32_t c = next_character(text, at);
    next.list.clear();
    for (uint32_t id : now.list) {
      const State& s = states_[id];
      if (s.kind == State::Kind::ranges && accepts(s, c)) follow(next, s.next, text, at);
    }
    std::swap(now, next);
  }
  for (uint32_t id : now.list)
    if (states_[id].kind == State::Kind::match) return true;
  return false;
}

}  // namespace outpost
