// Tables of character sets. Unicode categories are given by the blocks of the scripts in common use: enough to tell
// letters, digits and punctuation apart, not the full database.
#include "base/regex_class.h"

#include <algorithm>
#include <iterator>

namespace outpost {
namespace {

using Range = Regex::Range;

struct Set {
  std::string_view name;
  const Range* begin;
  const Range* end;
};

constexpr Range digit[] = {{'0', '9'}};
constexpr Range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
constexpr Range perl_space[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
constexpr Range alnum[] = {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}};
constexpr Range alpha[] = {{'A', 'Z'}, {'a', 'z'}};
constexpr Range ascii[] = {{0, 0x7f}};
constexpr Range blank[] = {{'\t', '\t'}, {' ', ' '}};
constexpr Range cntrl[] = {{0, 0x1f}, {0x7f, 0x7f}};
constexpr Range graph[] = {{'!', '~'}};
constexpr Range lower[] = {{'a', 'z'}};
constexpr Range print[] = {{' ', '~'}};
constexpr Range punct[] = {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};
constexpr Range space[] = {{'\t', '\r'}, {' ', ' '}};
constexpr Range upper[] = {{'A', 'Z'}};
constexpr Range xdigit[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

#define SET(name) {#name, std::begin(name), std::end(name)}
constexpr Set named[] = {SET(alnum), SET(alpha), SET(ascii), SET(blank), SET(cntrl), SET(digit), SET(graph), SET(lower),
                         SET(print), SET(punct), SET(space), SET(upper), SET(word), SET(xdigit)};
#undef SET

constexpr Range letters[] = {{'A', 'Z'}, {'a', 'z'}, {0xaa, 0xaa}, {0xb5, 0xb5}, {0xba, 0xba}, {0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x2c1},
                             {0x370, 0x373}, {0x376, 0x377}, {0x37b, 0x37d}, {0x37f, 0x37f}, {0x386, 0x386}, {0x388, 0x3ff}, {0x400, 0x481},
                             {0x48a, 0x556}, {0x561, 0x587}, {0x5d0, 0x5ea}, {0x620, 0x64a}, {0x671, 0x6d3}, {0x904, 0x939}, {0xe01, 0xe30},
                             {0x10a0, 0x10ff}, {0x1100, 0x11ff}, {0x1e00, 0x1fff}, {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x3105, 0x312f},
                             {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0x20000, 0x2fa1f}};
constexpr Range upper_letters[] = {{'A', 'Z'}, {0xc0, 0xd6}, {0xd8, 0xde}, {0x386, 0x38f}, {0x391, 0x3ab}, {0x400, 0x42f}};
constexpr Range lower_letters[] = {{'a', 'z'}, {0xb5, 0xb5}, {0xdf, 0xf6}, {0xf8, 0xff}, {0x3ac, 0x3ce}, {0x430, 0x45f}};
constexpr Range numbers[] = {{'0', '9'}, {0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}, {0x660, 0x669}, {0x6f0, 0x6f9}, {0x966, 0x96f},
                             {0x2070, 0x2079}, {0x2080, 0x2089}, {0x2150, 0x2189}, {0x2460, 0x249b}, {0xff10, 0xff19}};
constexpr Range decimal[] = {{'0', '9'}, {0x660, 0x669}, {0x6f0, 0x6f9}, {0x966, 0x96f}, {0xff10, 0xff19}};
constexpr Range marks[] = {{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x64b, 0x65f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f}};
constexpr Range punctuation[] = {{'!', '#'}, {'%', '*'}, {',', '/'}, {':', ';'}, {'?', '@'}, {'[', ']'}, {'_', '_'}, {'{', '{'}, {'}', '}'},
                                 {0xa1, 0xa1}, {0xa7, 0xa7}, {0xab, 0xab}, {0xb6, 0xb7}, {0xbb, 0xbb}, {0xbf, 0xbf}, {0x2010, 0x2027},
                                 {0x2030, 0x205e}, {0x3001, 0x3003}, {0x3008, 0x3011}, {0xff01, 0xff03}, {0xff05, 0xff0a}};
constexpr Range symbols[] = {{'$', '$'}, {'+', '+'}, {'<', '>'}, {'^', '^'}, {'`', '`'}, {'|', '|'}, {'~', '~'}, {0xa2, 0xa6}, {0xa8, 0xa9},
                             {0xac, 0xac}, {0xae, 0xb1}, {0xb4, 0xb4}, {0xd7, 0xd7}, {0xf7, 0xf7}, {0x20a0, 0x20c0}, {0x2190, 0x23ff},
                             {0x2500, 0x27bf}, {0x1f300, 0x1faff}};
constexpr Range separators[] = {{' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
constexpr Range latin[] = {{'A', 'Z'}, {'a', 'z'}, {0xaa, 0xaa}, {0xba, 0xba}, {0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x2b8}, {0x1e00, 0x1eff}};
constexpr Range greek[] = {{0x370, 0x3e1}, {0x3f0, 0x3ff}, {0x1f00, 0x1fff}};
constexpr Range cyrillic[] = {{0x400, 0x52f}, {0x1c80, 0x1c88}};
constexpr Range han[] = {{0x2e80, 0x2fd5}, {0x3005, 0x3005}, {0x3007, 0x3007}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x2fa1f}};

#define SET(name, set) {name, std::begin(set), std::end(set)}
constexpr Set categories[] = {SET("L", letters), SET("Lu", upper_letters), SET("Ll", lower_letters), SET("N", numbers), SET("Nd", decimal),
                              SET("M", marks), SET("P", punctuation), SET("S", symbols), SET("Z", separators), SET("Zs", separators),
                              SET("Latin", latin), SET("Greek", greek), SET("Cyrillic", cyrillic), SET("Han", han)};
#undef SET

char32_t other_case(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f)) return c - 32;
  if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) || (c >= 0x410 && c <= 0x42f)) return c + 32;
  if (c >= 0x450 && c <= 0x45f) return c - 80;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  return c;
}

}  // namespace

