// Losses over pairs by hand. tests/trainer/loss_gradients_test.cc takes them through a model, as all of the menu.
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/tensors.h"
#include "trainer/learner.h"
#include "trainer/mismatched_kl.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

struct Result {
  std::vector<float> values, gradient;
  std::vector<double> rewards;
};

// One pair: the better answer has the first two tokens, the worse one the third.
Result OnePair(const std::string& spec, const std::vector<float>& logprobs, const std::vector<float>& reference,
               const std::vector<float>& win_rates = {1, 1, 0}, double mismatched_kl = 0) {
  const std::unique_ptr<Loss> loss = BuildLoss(spec).value();
  EXPECT_EQ(loss->aggregation(), Aggregation::kPairMean);
  const Tensor l = ToTensor(logprobs).requires_grad_(true), f = ToTensor(reference), a = ToTensor(win_rates);
  const std::vector<int32_t> lengths = {2, 1};
  Tensor values, clipped, rewards;
  loss->Compute({l, f, f, f, Tensor(), a, lengths, mismatched_kl}, {values, clipped, &rewards});
  values.sum().backward();
  EXPECT_FALSE(clipped.defined());
  EXPECT_EQ(values.numel(), 1);
  Result result{{values.item<float>()}, {}, {}};
  result.gradient.assign(l.grad().const_data_ptr<float>(), l.grad().const_data_ptr<float>() + 3);
  result.rewards.assign(rewards.const_data_ptr<double>(), rewards.const_data_ptr<double>() + 2);
  return result;
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Log-ratios: (-1 - -2) + (-1 - -3) = 3 for the better answer, -4 - -3 = -1 for the worse; D = 4.
const std::vector<float> kLogprobs = {-1, -1, -4}, kReference = {-2, -3, -3};

TEST(Dpo, IsTheLogisticLossOfTheMargin) {
  // beta D = 0.4: the gradient -beta sigmoid(-0.4) on the better answer's tokens, its opposite on the worse one's.
  const Result result = OnePair("dpo", kLogprobs, kReference);
  EXPECT_THAT(result.values, ElementsAre(FloatNear(static_cast<float>(-std::log(Sigmoid(0.4))), 1e-6f)));
  const auto slope = static_cast<float>(0.1 * Sigmoid(-0.4));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-7f), {-slope, -slope, slope}));
  EXPECT_THAT(result.rewards, Pointwise(DoubleNear(1e-7), {0.3, -0.1}));
}

TEST(Dpo, ThatHasNotMovedKnowsNothing) {
  // log 2, whatever the answers are; no rounding moves the margin from 0.
  const Result result = OnePair("dpo", {-0.1f, -7.3f, -123.4f}, {-0.1f, -7.3f, -123.4f});
  EXPECT_THAT(result.values, ElementsAre(static_cast<float>(std::log(2.0))));
  EXPECT_THAT(result.rewards, ElementsAre(0, 0));
}

TEST(Dpo, SmoothingWeighsTheOppositeLabel) {
  const Result result = OnePair("dpo(label_smoothing=0.25)", kLogprobs, kReference);
  const double want = -0.75 * std::log(Sigmoid(0.4)) - 0.25 * std::log(Sigmoid(-0.4));
  EXPECT_THAT(result.values, ElementsAre(FloatNear(static_cast<float>(want), 1e-6f)));
}

TEST(Dpo, StaysFiniteForAnyMargin) {
  const Result result = OnePair("dpo(beta=1)", {-5000, -5000, 0}, {0, 0, -5000});
  EXPECT_THAT(result.values, ElementsAre(15000));
  EXPECT_THAT(result.gradient, ElementsAre(-1, -1, 1));
}

TEST(Ipo, IsTheDistanceOfMeanRatiosFromTheMargin) {
  // 3 / 2 - (-1) / 1 - 1 / (2 * 0.5) = 1.5: its square, and 2 * 1.5 on each of two tokens of weight 1/2.
  const Result result = OnePair("ipo(beta=0.5)", kLogprobs, kReference);
  EXPECT_THAT(result.values, ElementsAre(FloatNear(2.25f, 1e-6f)));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-6f), {1.5f, 1.5f, -3.0f}));
}

