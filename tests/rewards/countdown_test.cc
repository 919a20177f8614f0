#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Verifier> Countdown() {
  Spec spec = Spec::Parse("countdown").value();
  return NewCountdownVerifier(spec).value();
}

Verdict Verify(const std::string& metadata, const std::string& completion) {
  Prompt prompt;
  prompt.metadata = metadata;
  return Countdown()->Verify(prompt, completion);
}

constexpr char kThreeFiveSeven[] = R"({"numbers":[3,5,7],"target":15})";  // 3 + 5 + 7

TEST(CountdownVerifier, AcceptsWhatReachesTheTarget) {
  for (const char* answer : {"3+5+7", "7+5+3", " 3 +\t5\r\n+ 7 ", "(3+5)+7", "((3))+(5+7)", "3+(((5))+7)"}) {
    const Verdict verdict = Verify(kThreeFiveSeven, answer);
    EXPECT_EQ(verdict.score, 1.0) << answer << ": " << verdict.reason;
    EXPECT_EQ(verdict.reason, "correct");
  }
  // Precedence and leaning to the left: 20 - 8 / 4 * 2 = 20 - 4 = 16; 20 - 8 - 4 = 8.
  EXPECT_EQ(Verify(R"({"numbers":[20,8,4,2],"target":16})", "20-8/4*2").score, 1.0);
  EXPECT_EQ(Verify(R"({"numbers":[20,8,4],"target":8})", "20-8-4").score, 1.0);
  // On the way a value may be a fraction or negative: 8 / (3 - 8 / 3) = 8 / (1/3) = 24; 2 - 5 + 4 = 1.
  EXPECT_EQ(Verify(R"({"numbers":[3,3,8,8],"target":24})", "8/(3-8/3)").score, 1.0);
  EXPECT_EQ(Verify(R"({"numbers":[2,5,4],"target":1})", "2-5+4").score, 1.0);
  // A number given twice is used twice; negative targets are targets.
  EXPECT_EQ(Verify(R"({"numbers":[5,5],"target":1})", "5/5").score, 1.0);
  EXPECT_EQ(Verify(R"({"numbers":[2,9],"target":-7})", "2-9").score, 1.0);
  EXPECT_EQ(Verify(R"({"target":7,"numbers":[7],"other":[[]]})", "7").score, 1.0);
}

TEST(CountdownVerifier, SaysWhyAnAnswerIsWrong) {
  const struct {
    const char* answer;
    const char* reason;
  } kCases[] = {
      {"3+5-7", "value 1, wanted 15"},
      {"(3+7)/5", "value 2, wanted 15"},
      {"3/5+7", "value 38/5, wanted 15"},   // 3/5 + 7 = 38/5
      {"3/5-7", "value -32/5, wanted 15"},  // 3/5 - 7 = -32/5
      {"7/(3-5)", "value -7/2, wanted 15"},
      {"3+5", "does not use 7"},
      {"3+5+7+7", "uses 7 twice, given once"},
      {"7*7*7", "does not use 3"},
      {"3+5+8", "uses 8, which is not given"},
      {"15", "uses 15, which is not given"},
      {"35+7", "uses 35, which is not given"},
      {"99999999999999999999999", "uses 99999999999999999999999, which is not given"},
      {"", "the answer is empty"},
      {" \n", "the answer is empty"},
      {"3 5 7", "not an expression at column 3: an operator or the end expected, found '5'"},
      {"3+*5", "not an expression at column 3: a number or '(' expected, found '*'"},
      {"-3+5", "not an expression at column 1: a number or '(' expected, found '-'"},
      {"3+5+", "not an expression at column 5: a number or '(' expected, found the end"},
      {"()", "not an expression at column 2: a number or '(' expected, found ')'"},
      {"3+5)", "not an expression at column 4: ')' without '('"},
      {"3+(5+7", "not an expression at column 3: '(' is never closed"},
      {"3(5)", "not an expression at column 2: an operator or the end expected, found '('"},
      {"(3)(5)", "not an expression at column 4: an operator or the end expected, found '('"},
      {"3+5+7=15", "not an expression at column 6: a number, + - * / or parentheses expected, found '=15'"},
      {"3.0+5+7", "not an expression at column 2"},
      {"03+5+7", "not an expression at column 1: a number begins with 0"},
      {"3**5", "not an expression at column 3"},
      {"3\xC3\x97"
       "5",
       "not an expression at column 2: a number, + - * / or parentheses expected, found '\xC3\x97"
       "5'"},
      {"3\xFF", "found '\\xff'"},
      {"three", "not an expression at column 1"},
  };
  for (const auto& wrong : kCases) {
    const Verdict verdict = Verify(kThreeFiveSeven, wrong.answer);
    EXPECT_EQ(verdict.score, 0.0) << wrong.answer;
    EXPECT_THAT(verdict.reason, HasSubstr(wrong.reason)) << wrong.answer;
    EXPECT_EQ(verdict.reason.find('\n'), std::string::npos) << wrong.answer;
  }
  EXPECT_THAT(Verify(R"({"numbers":[3,5,5],"target":0})", "3/(5-5)").reason, HasSubstr("divides by zero at column 2"));
  EXPECT_THAT(Verify(R"({"numbers":[5,5,1],"target":6})", "5+1").reason, HasSubstr("uses 5 once, given twice"));
  EXPECT_THAT(Verify(R"({"numbers":[7],"target":28})", "7+7+7+7").reason, HasSubstr("uses 7 4 times, given once"));
}

