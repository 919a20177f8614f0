// Advantages of branched answers, worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipes/build.h"
#include "trainer/advantage.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

auto Near(double value) { return FloatNear(static_cast<float>(value), 1e-5f); }

std::vector<std::vector<float>> Compute(const std::vector<RewardedSample>& samples) {
  return BuildAdvantage("tree").value()->Compute(samples).advantages;
}

// A (4 tokens, right), B (3, wrong); C (3, wrong) and D (5, right) go on from A's second token. V(root) = 1/2.
//   A's tokens 1, 2: through A, C, D, V = 2/3:  (1/6 + 1/6) / sqrt(3) = 0.19245
//   A's tokens 3, 4: V = 1:  1/2 + 1/3;  C's last: V = 0:  -1/2 - 2/3;  D's last three as A's;  B: -1/2 - 1/2
TEST(Tree, NodesAreWorthWhatTheyAdd) {
  const std::vector<RewardedSample> samples = {{.reward = 1, .group = 0, .tokens = 4},
                                               {.reward = 0, .group = 0, .tokens = 3},
                                               {.reward = 0, .group = 0, .tokens = 3, .parent = 0, .branch_at = 2},
                                               {.reward = 1, .group = 0, .tokens = 5, .parent = 0, .branch_at = 2}};
  const auto shared = Near(0.19245), gained = Near(0.83333), lost = Near(-1.16667);
  EXPECT_THAT(Compute(samples),
              ElementsAre(ElementsAre(shared, shared, gained, gained), ElementsAre(-1, -1, -1),
                          ElementsAre(shared, shared, lost), ElementsAre(shared, shared, gained, gained, gained)));
}

// A (3 tokens, wrong) forks at 1 (C, right) and at 2 (D, right). V(root) = 2/3.
//   token 1: through A, C, D, V = 2/3: 0.  A's token 2: through A and D, V = 1/2: -2 (1/6) / sqrt(2).
//   A's token 3: V = 0: -2/3 - 1/2.  C from token 2: V = 1: 1/3 + 1/3.  D's token 3: V = 1: 1/3 + 1/2.
TEST(Tree, ForksOnOneWay) {
  const std::vector<RewardedSample> samples = {{.reward = 0, .group = 0, .tokens = 3},
                                               {.reward = 1, .group = 0, .tokens = 2, .parent = 0, .branch_at = 1},
                                               {.reward = 1, .group = 0, .tokens = 3, .parent = 0, .branch_at = 2}};
  EXPECT_THAT(Compute(samples),
              ElementsAre(ElementsAre(Near(0), Near(-0.23570), Near(-1.16667)), ElementsAre(Near(0), Near(0.66667)),
                          ElementsAre(Near(0), Near(-0.23570), Near(0.83333))));
}

TEST(Tree, WithoutBranchesItIsTwiceTheCentredReward) {
  EXPECT_THAT(Compute({{1, 0, 2}, {0, 0, 1}, {std::nullopt, 0, 1}, {0.1, 1, 1}, {0.1, 1, 1}, {0.1, 1, 1}, {1, 2, 1}}),
              ElementsAre(ElementsAre(1, 1), ElementsAre(-1), ElementsAre(0), ElementsAre(0), ElementsAre(0),
                          ElementsAre(0), ElementsAre(0)));
}

// The answer that others went on from has no verdict: it is no leaf, and its tokens get nothing.
TEST(Tree, ATrunkWithoutVerdictIsNoLeaf) {
  const std::vector<RewardedSample> samples = {{.reward = std::nullopt, .group = 0, .tokens = 3},
                                               {.reward = 1, .group = 0, .tokens = 2, .parent = 0, .branch_at = 1},
                                               {.reward = 0, .group = 0, .tokens = 2, .parent = 0, .branch_at = 1}};
  EXPECT_THAT(Compute(samples), ElementsAre(ElementsAre(0, 0, 0), ElementsAre(0, 1), ElementsAre(0, -1)));
}

}  // namespace
}  // namespace hone
