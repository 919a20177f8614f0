#include "engine/base/text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace hone {
namespace {

TEST(FindInvalidUtf8Test, AcceptsWellFormedText) {
  for (const char* text : {"", "abc", "\n\t", "ä", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80",
                           "\xF4\x8F\xBF\xBF"}) {
    EXPECT_FALSE(FindInvalidUtf8(text).has_value()) << text;
  }
  EXPECT_FALSE(FindInvalidUtf8(absl::string_view("a\0b", 3)).has_value());
}

TEST(FindInvalidUtf8Test, NamesTheFirstBadByte) {
  const std::pair<const char*, size_t> cases[] = {
      {"ab\xff", 2},             // no such byte
      {"\x80", 0},               // a continuation alone
      {"a\xC3", 1},              // cut off
      {"\xC3x", 0},              // not continued
      {"\xC0\x80", 0},           // overlong
      {"\xE0\x9F\xBF", 0},       // overlong
      {"\xF0\x8F\xBF\xBF", 0},   // overlong
      {"x\xED\xA0\x80", 1},      // a surrogate
      {"\xF4\x90\x80\x80", 0},   // above U+10FFFF
      {"ä\xF5\x80\x80\x80", 2},  // no such byte
  };
  for (const auto& [text, wanted] : cases) {
    const auto found = FindInvalidUtf8(text);
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(*found, wanted) << text;
  }
}

// Table 3-11 of Unicode 15, section 3.9: each group of bytes is one U+FFFD.
TEST(ReadUtf8, TakesWrongBytesInMaximalSubparts) {
  const std::pair<std::string, std::vector<size_t>> texts[] = {
      {"a\xC3\xA9\xE6\x97\xA5\xF0\x9F\x99\x82", {1, 2, 3, 4}},
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", {2, 1, 3, 2, 1}},
  };
  for (const auto& [text, wanted] : texts) {
    std::vector<size_t> steps;
    for (size_t at = 0; at < text.size(); at += steps.back()) steps.push_back(ReadUtf8(text, at).bytes);
    EXPECT_EQ(steps, wanted);
  }
  EXPECT_EQ(ReadUtf8("\xC3", 0).kind, Utf8Step::Kind::kCut);
  EXPECT_EQ(ReadUtf8("a\xF0\x9F\x99", 1).kind, Utf8Step::Kind::kCut);
  EXPECT_EQ(ReadUtf8("\xF0\x9F\x99x", 0).kind, Utf8Step::Kind::kWrong);
  EXPECT_EQ(ReadUtf8("\xE0\x80", 0).kind, Utf8Step::Kind::kWrong);
}

TEST(VisibleTest, OneLineOfPrintableText) {
  EXPECT_EQ(Visible("plain ä \"q\" \\", 100), "plain ä \"q\" \\");
  EXPECT_EQ(Visible("a\nb\rc\td", 100), "a\\nb\\rc\\td");
  EXPECT_EQ(Visible("\x1b[31m", 100), "\\x1b[31m");
  EXPECT_EQ(Visible(absl::string_view("\0", 1), 100), "\\x00");
  EXPECT_EQ(Visible("\xff\xC3", 100), "\\xff\\xc3");
  EXPECT_EQ(Visible("\u0085\u2028", 100), "\\xc2\\x85\\xe2\\x80\\xa8");
}

TEST(VisibleTest, KeepsBothEnds) {
  EXPECT_EQ(Visible("0123456789", 10), "0123456789");
  EXPECT_EQ(Visible("0123456789a", 10), "0123...89a");
  // Characters stay whole: of 8 bytes 3 are dots, so one ä (2 bytes) fits at the end, and one at the start.
  EXPECT_EQ(Visible("ääääää", 8), "ä...ä");
  const std::string huge = "head" + std::string(1 << 24, 'x') + "tail";
  EXPECT_EQ(Visible(huge, 12), "headx...tail");
  for (size_t limit = 8; limit < 40; ++limit) {
    const std::string shown = Visible("ä\n\xff" + std::string(100, 'y') + "\x01ö", limit);
    EXPECT_LE(shown.size(), limit);
    EXPECT_FALSE(FindInvalidUtf8(shown).has_value());
  }
}

TEST(NestsTooDeepTest, CountsBracketsOutsideOfTexts) {
  const std::string limit(kDeepestJson, '[');
  EXPECT_FALSE(NestsTooDeep(limit));
  EXPECT_TRUE(NestsTooDeep(limit + "{"));
  EXPECT_TRUE(NestsTooDeep("{\"a\": " + limit));
  EXPECT_FALSE(
      NestsTooDeep("[" + std::string(kDeepestJson - 1, '{') + std::string(kDeepestJson - 1, '}') + limit.substr(1)));
  // Inside of a text, also after an escaped quote, a bracket is a letter.
  EXPECT_FALSE(NestsTooDeep(limit + "\"[[\\\"[[\""));
  EXPECT_TRUE(NestsTooDeep(limit + "\"\\\\\"["));
  EXPECT_FALSE(NestsTooDeep(""));
}

}  // namespace
}  // namespace hone
