// Recursive descent into a tree, then Thompson's construction. Counted repeats are unrolled; RE2's bound of 1000 on a
// count, a bound on nesting and one on the number of states keep both small.
#include "base/regex_parser.h"

#include <algorithm>
#include <memory>

#include "base/regex_class.h"
#include "base/text.h"

namespace outpost {
namespace {

using State = Regex::State;
using Kind = State::Kind;

constexpr int max_depth = 200, max_repeat = 1000;
constexpr size_t max_states = 100000;

struct Tree {
  enum class Op : uint8_t { empty, ranges, assertion, sequence, either, repeat } op = Op::empty;
  CharClass characters;               // ranges
  mutable int64_t first_range = -1;   // where they lie in the program, once they do
  Kind assertion = Kind::jump;
  int least = 0, most = -1;           // repeat; -1: any number
  std::vector<std::unique_ptr<Tree>> parts;
};
using Node = std::unique_ptr<Tree>;

Node leaf(Tree::Op op) {
  auto t = std::make_unique<Tree>();
  t->op = op;
  return t;
}

struct Flags {
  bool ignore_case = false, multi_line = false, dot_all = false;
};

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(pattern) {}
  Node parse() {
    Node n = alternatives(0);
    if (at_ < text_.size()) error("unmatched )");
    return n;
  }

 private:
  [[noreturn]] void error(const char* what) const { fail(ErrorCode::invalid_argument, "regular expression '", text_, "': ", what, " at byte ", at_); }
  bool more() const { return at_ < text_.size(); }
  bool looking_at(std::string_view s) const { return text_.substr(at_, s.size()) == s; }
  bool take(std::string_view s) {
    if (!looking_at(s)) return false;
    at_ += s.size();
    return true;
  }
  char32_t character() {
    if (!more()) error("unexpected end");
    return next_character(text_, at_);
  }

  Node alternatives(int depth) {
    if (depth > max_depth) error("nested too deeply");
    Node first = sequence(depth);
    if (!looking_at("|")) return first;
    Node either = leaf(Tree::Op::either);
    either->parts.push_back(std::move(first));
    while (take("|")) either->parts.push_back(sequence(depth));
    return either;
  }

  Node sequence(int depth) {
    Node list = leaf(Tree::Op::sequence);
    while (more() && !looking_at("|") && !looking_at(")")) {
      Node one = atom(depth);
      if (one) list->parts.push_back(repeats(std::move(one)));
    }
    return list;
  }

  Node repeats(Node n) {
    int least = 0, most = -1;
    if (!repeat_operator(least, most)) return n;
    take("?");  // lazy: the same language
    Node r = leaf(Tree::Op::repeat);
    r->least = least;
    r->most = most;
    r->parts.push_back(std::move(n));
    if (repeat_operator(least, most)) error("repeated repeat");
    return r;
  }
  bool repeat_operator(int& least, int& most) {
    if (take("*")) return true;
    if (take("+")) return least = 1, true;
    if (take("?")) return most = 1, true;
    return looking_at("{") && counts(least, most);
  }

  // {n}, {n,}, {n,m}; anything else after { is a literal.
  bool counts(int& least, int& most) {
    const size_t start = at_;
    take("{");
    auto number = [&](int& n) {
      const size_t first = at_;
      n = 0;
      for (; more() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) n = std::min(n * 10 + (text_[at_] - '0'), 1000000);
      return at_ > first;
    };
    bool good = number(least);
    most = least;
    if (good && take(",") && !number(most)) most = -1;
    good = good && take("}");
    if (!good) {
      at_ = start;
      return false;
    }
    if (least > max_repeat || most > max_repeat || (most >= 0 && most < least)) error("bad repeat count");
    return true;
  }

  Node atom(int depth) {
    if (take("(")) return group(depth);
    if (take("[")) return characters(parse_class());
    if (take(".")) {
      CharClass any;
      if (!flags_.dot_all) any.add('\n', '\n');
      any.negated = true;
      return characters(std::move(any));
    }
    if (take("^")) return assertion(flags_.multi_line ? Kind::begin_line : Kind::begin_text);
    if (take("$")) return assertion(flags_.multi_line ? Kind::end_line : Kind::end_text);
    if (looking_at("*") || looking_at("+") || looking_at("?")) error("nothing to repeat");
    if (looking_at("\\")) return escape();
    return literal(character());
  }

