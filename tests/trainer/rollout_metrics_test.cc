#include "trainer/rollout_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hone {
namespace {

using ::testing::HasSubstr;

Sample Scored(std::optional<double> score, FinishReason finish = FinishReason::kStop, std::string reason = "") {
  Sample sample;
  sample.verdict = {score, std::move(reason), {}};
  sample.finish_reason = finish;
  return sample;
}

std::vector<Group> OneGroup(std::vector<Sample> samples) {
  std::vector<Group> groups(1);
  groups[0].samples = std::move(samples);
  return groups;
}

TEST(CheckVerdicts, CountsAgainstTheShare) {
  std::vector<Sample> samples(19, Scored(1));
  samples.push_back(Scored(std::nullopt, FinishReason::kStop, "no answer within 5000 ms"));
  EXPECT_TRUE(CheckVerdicts(OneGroup(samples), 0.05).ok());  // 1 of 20 is the share itself, not more
  samples[0] = Scored(std::nullopt, FinishReason::kStop, "died");
  samples[1] = Scored(std::nullopt, FinishReason::kStop, "died");
  const absl::Status status = CheckVerdicts(OneGroup(samples), 0.05);
  EXPECT_THAT(std::string(status.message()), HasSubstr("3 of 20 samples have no verdict"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 times: died;"));
  EXPECT_TRUE(CheckVerdicts(OneGroup(samples), 0.15).ok());
  EXPECT_TRUE(CheckVerdicts(OneGroup(samples), 1).ok());
  EXPECT_FALSE(CheckVerdicts(OneGroup({Scored(std::nullopt)}), 0).ok());
  EXPECT_TRUE(CheckVerdicts(OneGroup({Scored(0)}), 0).ok());
}

TEST(WhyNoSignal, NamesTheCause) {
  const auto cause = [](std::vector<Sample> samples) { return WhyNoSignal(OneGroup(std::move(samples))).name; };
  EXPECT_EQ(cause({Scored(1), Scored(1)}), "all_solved");
  EXPECT_EQ(cause({Scored(0), Scored(0)}), "none_solved");
  EXPECT_EQ(cause({Scored(0), Scored(0, FinishReason::kLength)}), "none_solved");
  EXPECT_EQ(cause({Scored(0, FinishReason::kLength), Scored(0, FinishReason::kLength)}), "all_truncated");
  EXPECT_EQ(cause({Scored(0.5), Scored(0.5)}), "equal_rewards");
  EXPECT_EQ(cause({Scored(std::nullopt), Scored(std::nullopt)}), "no_verdicts");
  EXPECT_EQ(cause({Scored(1), Scored(std::nullopt)}), "all_solved");  // of those that have a verdict
}

TEST(Greedy, CountsApartButForMissingVerdicts) {
  Rollout rollout;
  rollout.groups = OneGroup({Scored(1), Scored(0)});
  rollout.groups.push_back(rollout.groups[0]);
  rollout.groups[0].greedy = Scored(0.25);
  rollout.groups[1].greedy = Scored(std::nullopt, FinishReason::kStop, "died");
  rollout.groups[0].greedy->tokens = {1, 2, 3};
  Metrics metrics;
  AddRolloutMetrics(rollout, metrics);
  EXPECT_EQ(metrics.Find("reward/mean"), 0.5);
  EXPECT_EQ(metrics.Find("verdict/none"), 0);
  EXPECT_EQ(metrics.Find("greedy/reward_mean"), 0.25);
  EXPECT_EQ(metrics.Find("greedy/verdict_none"), 0.5);
  EXPECT_EQ(metrics.Find("greedy/length_mean"), 1.5);
  EXPECT_THAT(std::string(CheckVerdicts(rollout.groups, 0).message()), HasSubstr("1 of 6 samples have no verdict"));
  EXPECT_EQ(WhyNoSignal(rollout.groups).name, "equal_rewards");
  rollout.groups[0].greedy->verdict = rollout.groups[1].greedy->verdict;
  const NoSignal cause = WhyNoSignal(rollout.groups);
  EXPECT_EQ(cause.name, "no_greedy_verdicts");
  EXPECT_THAT(cause.explanation, HasSubstr("died"));
  Metrics none;
  rollout.groups = OneGroup({Scored(1)});
  AddRolloutMetrics(rollout, none);
  EXPECT_FALSE(none.Find("greedy/verdict_none").has_value());
}

TEST(RolloutMetrics, WithoutVerdictASampleCountsInNoRewardStatistic) {
  Rollout rollout;
  rollout.groups = OneGroup({Scored(1), Scored(0), Scored(std::nullopt), Scored(std::nullopt)});
  Metrics metrics;
  AddRolloutMetrics(rollout, metrics);
  EXPECT_EQ(metrics.Find("reward/mean"), 0.5);   // (1 + 0) / 2
  EXPECT_EQ(metrics.Find("reward/std"), 0.5);    // both half a point away
  EXPECT_EQ(metrics.Find("verdict/none"), 0.5);  // 2 of 4
  rollout.groups = OneGroup({Scored(std::nullopt)});
  Metrics none;
  AddRolloutMetrics(rollout, none);
  EXPECT_FALSE(none.Find("reward/mean").has_value());
  EXPECT_EQ(none.Find("verdict/none"), 1);
}

}  // namespace
}  // namespace hone
