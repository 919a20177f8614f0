#include "trainer/experience.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::ElementsAre;

constexpr std::nullopt_t kNoVerdict = std::nullopt;

// A prompt whose samples, of two tokens, have these scores.
Group MakeGroup(uint64_t key, const std::vector<std::optional<double>>& scores) {
  Group group;
  group.prompt.key = key;
  group.prompt.tokens = {1, 2};
  for (const auto& score : scores) {
    Sample sample;
    sample.index = static_cast<int32_t>(group.samples.size());
    sample.tokens = {3, 4};
    sample.logprobs = {-1, -1};
    sample.verdict.score = score;
    group.samples.push_back(sample);
  }
  return group;
}

Group WithGreedy(Group group, std::optional<double> score) {
  group.greedy = group.samples[0];
  group.greedy->verdict.score = score;
  return group;
}

struct Outcome {
  std::vector<TrainGroup> trained;
  Metrics metrics;
};

Outcome Train(const std::string& advantage, GroupsTaken taken, std::vector<Group>& groups) {
  Outcome outcome;
  outcome.trained = TrainedGroups(*BuildAdvantage(advantage).value(), taken, groups, outcome.metrics);
  return outcome;
}

TEST(TrainedGroups, LeavesOutWhatTeachesNothing) {
  // Of four groups only the first has rewards that differ; of its samples one has no verdict.
  std::vector<Group> groups = {MakeGroup(0, {1, kNoVerdict, 0}), MakeGroup(1, {1, 1, 1}),
                               MakeGroup(2, {kNoVerdict, kNoVerdict, kNoVerdict}),
                               MakeGroup(3, {1, kNoVerdict, kNoVerdict})};
  const Outcome outcome = Train("dr_grpo", GroupsTaken::kWithAdvantage, groups);
  ASSERT_EQ(outcome.trained.size(), 1u);
  ASSERT_EQ(outcome.trained[0].samples.size(), 2u);
  EXPECT_THAT(*outcome.trained[0].samples[0].advantages, ElementsAre(0.5f, 0.5f));
  EXPECT_EQ(outcome.trained[0].samples[1].tokens, &groups[0].samples[2].tokens);
  EXPECT_EQ(outcome.metrics.Find("group/trained"), 0.25);
  EXPECT_EQ(outcome.metrics.Find("group/zero_variance"), 0.75);
}

TEST(TrainedGroups, GreedyAnswersAreTheBaselineAndTrainNothing) {
  // Scores that do not differ teach where the greedy answer's does; the last prompt's greedy answer has no verdict, the one before has the
  // same score.
  std::vector<Group> groups = {WithGreedy(MakeGroup(0, {1, 1}), 0), WithGreedy(MakeGroup(1, {0.25, kNoVerdict}), 1),
                               WithGreedy(MakeGroup(2, {1, 1}), 1), WithGreedy(MakeGroup(3, {1, 0}), kNoVerdict)};
  const Outcome outcome = Train("remax", GroupsTaken::kWithAdvantage, groups);
  ASSERT_EQ(outcome.trained.size(), 2u);
  ASSERT_EQ(outcome.trained[0].samples.size(), 2u);
  EXPECT_THAT(*outcome.trained[0].samples[0].advantages, ElementsAre(1, 1));
  ASSERT_EQ(outcome.trained[1].samples.size(), 1u);
  EXPECT_THAT(*outcome.trained[1].samples[0].advantages, ElementsAre(-0.75f, -0.75f));
  for (const TrainGroup& group : outcome.trained) {
    for (const TrainSample& sample : group.samples) {
      for (const Group& each : groups) EXPECT_NE(sample.tokens, &each.greedy->tokens);
    }
  }
  EXPECT_EQ(outcome.metrics.Find("group/trained"), 0.5);
  EXPECT_EQ(outcome.metrics.Find("group/zero_variance"), 0.75);
}

TEST(TrainedGroups, ALossOfRewardsLearnsFromARewardOfZero) {
  std::vector<Group> groups = {MakeGroup(0, {0}), MakeGroup(1, {1}), MakeGroup(2, {kNoVerdict})};
  const Outcome bellman = Train("reward", GroupsTaken::kWithVerdict, groups);
  ASSERT_EQ(bellman.trained.size(), 2u);
  EXPECT_THAT(*bellman.trained[0].samples[0].advantages, ElementsAre(0, 0));
  EXPECT_THAT(*bellman.trained[1].samples[0].advantages, ElementsAre(1, 1));
  // The policy gradient of a reward of 0 is 0.
  EXPECT_EQ(Train("reward", GroupsTaken::kWithAdvantage, groups).trained.size(), 1u);
  // With one sample a prompt nothing could differ.
  EXPECT_FALSE(bellman.metrics.Find("group/zero_variance").has_value());
}

}  // namespace
}  // namespace hone