TEST(CountdownVerifier, ReadsWhatFollowsTheLastMark) {
  Spec spec = Spec::Parse("countdown(after=\"=>\")").value();
  const auto countdown = NewCountdownVerifier(spec).value();
  Prompt prompt;
  prompt.metadata = kThreeFiveSeven;
  EXPECT_EQ(countdown->Verify(prompt, "3+5=8:7 8;7+8=15=>3+5+7").score, 1.0);
  EXPECT_EQ(countdown->Verify(prompt, "=>3+5-7 no, =>3+5+7").score, 1.0);
  EXPECT_EQ(countdown->Verify(prompt, "=>3+5+7 or =>3+5-7").reason, "value 1, wanted 15");
  EXPECT_EQ(countdown->Verify(prompt, std::string(100000, 'a') + "=>3+5+7").score, 1.0);  // only the answer is short
  EXPECT_EQ(countdown->Verify(prompt, "=>").reason, "the answer is empty");
  const Verdict missing = countdown->Verify(prompt, "3+5+7");
  EXPECT_EQ(missing.score, 0.0);
  EXPECT_EQ(missing.reason, "no '=>' in the completion");
  ASSERT_EQ(missing.parts.size(), 2u);
  EXPECT_EQ(missing.parts[0].second + missing.parts[1].second, 0);
}

TEST(CountdownVerifier, TellsHowFarAnAnswerGot) {
  using Parts = std::vector<std::pair<std::string, double>>;
  EXPECT_EQ(Verify(kThreeFiveSeven, "3+").parts, (Parts{{"format", 0}, {"numbers", 0}}));
  EXPECT_EQ(Verify(kThreeFiveSeven, "3+5").parts, (Parts{{"format", 1}, {"numbers", 0}}));
  EXPECT_EQ(Verify(kThreeFiveSeven, "3+5-7").parts, (Parts{{"format", 1}, {"numbers", 1}}));
  EXPECT_EQ(Verify(kThreeFiveSeven, "3+5+7").parts, (Parts{{"format", 1}, {"numbers", 1}}));
}

TEST(CountdownVerifier, WithoutAProblemThereIsNoVerdict) {
  const struct {
    const char* metadata;
    const char* reason;
  } kCases[] = {
      {"", "not a JSON object"},
      {"{", "not a JSON object"},
      {"[3,5,7]", "not a JSON object"},
      {R"({"target":15})", "\"numbers\""},
      {R"({"numbers":3,"target":15})", "\"numbers\""},
      {R"({"numbers":[],"target":15})", "\"numbers\""},
      {R"({"numbers":[3,"5"],"target":15})", "a value of type string"},
      {R"({"numbers":[3,5.5],"target":15})", "5.5"},
      {R"({"numbers":[3,-5],"target":15})", "-5"},
      {R"({"numbers":[3,5,7]})", "\"target\""},
      {R"({"numbers":[3,5,7],"target":"15"})", "\"target\""},
      {R"({"numbers":[3,5,7],"target":1.5})", "\"target\""},
      {R"({"numbers":[3,5,7],"target":18446744073709551615})", "\"target\""},
      {R"({"numbers":[18446744073709551615],"target":1})", "whole number"},
      {R"({"numbers":[9223372036854775807],"target":1})", "2^62"},
      {R"({"numbers":[2147483647,2147483647,1],"target":1})", "2^62"},
  };
  for (const auto& broken : kCases) {
    const Verdict verdict = Verify(broken.metadata, "3+5+7");
    EXPECT_EQ(verdict.score, std::nullopt) << broken.metadata;
    EXPECT_THAT(verdict.reason, HasSubstr(broken.reason)) << broken.metadata;
    EXPECT_TRUE(verdict.parts.empty());
  }
}

TEST(CountdownVerifier, IsExactUpToItsLimit) {
  // (2147483646 + 1) (2147483647 + 1) = 2^62 - 2^31 is allowed: 2147483646 / 2147483647 is not 1, and not 0.
  const char* kLarge = R"({"numbers":[2147483646,2147483647],"target":1})";
  EXPECT_THAT(Verify(kLarge, "2147483646/2147483647").reason, HasSubstr("value 2147483646/2147483647, wanted 1"));
  EXPECT_EQ(Verify(kLarge, "2147483647-2147483646").score, 1.0);
  EXPECT_THAT(Verify(kLarge, "2147483647*2147483646").reason, HasSubstr("value 4611686011984936962"));
  // The smallest target there is, against a quotient: no division overflows.
  EXPECT_EQ(Verify(R"({"numbers":[1,2],"target":-9223372036854775808})", "1-2").score, 0.0);
}

