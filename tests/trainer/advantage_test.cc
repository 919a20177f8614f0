#include "trainer/advantage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr std::nullopt_t kNoVerdict = std::nullopt;

// The advantage of each sample, of three equal tokens.
std::vector<double> Compute(const std::string& spec, const std::vector<std::vector<std::optional<double>>>& groups) {
  std::vector<RewardedSample> samples;
  for (size_t group = 0; group < groups.size(); ++group) {
    for (const auto& reward : groups[group]) samples.push_back({reward, static_cast<int32_t>(group), 3});
  }
  std::vector<double> advantages;
  for (const std::vector<float>& tokens : BuildAdvantage(spec).value()->Compute(samples).advantages) {
    EXPECT_THAT(tokens, ElementsAre(tokens[0], tokens[0], tokens[0])) << spec;
    advantages.push_back(tokens[0]);
  }
  return advantages;
}

TEST(Advantage, Grpo) {
  // mean 1/4, variance (9 + 1 + 1 + 1) / 16 / 3 = 1/4, std 1/2: the success gets (3/4) / (1/2) = 1.5, the others -0.5.
  EXPECT_THAT(Compute("grpo(epsilon=0)", {{1, 0, 0, 0}}), ElementsAre(1.5, -0.5, -0.5, -0.5));
  // Without the division: 3/4 and -1/4.
  EXPECT_THAT(Compute("grpo(std_normalize=false)", {{1, 0, 0, 0}}), ElementsAre(0.75, -0.25, -0.25, -0.25));
}

TEST(Advantage, DrGrpoOnlyCentres) {
  EXPECT_THAT(Compute("dr_grpo", {{1, 0, 0, 0}, {2, 4}}), ElementsAre(0.75, -0.25, -0.25, -0.25, -1, 1));
}

TEST(Advantage, RlooLeavesOneOut) {
  // The mean of the others: 0 for the success, 1/3 for each failure.
  EXPECT_THAT(Compute("rloo", {{1, 0, 0, 0}}), Pointwise(DoubleNear(1e-7), {1.0, -1.0 / 3, -1.0 / 3, -1.0 / 3}));
}

TEST(Advantage, OpoWeighsByLength) {
  // (6 * 1 + 2 * 0) / 8 = 0.75 is the baseline.
  const std::vector<RewardedSample> samples = {{1.0, 0, 6}, {0.0, 0, 2}};
  const Estimate estimate = BuildAdvantage("opo").value()->Compute(samples);
  EXPECT_THAT(estimate.advantages[0], ElementsAre(0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f));
  EXPECT_THAT(estimate.advantages[1], ElementsAre(-0.75f, -0.75f));
}

TEST(Advantage, RewardIsTheRewardLessItsPenalties) {
  const std::vector<float> penalties = {0.25f, 0, 0.5f};
  const std::vector<RewardedSample> samples = {{2.0, 0, 1}, {kNoVerdict, 1, 2}, {1.0, 2, 3, kNoVerdict, {}, penalties}};
  const auto reward = BuildAdvantage("reward").value();
  EXPECT_EQ(reward->needs(), AdvantageNeeds::kNothing);
  EXPECT_THAT(reward->Compute(samples).advantages,
              ElementsAre(ElementsAre(2), ElementsAre(0, 0), ElementsAre(0.25f, 0.25f, 0.25f)));
}

TEST(Advantage, RemaxComparesWithTheGreedyAnswer) {
  // One prompt with a greedy reward of 0.5, one whose greedy answer has no verdict.
  const std::vector<RewardedSample> samples = {
      {1.0, 0, 1, 0.5}, {kNoVerdict, 0, 1, 0.5}, {0.0, 0, 2, 0.5}, {1.0, 1, 1}, {0.0, 1, 1}};
  const auto remax = BuildAdvantage("remax").value();
  EXPECT_EQ(remax->needs(), AdvantageNeeds::kGreedy);
  EXPECT_THAT(
      remax->Compute(samples).advantages,
      ElementsAre(ElementsAre(0.5f), ElementsAre(0), ElementsAre(-0.5f, -0.5f), ElementsAre(0), ElementsAre(0)));
}

TEST(Advantage, RemaxCountsPenaltiesFromEachTokenOn) {
  // 1 - 0.25 - 0.5 and 1 - 0.5, less the greedy 0.25.
  const std::vector<float> penalties = {0.25f, 0.5f};
  const std::vector<RewardedSample> samples = {{1.0, 0, 2, 0.25, {}, penalties}};
  EXPECT_THAT(BuildAdvantage("remax").value()->Compute(samples).advantages, ElementsAre(ElementsAre(0, 0.25f)));
}