  Node group(int depth) {
    const Flags outer = flags_;
    if (take("?")) {
      if (take("P<") || take("<")) {
        if (looking_at("=") || looking_at("!")) error("look-behind is not supported");
        while (more() && text_[at_] != '>') ++at_;
        if (!take(">")) error("unfinished group name");
      } else if (looking_at("=") || looking_at("!")) {
        error("look-ahead is not supported");
      } else if (!group_flags()) {
        return nullptr;  // (?i): for what follows in the enclosing group
      }
    }
    Node n = alternatives(depth + 1);
    if (!take(")")) error("missing )");
    flags_ = outer;
    return n;
  }

  // After (?: letters, - to clear, then : (a group, true) or ) (to the end of the enclosing group, false).
  bool group_flags() {
    Flags f = flags_;
    for (bool value = true; more();) {
      const char c = text_[at_++];
      if (c == ':' || c == ')') {
        flags_ = f;
        return c == ':';
      }
      if (c == '-') value = false;
      else if (c == 'i') f.ignore_case = value;
      else if (c == 'm') f.multi_line = value;
      else if (c == 's') f.dot_all = value;
      else if (c != 'U') break;
    }
    error("unknown group flag");
  }

  Node assertion(Kind kind) {
    Node n = leaf(Tree::Op::assertion);
    n->assertion = kind;
    return n;
  }
  Node characters(CharClass c) {
    if (flags_.ignore_case) c.fold_case();
    c.sort();
    Node n = leaf(Tree::Op::ranges);
    n->characters = std::move(c);
    return n;
  }
  Node literal(char32_t c) {
    CharClass one;
    one.add(c, c);
    return characters(std::move(one));
  }

  Node escape() {
    take("\\");
    if (take("A")) return assertion(Kind::begin_text);
    if (take("z")) return assertion(Kind::end_text);
    if (take("b")) return assertion(Kind::word_edge);
    if (take("B")) return assertion(Kind::no_word_edge);
    if (take("Q")) {
      Node list = leaf(Tree::Op::sequence);
      while (more() && !take("\\E")) list->parts.push_back(literal(character()));
      return list;
    }
    if (take("C")) error("\\C is not supported");
    CharClass c;
    if (class_escape(c)) return characters(std::move(c));
    return literal(escaped_character());
  }

  // \d and kin, \pN, \p{Name}: after the backslash.
  bool class_escape(CharClass& c) {
    if (!more()) error("pattern ends in \\");
    const char k = text_[at_];
    if (std::string_view("dDwWsS").find(k) != std::string_view::npos) {
      ++at_;
      c.add_perl(k);
      return true;
    }
    if (k != 'p' && k != 'P') return false;
    ++at_;
    std::string_view name = text_.substr(at_, 1);
    if (take("{")) {
      const size_t end = text_.find('}', at_);
      if (end == std::string_view::npos) error("unfinished \\p{");
      name = text_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      if (name.empty()) error("unfinished \\p");
      ++at_;
    }
    const bool inverted = name.starts_with('^');
    if (!c.add_category(name.substr(inverted ? 1 : 0), (k == 'P') != inverted)) error("unknown character category");
    return true;
  }

