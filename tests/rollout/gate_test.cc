// Which groups train.
#include "rollout/gate.h"

#include <gtest/gtest.h>

#include "recipes/build.h"

namespace hone {
namespace {

Group WithRight(int samples, int right) {
  Group group;
  for (int i = 0; i < samples; ++i) group.samples.emplace_back().verdict.score = i < right ? 1 : 0;
  return group;
}

// Of 16 answers 0.3 .. 0.7 are 5 .. 11; of 10 they are 3 .. 7, both ends included.
TEST(DifficultyGate, KeepsTheMiddle) {
  const auto gate = BuildGate("difficulty").value();
  for (int right = 0; right <= 16; ++right)
    EXPECT_EQ(gate->Keeps(WithRight(16, right)), right >= 5 && right <= 11) << right;
  for (int right = 0; right <= 10; ++right)
    EXPECT_EQ(gate->Keeps(WithRight(10, right)), right >= 3 && right <= 7) << right;
  Group partly = WithRight(4, 2);  // of the answers with a verdict 2 / 3
  partly.samples[3].verdict.score.reset();
  EXPECT_TRUE(gate->Keeps(partly));
  EXPECT_EQ(BuildGate("difficulty(low=0.6, high=0.4)").status().message(),
            "difficulty: 'low' is 0.6 and 'high' 0.4; exchange them");
}

TEST(DynamicSamplingGate, WantsADifference) {
  const auto verified = BuildGate("dynamic_sampling").value(),
             shaped = BuildGate("dynamic_sampling(rewards=shaped)").value();
  EXPECT_TRUE(verified->Keeps(WithRight(4, 1)));
  EXPECT_FALSE(verified->Keeps(WithRight(4, 0)));
  EXPECT_FALSE(verified->Keeps(WithRight(4, 4)));
  Group solved = WithRight(4, 4);
  solved.samples[2].shaping = -1;  // cut off
  EXPECT_FALSE(verified->Keeps(solved));
  EXPECT_TRUE(shaped->Keeps(solved));
  EXPECT_EQ(verified->max_rounds(), 10);
}

}  // namespace
}  // namespace hone
