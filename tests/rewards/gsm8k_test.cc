#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "rewards/verifier.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

Verdict Verify(const std::string& gold, const std::string& completion, const char* spec_text = "gsm8k") {
  Spec spec = Spec::Parse(spec_text).value();
  Prompt prompt;
  prompt.answer = gold;
  return NewGsm8kVerifier(spec).value()->Verify(prompt, completion);
}

constexpr char kFlexible[] = "gsm8k(flexible=true)";

TEST(Gsm8kVerifier, TakesTheNumberBehindTheLastMark) {
  for (const char* completion : {"#### 1234", "####1,234", "So it is\n#### $1,234.00", "#### 7\nno:\n#### 1234.",
                                 "#### +1234 eggs", "#### 01234", "#### \\$1234"}) {
    const Verdict verdict = Verify("1234", completion);
    EXPECT_EQ(verdict.score, 1.0) << completion << ": " << verdict.reason;
    EXPECT_EQ(verdict.reason, "correct");
  }
  for (const char* completion :
       {"#### 1235", "#### -1234", "#### 1234.5", "#### 123", "#### 12345", "#### 1234\n#### 7", "#### 1234/2"}) {
    EXPECT_EQ(Verify("1234", completion).score, 0.0) << completion;
  }
  EXPECT_EQ(Verify("1234", "#### 1235").reason, "answer 1235, wanted 1234");
  EXPECT_EQ(Verify("0", "#### -0.0").score, 1.0);
  EXPECT_EQ(Verify("-5", "#### -$5").score, 1.0);
  EXPECT_EQ(Verify("0.5", "#### .50").score, 1.0);
  // 25 digits that differ in the last.
  EXPECT_EQ(Verify("1234567890123456789012345", "#### 1,234,567,890,123,456,789,012,345").score, 1.0);
  EXPECT_EQ(Verify("1234567890123456789012345", "#### 1234567890123456789012346").score, 0.0);
}

TEST(Gsm8kVerifier, ReadsWholeSolutionsAsGold) {
  constexpr char kSolution[] = "She sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\nShe makes 9 * 2 = $<<9*2=18>>18.\n#### 18";
  EXPECT_EQ(Verify(kSolution, "#### 18").score, 1.0);
  EXPECT_EQ(Verify(kSolution, kSolution).score, 1.0);
  EXPECT_EQ(Verify(kSolution, "#### 9").score, 0.0);
}

TEST(Gsm8kVerifier, FlexibleTakesTheLastNumberWhereThereIsNoMark) {
  const struct {
    const char* completion;
    double score;
  } kCases[] = {
      {"She has 3 eggs and sells 18.", 1},
      {"It is **18**", 1},
      {"$18.00", 1},
      {"18, of course", 1},
      {"so 20-2 gives 18", 1},
      {"18 eggs, 3 of them red", 0},
      {"eighteen", 0},
      {"-18", 0},
      {"1,8", 1},
      {"20-18", 1},
      {"#### 7 or 18", 0},
      {"\\boxed{18}", 1},
      {"1/18", 1},
      {"18...", 1},
      {"", 0},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Verify("18", c.completion, kFlexible).score, c.score) << c.completion;
    // Without the option only #### counts.
    EXPECT_EQ(Verify("18", c.completion).score, 0.0) << c.completion;
  }
  EXPECT_EQ(Verify("18", "She has 18.").reason, "no number behind ####");
}

TEST(Gsm8kVerifier, PartsTellExtractionAndFormat) {
  const auto parts = [](const Verdict& verdict) { return std::pair(verdict.parts[0].second, verdict.parts[1].second); };
  EXPECT_EQ(parts(Verify("18", "#### 17")), std::pair(1.0, 1.0));
  EXPECT_EQ(parts(Verify("18", "18", kFlexible)), std::pair(1.0, 0.0));
  EXPECT_EQ(parts(Verify("18", "none")), std::pair(0.0, 0.0));
}

TEST(Gsm8kVerifier, NoVerdictWithoutAGoldNumber) {
  for (const char* gold : {"", "  ", "eighteen", "#### ", "a\n#### many"}) {
    const Verdict verdict = Verify(gold, "#### 18");
    EXPECT_FALSE(verdict.score.has_value()) << gold;
    EXPECT_THAT(verdict.reason, HasSubstr("the prompt")) << gold;
  }
}

TEST(Gsm8kVerifier, HostileAnswersAreWrongAnswers) {
  for (const std::string& completion :
       {std::string(1000000, '9'), "#### " + std::string(1000000, '9'), std::string(1000000, '#'),
        std::string(1000000, ','), "#### " + std::string(1000000, '-'), std::string("####\0", 5),
        std::string("#### .,.,.,"), std::string("5."), std::string(".5,"), std::string("\xff#### \xff")}) {
    for (const char* spec : {"gsm8k", kFlexible}) {
      const Verdict verdict = Verify("18", completion, spec);
      EXPECT_EQ(verdict.score, 0.0) << completion.substr(0, 40);
      EXPECT_LT(verdict.reason.size(), 200u);
    }
  }
}

TEST(Gsm8kVerifier, RefusesUnknownOptions) {
  Spec spec = Spec::Parse("gsm8k(flexibel=true)").value();
  EXPECT_THAT(NewGsm8kVerifier(spec).status().message(), HasSubstr("flexible"));
}

}  // namespace
}  // namespace hone