TEST(Simpo, ComparesMeansWithoutReference) {
  // beta (-1 - -4) - gamma = 2 * 3 - 0.5 = 5.5, whatever the reference.
  const Result result = OnePair("simpo", kLogprobs, {0, 0, 0});
  EXPECT_THAT(result.values, ElementsAre(FloatNear(static_cast<float>(-std::log(Sigmoid(5.5))), 1e-6f)));
  EXPECT_FALSE(BuildLoss("simpo").value()->needs_reference());
  EXPECT_TRUE(BuildLoss("dpo").value()->needs_reference());
}

TEST(Hinge, EndsAtTheMargin) {
  EXPECT_THAT(OnePair("hinge", kLogprobs, kReference).values, ElementsAre(FloatNear(0.6f, 1e-6f)));
  const Result far = OnePair("hinge(beta=1)", kLogprobs, kReference);
  EXPECT_THAT(far.values, ElementsAre(0));
  EXPECT_THAT(far.gradient, ElementsAre(0, 0, 0));
}

TEST(Kto, ComparesEachAnswerWithTheDivergence) {
  // (1 - sigmoid(0.1 (3 - 0.5)) + 2 (1 - sigmoid(0.1 (0.5 - -1)))) / 2, with a fixed divergence and with an estimated one.
  const double want = (1 - Sigmoid(0.25) + 2 * (1 - Sigmoid(0.15))) / 2;
  EXPECT_THAT(OnePair("kto(kl=0.5, worse_weight=2)", kLogprobs, kReference, {1, 1, 0}, 7).values,
              ElementsAre(FloatNear(static_cast<float>(want), 1e-6f)));
  EXPECT_THAT(OnePair("kto(worse_weight=2)", kLogprobs, kReference, {1, 1, 0}, 0.5).values,
              ElementsAre(FloatNear(static_cast<float>(want), 1e-6f)));
  EXPECT_TRUE(BuildLoss("kto").value()->needs_mismatched_kl());
  EXPECT_FALSE(BuildLoss("kto(kl=0)").value()->needs_mismatched_kl());
}

TEST(Dno, LearnsTheChanceToWin) {
  // Win rates 0.75 and 0.25: the label is sigmoid(0.5). The policy that sampled stands where the others have a reference.
  const double p = Sigmoid(0.5);
  const Result result = OnePair("dno", kLogprobs, kReference, {0.75f, 0.75f, 0.25f});
  EXPECT_THAT(result.values,
              ElementsAre(FloatNear(static_cast<float>(-p * std::log(Sigmoid(0.4)) - (1 - p) * std::log(Sigmoid(-0.4))),
                                    1e-6f)));
  const auto slope = static_cast<float>(0.1 * (Sigmoid(0.4) - p));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-7f), {slope, slope, -slope}));
  // Hard labels: DPO against the policy that sampled.
  EXPECT_EQ(OnePair("dno(labels=hard)", kLogprobs, kReference).values, OnePair("dpo", kLogprobs, kReference).values);
}

TEST(PreferenceLoss, RefusesWrongOptions) {
  const auto error = [](const std::string& spec) { return std::string(BuildLoss(spec).status().message()); };
  EXPECT_THAT(error("dpo(label_smoothing=0.5)"), HasSubstr("'label_smoothing'"));
  EXPECT_THAT(error("dpo(beta=0)"), HasSubstr("'beta'"));
  EXPECT_THAT(error("ipo(label_smoothing=0.1)"), HasSubstr("unknown option 'label_smoothing'"));
  EXPECT_THAT(error("kto(kl=many)"), HasSubstr("kto: option 'kl' is 'many', wanted mismatched or a number from 0 on"));
  EXPECT_THAT(error("kto(kl=nan)"), HasSubstr("option 'kl' is 'nan'"));
  EXPECT_THAT(error("dno(labels=soft)"), HasSubstr("'labels'"));
}

