#include "trainer/value_model.h"

#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/small_policy.h"
#include "tests/trainer/tensors.h"
#include "trainer/experience.h"
#include "trainer/learner.h"

namespace hone {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;

TEST(ValueLoss, TakesTheLargerOfPlainAndBounded) {
  // Clip 0.2 around 1. 1.5 -> 1.2 against 2: 0.8^2 is larger than 0.5^2, and no gradient passes. 0.9 is in range. 2 -> 1.2 against 1: 1^2 is
  // the larger.
  const Tensor values = ToTensor({1.5, 0.9f, 2}).requires_grad_(true);
  Tensor clipped;
  const Tensor losses = ValueLoss(values, ToTensor({1, 1, 1}), ToTensor({2, 0, 1}), 0.2, clipped);
  EXPECT_THAT(ToVector(losses), ElementsAre(FloatNear(0.32f, 1e-6f), FloatEq(0.405f), FloatEq(0.5f)));
  EXPECT_THAT(ToVector(clipped), ElementsAre(1, 0, 0));
  at::sum(losses).backward();
  EXPECT_THAT(ToVector(values.grad()), ElementsAre(0, FloatEq(0.9f), FloatEq(1)));
  Tensor unbounded;
  EXPECT_THAT(ToVector(ValueLoss(values, ToTensor({1, 1, 1}), ToTensor({2, 0, 1}), 0, unbounded)),
              ElementsAre(FloatEq(0.125f), FloatEq(0.405f), FloatEq(0.5f)));
  EXPECT_FALSE(unbounded.defined());
}

TEST(ExplainedVariance, IsOneForForeknowledgeAndNothingForEqualReturns) {
  const std::vector<TokenId> tokens = {1, 2};
  const std::vector<float> values = {0, 2}, returns = {1, 3}, half = {0, 4}, equal = {0.1f, 0.1f};
  const auto explained = [&](const std::vector<float>& of) {
    TrainGroup group{&tokens, {{.tokens = &tokens, .values = &values, .returns = &of}}};
    return ExplainedVariance({&group, 1});
  };
  EXPECT_EQ(explained(returns), 1);  // off by a constant
  EXPECT_EQ(explained(half), 0.75);  // errors 0 and 2, variance 2; returns 0 and 4, variance 8
  EXPECT_FALSE(explained(equal).has_value());
}

// Before an answer's first token its state is its prompt's, the same for all answers: of their rewards the mean is the best guess there,
// and what is left of a loss of half the squared errors over all tokens is half their squared distances from it. After it no two are alike.
struct BestPossible {
  double loss, explained_variance;
};

BestPossible BestOf(const std::vector<Group>& groups) {
  double left = 0, tokens = 0, sum = 0, squares = 0, errors = 0;
  for (const Group& group : groups) {
    double mean = 0;
    for (const Sample& sample : group.samples)
      mean += *sample.verdict.score / static_cast<double>(group.samples.size());
    for (const Sample& sample : group.samples) {
      const double reward = *sample.verdict.score, length = static_cast<double>(sample.tokens.size());
      left += (reward - mean) * (reward - mean);
      errors += reward - mean;
      tokens += length;
      sum += length * reward;
      squares += length * reward * reward;
    }
  }
  EXPECT_NEAR(errors, 0, 1e-9);
  return {left / 2 / tokens, 1 - left / (squares - sum * sum / tokens)};
}

// One step of an own trunk: values, advantages, update.
Metrics Step(ValueModel& model, const Stage& stage, std::vector<Group>& groups) {
  Metrics metrics;
  model.Evaluate(groups);
  const std::vector<TrainGroup> trained = TrainedGroups(*stage.advantage, GroupsTaken::kWithVerdict, groups, metrics);
  const absl::Status status = model.Learn(trained, metrics);
  EXPECT_TRUE(status.ok()) << status;
  return metrics;
}

std::vector<float> AllValues(const std::vector<Group>& groups) {
  std::vector<float> values;
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) values.insert(values.end(), sample.values.begin(), sample.values.end());
  }
  return values;
}

