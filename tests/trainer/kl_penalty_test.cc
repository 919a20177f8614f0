// KL in the rewards, its controller, and which groups train with a term that needs no advantage.
#include "trainer/kl_penalty.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/file.h"
#include "recipes/build.h"
#include "trainer/experience.h"

namespace hone {
namespace {

Sample MakeSample(std::optional<double> score, std::vector<float> logprobs, std::vector<float> reference) {
  Sample sample;
  sample.tokens.assign(logprobs.size(), 1);
  sample.logprobs = std::move(logprobs);
  sample.reference = std::move(reference);
  sample.verdict.score = score;
  return sample;
}

// Two samples whose l - f are (0.5, -0.25) and (1): they diverge by 0.25 and 1, on average by 0.625.
std::vector<Group> TwoSamples() {
  std::vector<Group> groups(1);
  groups[0].prompt.tokens = {1};
  groups[0].samples.push_back(MakeSample(1, {-1, -2}, {-1.5, -1.75}));
  groups[0].samples.push_back(MakeSample(1, {-0.5}, {-1.5}));
  return groups;
}

TEST(KlPenalty, ComesOutOfTheRewardsOfTokens) {
  std::vector<Group> groups = TwoSamples();
  Metrics metrics;
  KlPenalty(*BuildKl("k1(coef=0.1, place=reward)")).Penalize(groups, metrics);
  ASSERT_EQ(groups[0].samples[0].penalties.size(), 2u);
  EXPECT_FLOAT_EQ(groups[0].samples[0].penalties[0], 0.05f);
  EXPECT_FLOAT_EQ(groups[0].samples[0].penalties[1], -0.025f);
  EXPECT_FLOAT_EQ(groups[0].samples[1].penalties[0], 0.1f);
  EXPECT_FALSE(metrics.Find("policy/kl_coef").has_value());  // fixed: the recipe says it

  // Rewards 1 - 0.025 and 1 - 0.1: equal scores are no longer equal rewards, and the first is 0.0375 above the mean.
  const auto trained = TrainedGroups(**BuildAdvantage("dr_grpo"), GroupsTaken::kWithAdvantage, groups, metrics);
  ASSERT_EQ(trained.size(), 1u);
  EXPECT_NEAR(groups[0].samples[0].advantages[1], 0.0375, 1e-7);
  EXPECT_NEAR(groups[0].samples[1].advantages[0], -0.0375, 1e-7);
  EXPECT_EQ(trained[0].samples[0].reference, &groups[0].samples[0].reference);
}

TEST(KlPenalty, InTheLossLeavesRewardsAlone) {
  std::vector<Group> groups = TwoSamples();
  Metrics metrics;
  KlPenalty(*BuildKl("k3(coef=0.1)")).Penalize(groups, metrics);
  EXPECT_TRUE(groups[0].samples[0].penalties.empty());
}

// Equal rewards have no advantage, but a KL or entropy term still moves the policy there.
TEST(TrainedGroupsTest, GroupsWithoutAdvantageTrainWhereATermNeedsNone) {
  std::vector<Group> groups = TwoSamples();
  groups.push_back(TwoSamples()[0]);
  for (Sample& sample : groups[1].samples) sample.verdict.score.reset();
  groups.push_back(TwoSamples()[0]);
  groups[2].samples[0].verdict.score = 0;
  const auto advantage = BuildAdvantage("grpo");
  Metrics metrics;
  EXPECT_EQ(TrainedGroups(**advantage, GroupsTaken::kWithAdvantage, groups, metrics).size(), 1u);
  EXPECT_EQ(metrics.Find("group/trained"), 1 / 3.0);
  EXPECT_EQ(metrics.Find("group/zero_variance"), 2 / 3.0);
  EXPECT_EQ(TrainedGroups(**advantage, GroupsTaken::kWithVerdict, groups, metrics).size(), 2u);
  EXPECT_EQ(metrics.Find("group/trained"), 2 / 3.0);
  EXPECT_EQ(metrics.Find("group/zero_variance"), 2 / 3.0);
}

// Divergence 0.625 against a target of 0.5 is an error of 0.25, cut to 0.2; two samples of a horizon of 10: 0.1 * (1 + 0.2 * 0.2).
TEST(KlPenalty, AdaptsToItsTarget) {
  const std::vector<Group> groups = TwoSamples();
  KlPenalty above(*BuildKl("k1(coef=0.1, target=0.5, horizon=10)"));
  above.Adapt(groups);
  EXPECT_NEAR(above.coef(), 0.104, 1e-9);
  // Against 0.6 the error is 0.625 / 0.6 - 1 = 1/24.
  KlPenalty near(*BuildKl("k1(coef=0.1, target=0.6, horizon=10)"));
  near.Adapt(groups);
  EXPECT_NEAR(near.coef(), 0.1 * (1 + 0.2 / 24), 1e-9);
  KlPenalty below(*BuildKl("k3(coef=0.1, target=5, horizon=1)"));  // more samples than the horizon count as one horizon
  below.Adapt(groups);
  EXPECT_NEAR(below.coef(), 0.08, 1e-9);
  KlPenalty fixed(*BuildKl("k3(coef=0.1)"));
  fixed.Adapt(groups);
  EXPECT_EQ(fixed.coef(), 0.1);
  KlPenalty unmeasured(*BuildKl("k1(coef=0.1, target=0.5)"));
  unmeasured.Adapt({});
  EXPECT_EQ(unmeasured.coef(), 0.1);
}

TEST(KlPenalty, ItsCoefficientSurvivesAResume) {
  const KlOptions options = *BuildKl("k1(coef=0.1, target=0.6, horizon=10)");
  KlPenalty kl(options), resumed(options);
  kl.Adapt(TwoSamples());
  ASSERT_TRUE(MakeFolder("checkpoint").ok());
  ASSERT_TRUE(MakeFolder("checkpoint/state").ok());
  ASSERT_TRUE(kl.Save("checkpoint").ok());
  ASSERT_TRUE(resumed.Load("checkpoint").ok());
  EXPECT_EQ(resumed.coef(), kl.coef());
  Metrics metrics;
  std::vector<Group> groups;
  resumed.Penalize(groups, metrics);
  EXPECT_EQ(metrics.Find("policy/kl_coef"), kl.coef());
  ASSERT_TRUE(WriteFile("checkpoint/state/kl.json", "{\"coef\": ").ok());
  EXPECT_NE(resumed.Load("checkpoint").message().find("kl.json: damaged"), std::string::npos);
}

TEST(KlPenalty, OptionsThatCannotWork) {
  EXPECT_EQ(
      BuildKl("k1(coef=0, target=6)").status().message(),
      "k1: 'target' 6 is reached by multiplying 'coef', which is 0 and stays 0; give it a start, such as coef=0.001");
  EXPECT_EQ(BuildKl("none(coef=1)").status().message().find("none: unknown option 'coef'"), 0u);
  EXPECT_EQ(BuildKl("k4").status().message(), "no kl 'k4'; have: k1, k2, k3, none; did you mean 'k1'?");
  EXPECT_EQ(BuildReference("model").status().message(), "model: needs an option path=DIR, the folder of the reference");
  EXPECT_EQ(BuildReference("ema(decay=1.5)").status().message(),
            "ema: option 'decay' is '1.5', wanted a number in 0 .. 1");
}

}  // namespace
}  // namespace hone
