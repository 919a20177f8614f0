#include "trainer/policy_average.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/tensor.h"
#include "tests/trainer/small_policy.h"
#include "trainer/learner.h"

namespace hone {
namespace {

std::vector<TrainGroup> ToTrain(const std::vector<Group>& rollout) {
  std::vector<TrainGroup> groups;
  for (const Group& group : rollout) {
    groups.push_back({&group.prompt.tokens, {}});
    for (const Sample& sample : group.samples)
      groups.back().samples.push_back({.tokens = &sample.tokens, .logprobs = &sample.logprobs});
  }
  return groups;
}

std::vector<float> OldOf(const std::vector<TrainGroup>& groups) {
  std::vector<float> old;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) old.insert(old.end(), sample.old->begin(), sample.old->end());
  }
  return old;
}

void Fill(Model& model, float weight) {
  for (Parameter& parameter : model.parameters()) parameter.value.detach().fill_(weight);
}

TEST(PolicyAverage, IsBiasCorrected) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  Fill(*policy, 1);
  const auto average = *PolicyAverage::New(*policy, 0.5);
  const auto weight = [&] { return average->model().parameters()[0].value.const_data_ptr<float>()[0]; };
  EXPECT_EQ(weight(), 1);
  Fill(*policy, 4);
  average->Add();  // (0.5 * 1 + 4) / 1.5 = 3
  EXPECT_FLOAT_EQ(weight(), 3);
  Fill(*policy, 8);
  average->Add();  // (0.25 * 1 + 0.5 * 4 + 8) / 1.75
  EXPECT_FLOAT_EQ(weight(), 10.25f / 1.75f);
}

TEST(PolicyAverage, ScoresAsThePolicyAtFirstAndLagsBehindLater) {
  ThreadPool pool(2);
  const auto policy = SmallPolicy(&pool);
  const auto average = *PolicyAverage::New(*policy, 0.889);
  const std::vector<Group> rollout = SmallGroups();
  std::vector<TrainGroup> groups = ToTrain(rollout);
  average->Score(groups, 16384);
  const std::vector<float> first = ScoreGroups(*policy, groups, 16384);
  EXPECT_EQ(OldOf(groups), first);
  const Stage stage = SmallStage("sft", 1e-3);  // small enough that log-probabilities change by the weights' share
  Learner(policy.get(), stage).Update(groups, 0);
  average->Add();
  average->Score(groups, 20);
  const std::vector<float> old = OldOf(groups), now = ScoreGroups(*policy, groups, 16384);
  double from_first = 0, from_now = 0;
  for (size_t i = 0; i < old.size(); ++i) {
    from_first += std::abs(old[i] - first[i]);
    from_now += std::abs(old[i] - now[i]);
  }
  EXPECT_GT(from_first, 0);
  EXPECT_GT(from_now, 0);
  // The newest of two weighs 1 / 1.889.
  EXPECT_NEAR(from_first / (from_first + from_now), 1 / 1.889, 0.05);
}

TEST(PolicyAverage, GoesOnFromAFileAsIfNeverStopped) {
  ThreadPool pool(2);
  const auto policy = SmallPolicy(&pool);
  const auto straight = *PolicyAverage::New(*policy, 0.889);
  const std::vector<Group> rollout = SmallGroups();
  const std::vector<TrainGroup> groups = ToTrain(rollout);
  const Stage stage = SmallStage("sft", 0.01);
  Learner learner(policy.get(), stage);
  const auto step = [&] { learner.Update(groups, 0); };
  for (int i = 0; i < 3; ++i) step(), straight->Add();
  ASSERT_TRUE(straight->Save("policy_average.safetensors").ok());
  const auto resumed = *PolicyAverage::New(*policy, 0.889);
  ASSERT_TRUE(resumed->Load("policy_average.safetensors").ok());
  step();
  straight->Add();
  resumed->Add();
  EXPECT_EQ(Weights(straight->model()), Weights(resumed->model()));
}

TEST(BatchSizeSettings, AreThePapers) {
  const BatchSizeSettings settings{.learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .beta_prox = 0.889};
  const BatchSizeSettings half = ForDividedBatch(settings, 2);
  EXPECT_NEAR(half.learning_rate, 0.01 / 1.41421356, 1e-9);
  EXPECT_NEAR(half.beta1, 0.948683298, 1e-9);   // sqrt(0.9)
  EXPECT_NEAR(half.beta2, 0.999499875, 1e-9);   // sqrt(0.999)
  EXPECT_NEAR(half.beta_prox, 0.941238, 1e-6);  // age 0.889 / 0.111 = 8.009; 16.018 / 17.018
  const BatchSizeSettings back = ForDividedBatch(half, 0.5);
  EXPECT_NEAR(back.learning_rate, settings.learning_rate, 1e-12);
  EXPECT_NEAR(back.beta1, settings.beta1, 1e-12);
  EXPECT_NEAR(back.beta2, settings.beta2, 1e-12);
  EXPECT_NEAR(back.beta_prox, settings.beta_prox, 1e-12);
}

