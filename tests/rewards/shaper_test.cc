// What rewards become after verification.
#include "rewards/shaper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

struct Answer {
  size_t tokens;
  double score;
  FinishReason finish_reason = FinishReason::kStop;
};

std::vector<double> Rewards(const std::string& spec, int32_t max_new_tokens, const std::vector<Answer>& answers) {
  Group group;
  for (const Answer& answer : answers) {
    Sample& sample = group.samples.emplace_back();
    sample.tokens.resize(answer.tokens);
    sample.verdict.score = answer.score;
    sample.finish_reason = answer.finish_reason;
  }
  group.samples.emplace_back().tokens.resize(answers[0].tokens);  // without a verdict
  BuildShaper(spec).value()->Shape(max_new_tokens, group);
  EXPECT_EQ(group.samples.back().reward(), std::nullopt);
  std::vector<double> rewards;
  for (size_t i = 0; i < answers.size(); ++i) rewards.push_back(*group.samples[i].reward());
  return rewards;
}

// DAPO, L = 20, buffer 4: nothing up to 16 tokens, a quarter more for each after.
TEST(Overlong, PricesTheLastTokens) {
  EXPECT_THAT(Rewards("overlong(buffer=4)", 20, {{10, 1}, {16, 1}, {18, 1}, {20, 0}}), ElementsAre(1, 1, 0.5, -1));
  EXPECT_THAT(Rewards("overlong", 20, {{18, 1}}), ElementsAre(0.5)) << "a fifth of the limit is 4";
  EXPECT_THAT(Rewards("overlong(max_length=10, buffer=5, factor=0.5)", 20, {{20, 1}}), ElementsAre(0.5));
}

TEST(Truncation, CutsEarlierWhereThePromptIsEasy) {
  EXPECT_THAT(Rewards("truncation", 8, {{8, 1, FinishReason::kLength}, {8, 1}, {3, 0}}), ElementsAre(0, 1, 0));
  // Two of four right is easy: what is longer than 4 tokens counts as cut off. One of four is not.
  EXPECT_THAT(Rewards("truncation(easy_tokens=4)", 8, {{5, 1}, {4, 1}, {4, 0}, {8, 0}}), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(Rewards("truncation(easy_tokens=4)", 8, {{5, 1}, {4, 0}, {4, 0}, {8, 0}}), ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(Rewards("truncation(score=-1)", 8, {{8, 0, FinishReason::kLength}}), ElementsAre(-1));
}

// Kimi k1.5 on 100, 200 and 300 tokens, right, wrong, right: + 0.5, 0, - 0.5.
TEST(LengthReward, IsRelative) {
  EXPECT_THAT(Rewards("length_reward(correct_only=false)", 400, {{100, 1}, {200, 0}, {300, 1}}),
              ElementsAre(1.5, 0, 0.5));
  // Of a wrong answer the penalty alone: the shortest gets nothing, the longest - 0.5.
  EXPECT_THAT(Rewards("length_reward(correct_only=false)", 400, {{100, 0}, {200, 1}, {300, 0}}),
              ElementsAre(0, 1, -0.5));
  // Among the right ones alone: 200 is the shortest.
  EXPECT_THAT(Rewards("length_reward(weight=0.2)", 400, {{100, 0}, {200, 1}, {300, 1}}),
              ElementsAre(0, DoubleEq(1.1), DoubleEq(0.9)));
  EXPECT_THAT(Rewards("length_reward", 400, {{100, 1}, {100, 1}}), ElementsAre(1, 1));
}

TEST(Shapers, SeeWhatCameBefore) {
  Group group;
  Sample& sample = group.samples.emplace_back();
  sample.tokens.resize(20);
  sample.verdict.score = 1;
  sample.finish_reason = FinishReason::kLength;
  BuildShaper("overlong(buffer=4, factor=0.5)").value()->Shape(20, group);
  EXPECT_EQ(sample.reward(), 0.5);
  BuildShaper("truncation").value()->Shape(20, group);
  EXPECT_EQ(sample.reward(), 0) << "what is cut earns 0, not 0 less the price";
}

}  // namespace
}  // namespace hone
