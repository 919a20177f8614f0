// Generalized advantage estimation, worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipes/build.h"
#include "trainer/advantage.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

const std::vector<float> kValues = {1, 2}, kPenalties = {0.5, 1};

RewardedSample Sample(std::optional<double> reward) {
  RewardedSample sample{reward, 0, 2};
  sample.values = kValues;
  return sample;
}

Estimate Compute(const std::string& spec, const std::vector<RewardedSample>& samples) {
  return BuildAdvantage(spec).value()->Compute(samples);
}

TEST(Gae, GoesBackFromTheReward) {
  // Last token: delta = 4 - 2 = 2 = A, R = 2 + 2. First: delta = 0.5 * 2 - 1 = 0, A = 0.5 * 0.5 * 2 = 0.5, R = 0.5 + 1.
  const Estimate estimate = Compute("gae(gamma=0.5, lam=0.5, whiten=false)", {Sample(4)});
  EXPECT_THAT(estimate.advantages, ElementsAre(ElementsAre(0.5, 2)));
  EXPECT_THAT(estimate.returns, ElementsAre(ElementsAre(1.5, 4)));
}

TEST(Gae, PenaltiesAreNegativeRewardsOfTheirTokens) {
  // Last: delta = 4 - 1 - 2 = 1, R = 3. First: delta = -0.5 + 0.5 * 2 - 1 = -0.5, A = -0.5 + 0.25 * 1, R = 0.75.
  RewardedSample sample = Sample(4);
  sample.penalties = kPenalties;
  const Estimate estimate = Compute("gae(gamma=0.5, lam=0.5, whiten=false)", {sample});
  EXPECT_THAT(estimate.advantages, ElementsAre(ElementsAre(-0.25, 1)));
  EXPECT_THAT(estimate.returns, ElementsAre(ElementsAre(0.75, 3)));
}

TEST(Gae, WhitensOverSamplesWithVerdictOnly) {
  // 0.5 and 2: mean 1.25, variance 2 * 0.75^2 / 1, so +-0.75 / 1.0607 = +-0.7071. Returns are of before.
  const Estimate estimate = Compute("gae(gamma=0.5, lam=0.5)", {Sample(std::nullopt), Sample(4)});
  EXPECT_THAT(estimate.advantages,
              ElementsAre(ElementsAre(0, 0), ElementsAre(FloatNear(-0.70711f, 1e-5f), FloatNear(0.70711f, 1e-5f))));
  EXPECT_THAT(estimate.returns, ElementsAre(ElementsAre(0, 0), ElementsAre(1.5, 4)));
}

TEST(Gae, NoVerdictAtAllGivesZeros) {
  EXPECT_THAT(Compute("gae", {Sample(std::nullopt)}).advantages, ElementsAre(ElementsAre(0, 0)));
}

}  // namespace
}  // namespace hone
