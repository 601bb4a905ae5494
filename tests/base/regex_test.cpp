// Regular expressions: what RE2 documents, and that no pattern takes more than linear time.
#include "base/regex.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "outpost/error.h"

namespace outpost {
namespace {

bool matches(std::string_view pattern, std::string_view text) { return Regex(pattern).full_match(text); }

TEST(Regex, Basics) {
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("abc|de*f", "deeef"));
  EXPECT_FALSE(matches("abc|de*f", "abcd"));
  EXPECT_TRUE(matches("(www.[\\w.-]+.com)", "www.some-site.com"));
  EXPECT_TRUE(matches("^[a-z]+@(gmail|web)\\.com$", "ab@web.com"));
  EXPECT_FALSE(matches("a.c", "a\nc"));
  EXPECT_TRUE(matches("(?s)a.c", "a\nc"));
  EXPECT_TRUE(matches("a+?b??", "aaa"));
  EXPECT_TRUE(matches("(a*)*(a|b*)+", "aabb"));
  EXPECT_TRUE(matches("x{2,3}y{2}z{1,}", "xxxyyzz"));
  EXPECT_FALSE(matches("x{2,3}", "x"));
  EXPECT_TRUE(matches("a{,2}", "a{,2}"));
  EXPECT_TRUE(matches("\\Qa.b\\E+", "a.b+") == false);
}

TEST(Regex, Classes) {
  EXPECT_TRUE(matches("[^\\d\\s]+", "abc_"));
  EXPECT_FALSE(matches("[^\\d\\s]+", "ab c"));
  EXPECT_TRUE(matches("[]a-]+", "]-a"));
  EXPECT_TRUE(matches("[\\\\a]+", "a\\a"));
  EXPECT_TRUE(matches("[[:alpha:]]+[[:^alpha:]]", "ab1"));
  EXPECT_TRUE(matches("\\pL+\\x{20}\\p{Greek}+", "caf\xc3\xa9 \xce\xb1\xce\xb2"));
  EXPECT_TRUE(matches("..", "\xc3\xa9\xe2\x82\xac"));
  EXPECT_TRUE(matches(".", "\xff"));
  EXPECT_TRUE(matches("(?i)straSSe\xc3\x89", "STRAsse\xc3\xa9"));
  EXPECT_TRUE(matches("(?i:a)b", "Ab"));
  EXPECT_FALSE(matches("(?i:a)b", "AB"));
  EXPECT_TRUE(matches("a(?i)b|c", "C"));
}

TEST(Regex, Assertions) {
  EXPECT_TRUE(matches("\\bfoo\\b bar\\B\\w", "foo barx"));
  EXPECT_TRUE(matches("(?m)a$\n^b", "a\nb"));
  EXPECT_FALSE(matches("a$\nb", "a\nb"));
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  for (const char* bad : {"(", ")", "[a", "a**", "*a", "\\1", "(?=a)", "(?<=a)", "[z-a]", "\\", "x{2,1}", "x{1001}", "\\p{Nope}", "[[:nope:]]", "(?z)", "\\x{110000}"})
    EXPECT_THROW(Regex{bad}, Error) << bad;
  EXPECT_THROW(Regex("((a{1000}){1000}){1000}"), Error);
  EXPECT_THROW(Regex(std::string(100000, '(')), Error);
}

TEST(Regex, PathologicalPatternsAreLinear) {
  std::string pattern, text(300, 'a');
  for (int i = 0; i < 300; ++i) pattern += "a?";
  pattern += std::string(300, 'a');
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(matches(pattern, text));
  EXPECT_FALSE(matches("(a+)+(a+)+(a|aa)*b", std::string(100000, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace outpost