TEST(PreferenceStats, CountsAsTrlDoes) {
  // Rewards (2, 1), (0, 0), (-1, 3): one right of three, a tie is not; margins 1, 0, -4.
  Tensor rewards = at::empty({6}, at::kDouble);
  const std::vector<double> values = {2, 1, 0, 0, -1, 3};
  std::copy(values.begin(), values.end(), rewards.mutable_data_ptr<double>());
  PreferenceStats stats;
  stats.Add(rewards);
  Metrics metrics;
  stats.AddTo(metrics);
  EXPECT_DOUBLE_EQ(*metrics.Find("preference/accuracy"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(*metrics.Find("preference/margin"), -1);
  EXPECT_DOUBLE_EQ(*metrics.Find("preference/reward_chosen"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(*metrics.Find("preference/reward_rejected"), 4.0 / 3);
  Metrics none;
  PreferenceStats().AddTo(none);
  EXPECT_EQ(none.ToJson(), "{}");
}

// ---- Through the model -------------------------------------------------------------------------------------------

TEST(PreferenceBatch, APairSharesItsPromptsRows) {
  ThreadPool pool(1);
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const std::vector<TokenId> prompt(21, 4), other(3, 5), better = {1, 2, 3}, worse = {1, 2, 9, 8, 7}, single = {6};
  const auto reference = [](const std::vector<TokenId>& tokens) { return std::vector<float>(tokens.size(), -2); };
  const std::vector<float> f3 = reference(better), f5 = reference(worse), f1 = reference(single);
  const TrainSample a{.tokens = &better, .reference = &f3}, b{.tokens = &worse, .reference = &f5},
      c{.tokens = &single, .reference = &f1};
  Stage stage;
  stage.loss = *BuildLoss("dpo");
  stage.schedule.peak = 0;
  const UpdateStats stats =
      Learner(model.get(), stage).Update(std::vector<TrainGroup>{{&prompt, {a, b, a, c}}, {&other, {c, b}}}, 0);
  // Each prompt once, and of each answer all tokens but the last.
  EXPECT_EQ(stats.rows, 21 + 2 + 4 + 2 + 0 + 3 + 0 + 4);
  EXPECT_EQ(stats.preference.pairs, 3);
}

// ---- The divergence on other prompts' answers --------------------------------------------------------------------

TEST(MismatchedKl, TakesTheAnswersOfTheGroupBefore) {
  const std::vector<TokenId> p0 = {1}, p1 = {2, 2}, p2 = {3};
  const std::vector<TokenId> a0 = {10}, b0 = {11, 11}, a1 = {12, 12, 12}, b1 = {13}, a2 = {14, 14}, b2 = {15};
  const std::vector<TrainGroup> groups = {{&p0, {{.tokens = &a0}, {.tokens = &b0}}},
                                          {&p1, {{.tokens = &a1}, {.tokens = &b1}}},
                                          {&p2, {{.tokens = &a2}, {.tokens = &b2}}}};
  // Three positions: behind p1 is room for one token of b0.
  std::vector<std::vector<TokenId>> seen;
  const auto policy = [&](std::span<const TrainGroup> scored) {
    std::vector<float> logprobs;
    for (const TrainGroup& group : scored) {
      for (const TrainSample& sample : group.samples) {
        seen.push_back(*group.prompt);
        seen.back().insert(seen.back().end(), sample.tokens->begin(), sample.tokens->end());
        logprobs.insert(logprobs.end(), sample.tokens->size(), -1.0f);
      }
    }
    return logprobs;
  };
  const auto reference = [](std::span<const TrainGroup> scored) {
    std::vector<float> logprobs;
    for (const TrainGroup& group : scored) {
      for (const TrainSample& sample : group.samples) logprobs.insert(logprobs.end(), sample.tokens->size(), -3.0f);
    }
    return logprobs;
  };
  // 2 nats a token, 2 + 1 + 1 + 1 + 2 + 1 tokens, 6 answers.
  EXPECT_DOUBLE_EQ(MismatchedKl(groups, 3, policy, reference), 2.0 * 8 / 6);
  EXPECT_THAT(seen, ElementsAre(ElementsAre(1, 14, 14), ElementsAre(1, 15), ElementsAre(2, 2, 10),
                                ElementsAre(2, 2, 11), ElementsAre(3, 12, 12), ElementsAre(3, 13)));
  EXPECT_EQ(MismatchedKl(groups, 3, reference, policy), 0);  // a divergence is never negative
  EXPECT_EQ(MismatchedKl(std::span(groups).first(1), 3, policy, reference), 0);
}

}  // namespace
}  // namespace hone
