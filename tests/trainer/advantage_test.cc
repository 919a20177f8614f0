#include "trainer/advantage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
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

TEST(Advantage, GroupsDoNotMix) {
  for (const char* spec : {"grpo", "dr_grpo", "rloo", "max_rl"}) {
    const std::vector<double> alone = Compute(spec, {{1, 0, 0}});
    const std::vector<double> beside = Compute(spec, {{7, 9}, {1, 0, 0}, {-5, 5}});
    EXPECT_EQ(std::vector<double>(beside.begin() + 2, beside.begin() + 5), alone) << spec;
  }
}

TEST(Advantage, WithoutVerdictThereIsNeitherAdvantageNorInfluence) {
  for (const char* spec : {"grpo", "dr_grpo", "rloo", "max_rl"}) {
    const std::vector<double> two = Compute(spec, {{1, 0}});
    EXPECT_THAT(Compute(spec, {{1, kNoVerdict, 0}}), ElementsAre(two[0], 0, two[1])) << spec;
    EXPECT_THAT(Compute(spec, {{kNoVerdict, kNoVerdict}, {1, kNoVerdict}, {1}}), ElementsAre(0, 0, 0, 0, 0)) << spec;
    EXPECT_TRUE(Compute(spec, {}).empty());
  }
}

TEST(Advantage, EqualRewardsGiveExactlyZero) {
  // 0.1 seven times: the mean rounds to another number, and dividing the difference by a tiny deviation would make it large.
  for (const char* spec : {"grpo", "grpo(epsilon=0)", "dr_grpo", "rloo", "max_rl"}) {
    EXPECT_THAT(Compute(spec, {{0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}}), ElementsAre(0, 0, 0, 0, 0, 0, 0)) << spec;
  }
}

TEST(Advantage, RefusesWrongOptions) {
  const auto error = [](const std::string& spec) { return std::string(BuildAdvantage(spec).status().message()); };
  EXPECT_THAT(error("grpo(std_normalise=false)"), HasSubstr("unknown option 'std_normalise'"));
  EXPECT_THAT(error("grpo(epsilon=-1)"), HasSubstr("'epsilon'"));
  EXPECT_THAT(error("dr_grpo(epsilon=0)"), HasSubstr("unknown option 'epsilon'"));
  EXPECT_THAT(error("gpro"), HasSubstr("did you mean 'grpo'"));
}

}  // namespace
}  // namespace hone