void CharClass::add_set(const Range* begin, const Range* end, bool inverted) {
  if (!inverted) {
    ranges.insert(ranges.end(), begin, end);
    return;
  }
  char32_t next = 0;
  for (const Range* r = begin; r != end; ++r) {
    if (r->first > next) add(next, r->first - 1);
    next = r->last + 1;
  }
  add(next, 0x10ffff);
}

void CharClass::add_perl(char letter) {
  const bool inverted = letter < 'a';
  switch (letter | 32) {
    case 'd': return add_set(std::begin(digit), std::end(digit), inverted);
    case 'w': return add_set(std::begin(word), std::end(word), inverted);
    default: return add_set(std::begin(perl_space), std::end(perl_space), inverted);
  }
}

bool CharClass::add_named(std::string_view name, bool inverted) {
  for (const Set& s : named)
    if (s.name == name) return add_set(s.begin, s.end, inverted), true;
  return false;
}

bool CharClass::add_category(std::string_view name, bool inverted) {
  for (const Set& s : categories)
    if (s.name == name) return add_set(s.begin, s.end, inverted), true;
  return false;
}

void CharClass::fold_case() {
  constexpr char32_t cased = 0x460;
  bool other[cased] = {};
  for (const Range& r : ranges)
    for (char32_t c = r.first; c < cased && c <= r.last; ++c) other[other_case(c)] = true;
  for (char32_t c = 0; c < cased; ++c)
    if (other[c]) add(c, c);
}

void CharClass::sort() {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const Range& r : ranges) {
    if (kept > 0 && r.first <= ranges[kept - 1].last + 1) ranges[kept - 1].last = std::max(ranges[kept - 1].last, r.last);
    else ranges[kept++] = r;
  }
  ranges.resize(kept);
}

}  // namespace outpost
