// Which samples of a rollout are trained where no advantage says it.
#include "trainer/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Scores = std::vector<std::optional<double>>;

// Groups whose samples have one token more than their index.
std::vector<Group> Groups(const std::vector<Scores>& scores) {
  std::vector<Group> groups;
  for (const Scores& group_scores : scores) {
    Group& group = groups.emplace_back();
    group.prompt.tokens = {1};
    for (const auto& score : group_scores) {
      Sample& sample = group.samples.emplace_back();
      sample.index = static_cast<int32_t>(group.samples.size()) - 1;
      sample.tokens.assign(group.samples.size(), 7);
      sample.logprobs.assign(group.samples.size(), -1);
      sample.policy_version = 4;
      sample.verdict.score = score;
    }
  }
  return groups;
}

// Indices of the samples of each trained group.
std::vector<std::vector<size_t>> Trained(const std::vector<TrainGroup>& groups) {
  std::vector<std::vector<size_t>> indices;
  for (const TrainGroup& group : groups) {
    indices.emplace_back();
    for (const TrainSample& sample : group.samples) {
      indices.back().push_back(sample.tokens->size() - 1);
      EXPECT_EQ(sample.logprobs->size(), sample.tokens->size());
      EXPECT_EQ(sample.advantages->size(), sample.tokens->size());
      EXPECT_EQ(sample.policy_version, 4);
    }
  }
  return indices;
}

PairRule Pairs(const std::string& text) {
  std::string resolved;
  return BuildPairs(text, &resolved).value();
}

std::vector<std::vector<size_t>> PairsOf(const std::string& rule, const std::vector<Scores>& scores) {
  std::vector<Group> groups = Groups(scores);
  Metrics metrics;
  return Trained(PairedGroups(Pairs(rule), groups, metrics));
}

TEST(PairedGroups, BestAgainstWorst) {
  // Of equal ones the first; a sample without verdict is neither; equal scores and single verdicts make no pair.
  EXPECT_THAT(
      PairsOf("best_worst",
              {{0.5, 1, 0, 1, 0}, {1, 1}, {std::nullopt, 0.3, 0.2}, {std::nullopt, 1}, {std::nullopt, std::nullopt}}),
      ElementsAre(ElementsAre(1, 2), ElementsAre(1, 2)));
  // More than the margin, not as much.
  EXPECT_THAT(PairsOf("best_worst(margin=0.5)", {{0, 0.5}, {0, 0.75}}), ElementsAre(ElementsAre(1, 0)));
}

TEST(PairedGroups, AllPairsBeyondTheMargin) {
  // Scores 0, 1, 2: (1, 0), (2, 0), (2, 1) in the order of the better one, then of the worse one.
  EXPECT_THAT(PairsOf("all", {{0, 1, 2}}), ElementsAre(ElementsAre(1, 0, 2, 0, 2, 1)));
  EXPECT_THAT(PairsOf("all(margin=1)", {{0, 1, 2}}), ElementsAre(ElementsAre(2, 0)));
  EXPECT_THAT(PairsOf("all", {{1, 1, 1}}), IsEmpty());
}

TEST(PairedGroups, CountsWhatItLeavesOutAndWritesWinRates) {
  std::vector<Group> groups = Groups({{0, 1, 1, std::nullopt}, {1, 1}, {0, 0}, {0, 1}});
  Metrics metrics;
  PairedGroups(Pairs("all"), groups, metrics);
  EXPECT_EQ(metrics.Find("preference/no_pair"), 0.5);
  EXPECT_EQ(metrics.Find("group/trained"), 0.5);
  EXPECT_EQ(metrics.Find("preference/pairs"), 3);  // 2 of the first group, 1 of the last
  // Sample 1 beats sample 0 and ties with sample 2: 1.5 of 2, on each of its two tokens. No verdict: 0.
  EXPECT_THAT(groups[0].samples[0].advantages, ElementsAre(0));
  EXPECT_THAT(groups[0].samples[1].advantages, ElementsAre(0.75f, 0.75f));
  EXPECT_THAT(groups[0].samples[3].advantages, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(groups[1].samples[0].advantages, ElementsAre(0.5f));
}

TEST(PairRule, IsReadAsASpec) {
  std::string resolved;
  EXPECT_EQ(BuildPairs("all", &resolved)->kind, PairRule::Kind::kAll);
  EXPECT_EQ(resolved, "all(margin=0)");
  EXPECT_EQ(BuildPairs("best_worst(margin=0.25)", &resolved)->margin, 0.25);
  const auto error = [&](const std::string& text) {
    return std::string(BuildPairs(text, &resolved).status().message());
  };
  EXPECT_THAT(error("best_wurst"),
              HasSubstr("no pairs 'best_wurst'; have: all, best_worst; did you mean 'best_worst'?"));
  EXPECT_THAT(error("all(margin=-1)"), HasSubstr("'margin'"));
  EXPECT_THAT(error("all(gap=1)"), HasSubstr("unknown option 'gap'"));
}

TEST(KeptGroups, KeepsWhatScoresAbove) {
  std::vector<Group> groups = Groups({{0, 0.5, 0.75, std::nullopt}, {0.5, 0.5}, {1, 0}});
  Metrics metrics;
  EXPECT_THAT(Trained(KeptGroups(0.5, groups, metrics)), ElementsAre(ElementsAre(2), ElementsAre(0)));
  EXPECT_EQ(metrics.Find("keep/threshold"), 0.5);
  EXPECT_DOUBLE_EQ(*metrics.Find("keep/fraction"), 2.0 / 7);  // of seven with a verdict
  EXPECT_DOUBLE_EQ(*metrics.Find("group/trained"), 2.0 / 3);
}

TEST(KeepRule, Rises) {
  std::string resolved;
  const KeepRule rising = BuildKeepAbove("rising(first=0.2, last=0.8)", &resolved).value();
  // Over 4 steps: 0.2, 0.4, 0.6, 0.8.
  EXPECT_DOUBLE_EQ(rising.At(0, 4), 0.2);
  EXPECT_DOUBLE_EQ(rising.At(2, 4), 0.6);
  EXPECT_EQ(rising.At(3, 4), 0.8);
  EXPECT_EQ(BuildKeepAbove("rising", &resolved)->At(11, 12), 0.99);  // not a bit more
  EXPECT_DOUBLE_EQ(rising.At(0, 1), 0.8);
  EXPECT_EQ(BuildKeepAbove("constant(threshold=0.7)", &resolved)->At(3, 9), 0.7);
  EXPECT_EQ(resolved, "constant(threshold=0.7)");
  const auto error = [&](const std::string& text) {
    return std::string(BuildKeepAbove(text, &resolved).status().message());
  };
  EXPECT_THAT(error("falling"), HasSubstr("no keep_above 'falling'; have: constant, rising"));
  EXPECT_THAT(error("rising(first=1, last=0)"), HasSubstr("which falls"));
}

}  // namespace
}  // namespace hone