TEST(Advantage, ReinforcePlusPlusWhitensReturns) {
  // gamma 0.5: returns 0.5 and 1 of the first, 0 of the second, none of the third. Mean 0.5, variance (0 + 1/4 + 1/4) / 2 = 1/4: 0, 1, -1.
  const std::vector<RewardedSample> samples = {{1.0, 0, 2}, {0.0, 1, 1}, {kNoVerdict, 2, 2}};
  const auto advantages = BuildAdvantage("reinforce_plus_plus(gamma=0.5)").value()->Compute(samples).advantages;
  EXPECT_THAT(advantages[0], Pointwise(FloatNear(1e-6f), {0.0f, 1.0f}));
  EXPECT_THAT(advantages[1], Pointwise(FloatNear(1e-6f), {-1.0f}));
  EXPECT_THAT(advantages[2], ElementsAre(0, 0));
  // Penalties stand at their own tokens, and do not reach back to earlier samples: returns -0.25 + 0.5 * 1 and 1.
  const std::vector<float> penalties = {0.25f, 0};
  const std::vector<RewardedSample> penalised = {{1.0, 0, 2, kNoVerdict, {}, penalties}, {0.625, 1, 1}};
  // 0.25, 1 and 0.625: mean 0.625, variance 2 * 0.375^2 / 2: -1, 1, 0.
  const auto whitened = BuildAdvantage("reinforce_plus_plus(gamma=0.5)").value()->Compute(penalised).advantages;
  EXPECT_THAT(whitened[0], Pointwise(FloatNear(1e-6f), {-1.0f, 1.0f}));
  EXPECT_THAT(whitened[1], Pointwise(FloatNear(1e-6f), {0.0f}));
}

TEST(Advantage, ReinforcePlusPlusBaselineScalesByTheBatch) {
  // Centred: 1, -1 and 3, -3; three tokens each, so mean 0 and variance 3 * 20 / 11. The lone sample of a group is no part of it.
  const double scale = 1 / std::sqrt(60.0 / 11);
  EXPECT_THAT(Compute("reinforce_plus_plus_baseline", {{2, 0}, {6, 0}, {5, kNoVerdict}}),
              Pointwise(DoubleNear(1e-6), {scale, -scale, 3 * scale, -3 * scale, 0.0, 0.0}));
}

TEST(Advantage, WhatIsAskedOfARollout) {
  for (const char* spec : {"grpo", "dr_grpo", "rloo", "max_rl", "opo", "reinforce_plus_plus_baseline"})
    EXPECT_EQ(BuildAdvantage(spec).value()->needs(), AdvantageNeeds::kGroups) << spec;
  EXPECT_EQ(BuildAdvantage("reinforce_plus_plus").value()->needs(), AdvantageNeeds::kNothing);
}

TEST(Advantage, GroupsDoNotMix) {
  for (const char* spec : {"grpo", "dr_grpo", "rloo", "max_rl", "opo"}) {
    const std::vector<double> alone = Compute(spec, {{1, 0, 0}});
    const std::vector<double> beside = Compute(spec, {{7, 9}, {1, 0, 0}, {-5, 5}});
    EXPECT_EQ(std::vector<double>(beside.begin() + 2, beside.begin() + 5), alone) << spec;
  }
}

TEST(Advantage, WithoutVerdictThereIsNeitherAdvantageNorInfluence) {
  for (const char* spec : {"grpo", "dr_grpo", "rloo", "max_rl", "opo", "reinforce_plus_plus_baseline"}) {
    const std::vector<double> two = Compute(spec, {{1, 0}});
    EXPECT_THAT(Compute(spec, {{1, kNoVerdict, 0}}), ElementsAre(two[0], 0, two[1])) << spec;
    EXPECT_THAT(Compute(spec, {{kNoVerdict, kNoVerdict}, {1, kNoVerdict}, {1}}), ElementsAre(0, 0, 0, 0, 0)) << spec;
    EXPECT_TRUE(Compute(spec, {}).empty());
  }
}

TEST(Advantage, EqualRewardsGiveExactlyZero) {
  // 0.1 seven times: the mean rounds to another number, and dividing the difference by a tiny deviation would make it large.
  for (const char* spec : {"grpo", "grpo(epsilon=0)", "dr_grpo", "rloo", "max_rl", "opo", "reinforce_plus_plus",
                           "reinforce_plus_plus_baseline"}) {
    EXPECT_THAT(Compute(spec, {{0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}}), ElementsAre(0, 0, 0, 0, 0, 0, 0)) << spec;
  }
}

TEST(Advantage, RefusesWrongOptions) {
  const auto error = [](const std::string& spec) { return std::string(BuildAdvantage(spec).status().message()); };
  EXPECT_THAT(error("grpo(std_normalise=false)"), HasSubstr("unknown option 'std_normalise'"));
  EXPECT_THAT(error("grpo(epsilon=-1)"), HasSubstr("'epsilon'"));
  EXPECT_THAT(error("dr_grpo(epsilon=0)"), HasSubstr("unknown option 'epsilon'"));
  EXPECT_THAT(error("reinforce_plus_plus(gamma=2)"), HasSubstr("'gamma'"));
  EXPECT_THAT(error("gpro"), HasSubstr("did you mean 'grpo'"));
}

}  // namespace
}  // namespace hone