TEST(ValueModel, OwnTrunkLearnsTheReturnsAndLeavesThePolicyAlone) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  const auto before = Weights(*policy);
  for (const char* spec : {"own(clip=0)", "own(layers=1, clip=0, learning_rate=0.01)"}) {
    SCOPED_TRACE(spec);
    Stage stage = SmallStage("ppo_clip", 0.01);
    stage.minibatches = 2;
    stage.advantage = *BuildAdvantage("gae(lam=1)");  // every token's return is the reward
    stage.value_model = *BuildValueModel(spec);
    auto model = ValueModel::New(*policy, stage);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_FALSE((*model)->shared());
    std::vector<Group> groups = SmallGroups();
    Metrics first = Step(**model, stage, groups), last;
    EXPECT_THAT(AllValues(groups), Each(0)) << "the head begins at zero";
    for (int step = 0; step < 60; ++step) last = Step(**model, stage, groups);
    const BestPossible best = BestOf(groups);
    EXPECT_GT(*first.Find("value/loss"), 0.1);
    EXPECT_GT(best.loss, 0.001);
    EXPECT_NEAR(*last.Find("value/loss"), best.loss, 0.02 * *first.Find("value/loss"));
    EXPECT_NEAR(*last.Find("value/explained_variance"), best.explained_variance, 0.03);
    EXPECT_FALSE(last.Find("value/clip_fraction").has_value());
    EXPECT_GT(*last.Find("value/grad_norm"), 0);
  }
  EXPECT_EQ(Weights(*policy), before);
  for (const Parameter& parameter : policy->parameters()) EXPECT_FALSE(parameter.value.grad().defined());
}

TEST(ValueModel, DoesNotDependOnTheSplit) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  std::vector<std::vector<float>> first, second;
  for (const int64_t budget : {16384, 20}) {
    Stage stage = SmallStage("ppo_clip", 0.01);
    stage.value_model = *BuildValueModel("own");
    stage.microbatch_tokens = budget;
    const auto model = *ValueModel::New(*policy, stage);
    std::vector<Group> groups = SmallGroups();
    for (int step = 0; step < 2; ++step) Step(*model, stage, groups);
    model->Evaluate(groups);
    first.push_back(AllValues(groups));
    // The same weights, evaluated in other pieces: the same bits.
    stage.microbatch_tokens = 16404 - budget;
    model->Evaluate(groups);
    EXPECT_EQ(AllValues(groups), first.back());
  }
  EXPECT_NE(first[0], std::vector<float>(first[0].size(), 0));
  for (size_t i = 0; i < first[0].size(); ++i) EXPECT_NEAR(first[0][i], first[1][i], 1e-4);
}

TEST(ValueModel, GoesOnFromAFileAsIfNeverStopped) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  Stage stage = SmallStage("ppo_clip", 0.01);
  stage.value_model = *BuildValueModel("own(layers=1)");
  const auto straight = *ValueModel::New(*policy, stage), resumed = *ValueModel::New(*policy, stage);
  std::vector<Group> groups = SmallGroups(), again = SmallGroups();
  for (int step = 0; step < 3; ++step) Step(*straight, stage, groups);
  ASSERT_TRUE(straight->Save(".").ok());
  ASSERT_TRUE(resumed->Load(".").ok());
  for (int step = 0; step < 3; ++step) {
    Step(*straight, stage, groups);
    Step(*resumed, stage, again);
  }
  straight->Evaluate(groups);
  resumed->Evaluate(again);
  EXPECT_EQ(AllValues(groups), AllValues(again));
  // Of another model: refused.
  stage.value_model = *BuildValueModel("own(layers=2)");
  EXPECT_FALSE((*ValueModel::New(*policy, stage))->Load(".").ok());
}

TEST(ValueModel, SharedHeadTeachesThePolicy) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  Stage stage = SmallStage("reinforce", 0.01);
  stage.value_model = *BuildValueModel("shared(loss_coef=1, clip=0)");
  const auto model = *ValueModel::New(*policy, stage);
  EXPECT_TRUE(model->shared());
  Learner learner(policy.get(), stage);
  learner.UseValueModel(model.get());
  std::vector<Group> groups = SmallGroups();
  std::vector<double> losses;
  for (int step = 0; step < 60; ++step) {
    Metrics metrics;
    model->Evaluate(groups);
    std::vector<TrainGroup> trained = TrainedGroups(*stage.advantage, GroupsTaken::kWithVerdict, groups, metrics);
    // Without advantages the value loss is all there is; a head of zeros passes no gradient on, so step 0 leaves the policy as it is.
    for (TrainGroup& group : trained) {
      for (TrainSample& sample : group.samples) sample.advantages = nullptr;
    }
    const auto before = Weights(*policy);
    EXPECT_GT(learner.Update(trained, 0).grad_norm, 0);
    EXPECT_EQ(Weights(*policy) == before, step == 0);
    ASSERT_TRUE(model->Learn(trained, metrics).ok());
    EXPECT_FALSE(metrics.Find("value/grad_norm").has_value());
    losses.push_back(*metrics.Find("value/loss"));
  }
  EXPECT_LT(losses.back(), 0.12 * losses.front());
}

TEST(ValueModel, TooManyLayersAreRefused) {
  ThreadPool pool(1);
  const auto policy = SmallPolicy(&pool);
  Stage stage = SmallStage("ppo_clip", 0.01);
  stage.value_model = *BuildValueModel("own(layers=3)");
  EXPECT_EQ(ValueModel::New(*policy, stage).status().message(),
            "value_model own(layers=3): the model has 2; wanted 1 to 2, or 0 for all");
}

}  // namespace
}  // namespace hone
