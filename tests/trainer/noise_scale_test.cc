#include "trainer/noise_scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/trainer/small_policy.h"
#include "trainer/learner.h"

namespace hone {
namespace {

TEST(NoiseScale, ByHand) {
  // b = 1, B = 4, squares 5 and 2: |g|^2 = (4 * 2 - 1 * 5) / 3 = 1, trace = (5 - 2) / (1 - 1/4) = 4.
  const GradientNorms norms{1, 4, 5, 2};
  EXPECT_DOUBLE_EQ(EstimateNoise(norms).grad_sq, 1);
  EXPECT_DOUBLE_EQ(EstimateNoise(norms).trace, 4);
  NoiseScale scale(0.9);
  Metrics none, some;
  scale.AddTo(none, 1);
  EXPECT_FALSE(none.Find("noise_scale/simple").has_value()) << "nothing is known yet";
  scale.Add(norms);
  scale.AddTo(some, 0.25);
  EXPECT_DOUBLE_EQ(*some.Find("noise_scale/simple"), 4);
  EXPECT_DOUBLE_EQ(*some.Find("noise_scale/suggested_batch"), 16) << "a quarter of the samples carries a gradient";
}

// Gradients of samples around a mean of square 1, with noise of a known trace.
TEST(NoiseScale, FindsTheTraceOfKnownNoise) {
  constexpr int kWidth = 50, kSmall = 4, kBig = 16;
  constexpr double kTrace = 30;
  NoiseScale scale(0.99);
  RandomSequence random(1, RandomStream::kTask, 0);
  for (int update = 0; update < 600; ++update) {
    std::vector<double> sum(kWidth, 0);
    GradientNorms norms{kSmall, kBig};
    for (int sample = 1; sample <= kBig; ++sample) {
      double squares = 0;
      for (double& x : sum) {
        x += 1 / std::sqrt(kWidth) + std::sqrt(kTrace / kWidth) * random.Normal();
        squares += x * x;
      }
      if (sample == kSmall) norms.small_sq = squares / (kSmall * kSmall);
      if (sample == kBig) norms.big_sq = squares / (kBig * kBig);
    }
    scale.Add(norms);
  }
  EXPECT_NEAR(*scale.simple(), kTrace, 0.2 * kTrace);
}

TEST(NoiseScale, IsResumedExactly) {
  NoiseScale straight(0.9), resumed(0.9);
  straight.Add({1, 4, 5.123456789, 2.1});
  straight.Add({2, 4, 3.7, 2.3});
  ASSERT_TRUE(straight.Save("noise_scale.json").ok());
  ASSERT_TRUE(resumed.Load("noise_scale.json").ok());
  for (NoiseScale* scale : {&straight, &resumed}) scale->Add({1, 4, 3.3, 1.9});
  EXPECT_EQ(straight.simple(), resumed.simple());
  EXPECT_FALSE(resumed.Load("absent.json").ok());
}

double NormOf(Model& model, std::span<const TrainGroup> groups, const std::string& loss) {
  return Learner(&model, SmallStage(loss, 0)).Update(groups, 0).grad_norm;
}

TEST(NoiseScale, LearnerMeasuresTheFirstMicroBatchWithoutASecondPass) {
  ThreadPool pool(2);
  const auto policy = SmallPolicy(&pool);
  const std::vector<Group> rollout = SmallGroups();
  const std::vector<float> advantage(9, 1);
  std::vector<TrainGroup> groups;
  for (const Group& group : rollout) {
    groups.push_back({&group.prompt.tokens, {}});
    for (const Sample& sample : group.samples)
      groups.back().samples.push_back(
          {.tokens = &sample.tokens, .logprobs = &sample.logprobs, .advantages = &advantage, .policy_version = -1});
  }
  const std::string loss = "reinforce(aggregation=seq_mean_token_mean)";
  Stage stage = SmallStage(loss, 0);
  stage.noise_scale_decay = 0.9;
  EXPECT_FALSE(Learner(policy.get(), stage).Update(groups, 0).gradient_norms.has_value()) << "one micro-batch";
  // The first prompt's three samples, then the others.
  stage.microbatch_tokens = 1;
  for (const TrainSample& sample : groups[0].samples) stage.microbatch_tokens += sample.tokens->size();
  const UpdateStats stats = Learner(policy.get(), stage).Update(groups, 0);
  ASSERT_TRUE(stats.gradient_norms.has_value());
  EXPECT_EQ(stats.gradient_norms->small_batch, 3);
  EXPECT_EQ(stats.gradient_norms->big_batch, 9);
  EXPECT_NEAR(std::sqrt(stats.gradient_norms->big_sq), NormOf(*policy, groups, loss), 1e-5);
  // The mean over three samples is what these alone would give.
  EXPECT_NEAR(std::sqrt(stats.gradient_norms->small_sq), NormOf(*policy, {groups.data(), 1}, loss), 1e-5);
}

}  // namespace
}  // namespace hone