// Answers of one token: right are those of the prompt's remainder modulo 4. Sampled, rewarded and learnt from as in training; the expected
// reward is known exactly, so that a curve has no noise but that of its batches.
std::vector<double> RewardCurve(const BatchSizeSettings& settings, int batch, int steps, uint64_t seed) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool, 0.1);
  Stage stage = SmallStage("decoupled_ppo(clip_low=0.2, clip_high=0.2)", settings.learning_rate);
  stage.adamw = {.beta1 = settings.beta1, .beta2 = settings.beta2};
  Learner learner(policy.get(), stage);
  const auto average = *PolicyAverage::New(*policy, settings.beta_prox);
  const std::vector<std::vector<TokenId>> prompts = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
  std::vector<std::vector<TokenId>> tokens;
  std::vector<TrainGroup> every;
  for (TokenId token = 0; token < kSmallVocabulary; ++token) tokens.push_back({token});
  for (const auto& prompt : prompts) {
    every.push_back({&prompt, {}});
    for (const auto& token : tokens) every.back().samples.push_back({.tokens = &token});
  }
  RandomSequence random(seed, RandomStream::kSampling, 0);
  std::vector<double> curve;
  for (int step = 0; step < steps; ++step) {
    const std::vector<float> logprobs = ScoreGroups(*policy, every, 16384);
    double total = 0;
    std::vector<std::vector<float>> sampled, advantages;
    sampled.reserve(prompts.size() * batch);
    advantages.reserve(prompts.size() * batch);
    std::vector<TrainGroup> groups;
    for (size_t p = 0; p < prompts.size(); ++p) {
      const float* own = logprobs.data() + p * kSmallVocabulary;
      const auto reward = [&](TokenId token) { return token % 4 == static_cast<TokenId>(p) ? 1.0 : 0.0; };
      double expected = 0;
      for (TokenId token = 0; token < kSmallVocabulary; ++token) expected += std::exp(own[token]) * reward(token);
      total += expected;
      groups.push_back({&prompts[p], {}});
      for (int i = 0; i < batch; ++i) {
        double left = random.Uniform();
        TokenId token = 0;
        while (token + 1 < kSmallVocabulary && (left -= std::exp(own[token])) > 0) ++token;
        sampled.push_back({own[token]});
        advantages.push_back({static_cast<float>(reward(token) - expected)});
        groups.back().samples.push_back(
            {.tokens = &tokens[token], .logprobs = &sampled.back(), .advantages = &advantages.back()});
      }
    }
    curve.push_back(total / static_cast<double>(prompts.size()));
    average->Score(groups, 16384);
    learner.Update(groups, step);
    average->Add();
  }
  return curve;
}

// Mean over seeds of the curve at every multiple of `stride` steps.
std::vector<double> MeanCurve(const BatchSizeSettings& settings, int batch, int steps, int stride) {
  constexpr int kSeeds = 6;
  std::vector<double> mean(steps / stride, 0);
  for (int seed = 0; seed < kSeeds; ++seed) {
    const std::vector<double> curve = RewardCurve(settings, batch, steps, seed);
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += curve[i * stride] / kSeeds;
  }
  return mean;
}

double MeanDistance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

TEST(BatchSizeSettings, HalvingTheBatchWithThemGivesTheSameCurve) {
  constexpr int kBatch = 8, kSteps = 60;
  const BatchSizeSettings settings{.learning_rate = 0.004, .beta1 = 0.9, .beta2 = 0.99, .beta_prox = 0.889};
  const std::vector<double> whole = MeanCurve(settings, kBatch, kSteps, 1);
  const std::vector<double> ruled = MeanCurve(ForDividedBatch(settings, 2), kBatch / 2, 2 * kSteps, 2);
  const std::vector<double> unchanged = MeanCurve(settings, kBatch / 2, 2 * kSteps, 2);
  EXPECT_LT(whole.front(), 0.35);
  EXPECT_GT(whole.back(), 0.6) << "the curve should tell something";
  const double with_rule = MeanDistance(whole, ruled), without = MeanDistance(whole, unchanged);
  EXPECT_LT(with_rule, 0.03);
  EXPECT_GT(without, 2.5 * with_rule) << "the rule should matter: " << with_rule;
  RecordProperty("distance_with_rule", std::to_string(with_rule));
  RecordProperty("distance_without", std::to_string(without));
  printf("mean distance of the reward curves: with the rule %.4f, without %.4f; end %.3f, %.3f, %.3f\n", with_rule,
         without, whole.back(), ruled.back(), unchanged.back());
}

}  // namespace
}  // namespace hone