TEST(CountdownVerifier, WorkIsBoundedOnHugeAnswers) {
  EXPECT_THAT(Verify(kThreeFiveSeven, std::string(1 << 20, '(')).reason, HasSubstr("1048576 bytes"));
  EXPECT_THAT(Verify(kThreeFiveSeven, std::string(4000, '(')).reason, HasSubstr("more than 64 open '('"));
  EXPECT_THAT(Verify(kThreeFiveSeven, std::string(4096, '9')).reason, HasSubstr("which is not given"));
  EXPECT_THAT(Verify(std::string(1 << 20, '['), "3").reason, HasSubstr("not a JSON object"));
  EXPECT_THAT(Verify("{\"numbers\":[" + std::string(1 << 20, '['), "3").reason, HasSubstr("not a JSON object"));
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_THAT(Verify("{\"numbers\":[" + deep + "]}", "3").reason, HasSubstr("a value of type array"));
}

// A second opinion: recursive descent on doubles. nullopt: not an expression; the numbers used are appended.
class Reference {
 public:
  explicit Reference(const std::string& text) {
    for (const char c : text) {
      if (c != ' ') text_ += c;
    }
  }
  std::optional<double> Value() {
    const double value = Sum();
    return good_ && at_ == text_.size() ? std::optional(value) : std::nullopt;
  }
  const std::vector<int>& used() const { return used_; }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  double Sum() {
    double value = Product();
    while (good_ && (Peek() == '+' || Peek() == '-')) {
      const double sign = text_[at_++] == '+' ? 1 : -1;
      value += sign * Product();
    }
    return value;
  }
  double Product() {
    double value = Atom();
    while (good_ && (Peek() == '*' || Peek() == '/')) {
      const bool times = text_[at_++] == '*';
      const double next = Atom();
      value = times ? value * next : value / next;
    }
    return value;
  }
  double Atom() {
    if (Peek() >= '1' && Peek() <= '9') {
      used_.push_back(text_[at_] - '0');
      return text_[at_++] - '0';
    }
    good_ &= Peek() == '(';
    if (!good_) return 0;
    ++at_;
    const double value = Sum();
    good_ &= Peek() == ')';
    ++at_;
    return value;
  }

  std::string text_;
  size_t at_ = 0;
  bool good_ = true;
  std::vector<int> used_;
};

TEST(CountdownVerifier, AgreesWithASecondOpinion) {
  const auto verifier = Countdown();
  RandomSequence random(7, RandomStream::kTask, 0);
  int correct = 0, expressions = 0;
  for (int round = 0; round < 200000; ++round) {
    // Operands and operators in turn, now and then something else: about half are expressions.
    std::string answer;
    const int length = 1 + 2 * static_cast<int>(random.Below(3));
    for (int at = 0; at < length; ++at) {
      const bool odd = random.Below(16) == 0;
      const std::string choices = odd ? "23+-*/() " : at % 2 == 0 ? "234" : "+-*/";
      if (at % 2 == 0 && random.Below(6) == 0) answer += '(';
      answer += choices[random.Below(static_cast<uint32_t>(choices.size()))];
      if (at % 2 == 0 && random.Below(6) == 0) answer += ')';
    }
    if (answer.find_first_not_of(' ') == std::string::npos) continue;
    // Adjacent digits make one number for the verifier and an error for the reference; spaces likewise.
    bool adjacent = false;
    for (size_t at = 1; at < answer.size(); ++at) adjacent |= isdigit(answer[at - 1]) && isdigit(answer[at]);
    if (adjacent) continue;

    Reference reference(answer);
    const std::optional<double> value = reference.Value();
    std::vector<int> used = reference.used();
    std::sort(used.begin(), used.end());
    Prompt prompt;
    prompt.metadata = R"({"numbers":[2,3,4],"target":10})";
    const Verdict verdict = verifier->Verify(prompt, answer);
    const bool uses_all = used == std::vector<int>{2, 3, 4};
    const bool wanted = value && uses_all && std::abs(*value - 10) < 1e-9;
    ASSERT_EQ(verdict.score, wanted ? 1.0 : 0.0) << answer << ": " << verdict.reason;
    ASSERT_EQ(verdict.parts[0].second, value.has_value() ? 1.0 : 0.0) << answer << ": " << verdict.reason;
    correct += wanted;
    expressions += value.has_value();
  }
  EXPECT_GT(correct, 100);  // 2 * 3 + 4 and the like
  EXPECT_GT(expressions, 50000);
}

}  // namespace
}  // namespace hone