  char32_t escaped_character() {
    const char32_t c = character();
    switch (c) {
      case 'n': return '\n';
      case 't': return '\t';
      case 'r': return '\r';
      case 'f': return '\f';
      case 'v': return '\v';
      case 'a': return '\a';
      case 'x': return hexadecimal();
      default: break;
    }
    if (c >= '0' && c <= '7') {
      if (c != '0') error("back-references are not supported");
      char32_t value = 0;
      for (int i = 0; i < 2 && more() && text_[at_] >= '0' && text_[at_] <= '7'; ++i) value = value * 8 + static_cast<char32_t>(text_[at_++] - '0');
      return value;
    }
    if (c < 0x80 && (c == '8' || c == '9' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) error("unknown escape");
    return c;
  }

  char32_t hexadecimal() {
    const bool braces = take("{");
    char32_t value = 0;
    int digits = 0;
    for (; more() && digits < (braces ? 8 : 2); ++digits, ++at_) {
      const char c = text_[at_];
      const int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (d < 0) break;
      value = value * 16 + static_cast<char32_t>(d);
    }
    if (digits == 0 || (!braces && digits != 2) || (braces && !take("}")) || value > 0x10ffff) error("bad \\x escape");
    return value;
  }

  // After [ .
  CharClass parse_class() {
    CharClass c;
    c.negated = take("^");
    for (bool first = true; first || !looking_at("]"); first = false) {
      if (!more()) error("missing ]");
      if (take("[:")) {
        const size_t end = text_.find(":]", at_);
        if (end == std::string_view::npos) error("unfinished [:");
        std::string_view name = text_.substr(at_, end - at_);
        const bool inverted = name.starts_with('^');
        if (!c.add_named(name.substr(inverted ? 1 : 0), inverted)) error("unknown class name");
        at_ = end + 2;
        continue;
      }
      const bool escaped = take("\\");
      if (escaped && class_escape(c)) continue;
      const char32_t low = escaped ? escaped_character() : character();
      char32_t high = low;
      if (looking_at("-") && text_.substr(at_, 2) != "-]" && at_ + 1 < text_.size()) {
        take("-");
        high = take("\\") ? escaped_character() : character();
        if (high < low) error("range out of order");
      }
      c.add(low, high);
    }
    take("]");
    return c;
  }

  std::string_view text_;
  size_t at_ = 0;
  Flags flags_;
};

// States are made from the end backwards: build(tree, next) returns where to enter so as to reach `next` afterwards.
class Compiler {
 public:
  RegexProgram compile(const Tree& tree) {
    const uint32_t match = add(Kind::match, 0, 0);
    program_.start = build(tree, match);
    return std::move(program_);
  }

 private:
  uint32_t add(Kind kind, uint32_t next, uint32_t other) {
    if (program_.states.size() >= max_states) fail(ErrorCode::limit, "regular expression: more than ", max_states, " states");
    program_.states.push_back({kind, false, 0, 0, next, other});
    return static_cast<uint32_t>(program_.states.size() - 1);
  }

  uint32_t build(const Tree& t, uint32_t next) {
    switch (t.op) {
      case Tree::Op::empty: return next;
      case Tree::Op::assertion: return add(t.assertion, next, 0);
      case Tree::Op::ranges: {
        const uint32_t id = add(Kind::ranges, next, 0);
        State& s = program_.states[id];
        s.negated = t.characters.negated;
        s.range_count = static_cast<uint32_t>(t.characters.ranges.size());
        if (t.first_range < 0) {  // a repeated part is built several times
          t.first_range = static_cast<int64_t>(program_.ranges.size());
          program_.ranges.insert(program_.ranges.end(), t.characters.ranges.begin(), t.characters.ranges.end());
        }
        s.first_range = static_cast<uint32_t>(t.first_range);
        return id;
      }
      case Tree::Op::sequence:
        for (size_t i = t.parts.size(); i-- > 0;) next = build(*t.parts[i], next);
        return next;
      case Tree::Op::either: {
        uint32_t entry = build(*t.parts.back(), next);
        for (size_t i = t.parts.size() - 1; i-- > 0;) {
          const uint32_t part = build(*t.parts[i], next);
          entry = add(Kind::split, part, entry);
        }
        return entry;
      }
      case Tree::Op::repeat: return repeat(t, next);
    }
    return next;
  }

  uint32_t repeat(const Tree& t, uint32_t next) {
    const Tree& part = *t.parts[0];
    uint32_t entry = next;
    if (t.most < 0) {
      const uint32_t loop = add(Kind::split, 0, next);
      const uint32_t body = build(part, loop);
      program_.states[loop].next = body;
      entry = loop;
    } else {
      for (int i = t.least; i < t.most; ++i) {
        const uint32_t body = build(part, entry);
        entry = add(Kind::split, body, next);
      }
    }
    for (int i = 0; i < t.least; ++i) entry = build(part, entry);
    return entry;
  }

  RegexProgram program_;
};

}  // namespace

RegexProgram compile_regex(std::string_view pattern) { return Compiler().compile(*Parser(pattern).parse()); }

}  // namespace outpost
