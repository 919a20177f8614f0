#include "trainer/loss.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/tensor.h"
#include "recipes/build.h"
#include "tests/trainer/tensors.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

struct Result {
  std::vector<float> values, gradient, clipped;
};

Result Compute(const std::string& spec, const std::vector<float>& logprobs, const std::vector<float>& old,
               const std::vector<float>& advantages) {
  const std::unique_ptr<Loss> loss = BuildLoss(spec).value();
  const Tensor l = ToTensor(logprobs).requires_grad_(true), o = ToTensor(old), a = ToTensor(advantages);
  Tensor values, clipped;
  const std::vector<int32_t> lengths = {static_cast<int32_t>(logprobs.size())};
  loss->Compute({l, o, o, Tensor(), Tensor(), a, lengths}, {values, clipped});
  values.sum().backward();
  Result result{ToVector(values.detach()), ToVector(l.grad()), {}};
  if (clipped.defined()) result.clipped = ToVector(clipped);
  return result;
}

TEST(LossWeights, TokenMeanGivesEachTokenTheSame) {
  // 1 + 0 + 3 tokens: a quarter each.
  EXPECT_THAT(LossWeights(Aggregation::kTokenMean, {1, 0, 3}, 1), ElementsAre(0.25f, 0.25f, 0.25f, 0.25f));
}

TEST(LossWeights, SequenceMeansCountSequencesThatHaveTokens) {
  // Two sequences with tokens: 1/2 for the only token of one, 1/2 * 1/2 for each of the other's two.
  EXPECT_THAT(LossWeights(Aggregation::kSeqMeanTokenMean, {1, 0, 2}, 1), ElementsAre(0.5f, 0.25f, 0.25f));
  EXPECT_THAT(LossWeights(Aggregation::kSeqMeanTokenSum, {1, 0, 2}, 1), ElementsAre(0.5f, 0.5f, 0.5f));
  // And divided by a constant length of 8.
  EXPECT_THAT(LossWeights(Aggregation::kSeqMeanTokenSumNorm, {1, 0, 2}, 8), ElementsAre(0.0625f, 0.0625f, 0.0625f));
}

TEST(LossWeights, OneValueASampleOrAPair) {
  // Two of three samples have tokens.
  EXPECT_THAT(LossWeights(Aggregation::kSampleMean, {1, 0, 2}, 1), ElementsAre(0.5f, 0, 0.5f));
  EXPECT_THAT(LossWeights(Aggregation::kPairMean, {1, 3, 2, 1}, 1), ElementsAre(0.5f, 0.5f));
}

TEST(LossWeights, NothingWeighsNothing) {
  EXPECT_TRUE(LossWeights(Aggregation::kTokenMean, {}, 1).empty());
  EXPECT_TRUE(LossWeights(Aggregation::kSeqMeanTokenMean, {0, 0}, 1).empty());
}

TEST(PpoClip, StopsWhereTheStepHasGoneFarEnough) {
  // Ratios 2, 2, 1/2, 1/2 with range 0.8 .. 1.28. A = 1: -2 is bounded to -1.28 (clipped), -1/2 stays.
  // A = -1: 2 stays, 1/2 is raised to 0.8 (clipped). Where clipped the gradient is 0, else it is -A r.
  const float two = std::log(2.0f);
  const Result result = Compute("ppo_clip", {two, two, -two, -two}, {0, 0, 0, 0}, {1, -1, 1, -1});
  EXPECT_THAT(result.values, Pointwise(FloatNear(1e-6f), {-1.28f, 2.0f, -0.5f, 0.8f}));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-6f), {0.0f, 2.0f, -0.5f, 0.0f}));
  EXPECT_THAT(result.clipped, ElementsAre(1, 0, 0, 1));
}

TEST(PpoClip, OnPolicyItIsThePolicyGradient) {
  // r = 1: the value is -A, the gradient -A, nothing is clipped.
  const Result result = Compute("ppo_clip", {-1, -2, -3}, {-1, -2, -3}, {0.5f, -2, 0});
  EXPECT_THAT(result.values, ElementsAre(-0.5f, 2, 0));
  EXPECT_THAT(result.gradient, ElementsAre(-0.5f, 2, 0));
  EXPECT_THAT(result.clipped, ElementsAre(0, 0, 0));
}

TEST(PpoClip, DualClipBoundsUnlikelyMistakes) {
  // Ratio 8, A = -1: the loss of 8 becomes 3, without gradient. A = 1 is left alone.
  const float eight = std::log(8.0f);
  const Result result = Compute("ppo_clip(dual_clip=3)", {eight, eight}, {0, 0}, {-1, 1});
  EXPECT_THAT(result.values, Pointwise(FloatNear(1e-6f), {3.0f, -1.28f}));
  EXPECT_THAT(result.gradient, ElementsAre(0, 0));
}

TEST(PpoClip, StaysFiniteForAnyRatio) {
  const Result result = Compute("ppo_clip", {0, 0, -500, -500}, {-500, -500, 0, 0}, {1, -1, 1, -1});
  for (const float value : result.values) EXPECT_TRUE(std::isfinite(value));
  for (const float value : result.gradient) EXPECT_TRUE(std::isfinite(value));
}

TEST(Reinforce, WeighsLogProbabilities) {
  // -A l and its derivative -A.
  const Result result = Compute("reinforce", {-1, -2}, {0, 0}, {3, -0.5f});
  EXPECT_THAT(result.values, ElementsAre(3, -1));
  EXPECT_THAT(result.gradient, ElementsAre(-3, 0.5f));
  EXPECT_TRUE(result.clipped.empty());
}

// Two samples of two tokens and one, and one without any, sampled under another policy than the step began with.
struct Case {
  std::vector<float> logprobs = {}, old = {}, rollout = {}, advantages = {};
  std::vector<float> reference = {0, 0, 0}, log_sum_exp = {0, 0, 0};
  std::vector<int32_t> lengths = {2, 0, 1};
};

struct CaseResult {
  std::vector<float> values, gradient, log_sum_exp_gradient, clipped;
};

CaseResult Compute(const std::string& spec, const Case& input) {
  const std::unique_ptr<Loss> loss = BuildLoss(spec).value();
  const Tensor l = ToTensor(input.logprobs).requires_grad_(true), z = ToTensor(input.log_sum_exp).requires_grad_(true);
  Tensor values, clipped;
  loss->Compute({l, ToTensor(input.old), ToTensor(input.rollout), ToTensor(input.reference), z,
                 ToTensor(input.advantages), input.lengths},
                {values, clipped});
  values.sum().backward();
  CaseResult result{ToVector(values.detach()), ToVector(l.grad()), {}, {}};
  if (z.grad().defined()) result.log_sum_exp_gradient = ToVector(z.grad());
  if (clipped.defined()) result.clipped = ToVector(clipped);
  return result;
}

TEST(CorrectedPpo, WeighsByWhatTheStepsFirstPolicyThinksOfTheSampler) {
  // r = 1 everywhere: the clipped term is -A = -1. w = exp(o - q) = 4, 1, 1/4.
  const float four = std::log(4.0f);
  const Case input{.logprobs = {0, 0, 0}, .old = {0, 0, 0}, .rollout = {-four, 0, four}, .advantages = {1, 1, 1}};
  const auto expect = [&](const std::string& spec, const std::vector<float>& values) {
    const CaseResult result = Compute(spec, input);
    EXPECT_THAT(result.values, Pointwise(FloatNear(1e-6f), values)) << spec;
    EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-6f), values)) << spec;  // w is a constant
    EXPECT_THAT(result.clipped, ElementsAre(0, 0, 0)) << spec;
  };
  expect("tis_ppo", {-2, -1, -0.25f});
  expect("decoupled_ppo", {-4, -1, -0.25f});
  expect("decoupled_ppo(behavior_weight_cap=3)", {-3, -1, -0.25f});
  expect("icepop_ppo", {-4, -1, 0});
  expect("icepop_ppo(is_cap=3, is_low=0.2)", {0, -1, -0.25f});
}

TEST(CorrectedPpo, ClipsLikePpo) {
  // r = 2 to the proximal policy, w = 1/2 to the sampler: half of what ppo_clip says of the same numbers.
  const float two = std::log(2.0f);
  const Case input{
      .logprobs = {two, two, -two}, .old = {0, 0, 0}, .rollout = {two, two, two}, .advantages = {1, -1, 1}};
  const Result plain = Compute("ppo_clip", input.logprobs, input.old, input.advantages);
  for (const char* spec : {"tis_ppo", "icepop_ppo", "decoupled_ppo(clip_high=0.28)"}) {
    const CaseResult result = Compute(spec, input);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_FLOAT_EQ(result.values[i], plain.values[i] / 2) << spec;
      EXPECT_FLOAT_EQ(result.gradient[i], plain.gradient[i] / 2) << spec;
    }
    EXPECT_EQ(result.clipped, plain.clipped) << spec;
  }
}

TEST(Gspo, HasOneRatioAnAnswer) {
  // First answer: l - o = log 4, 0, mean log 2, s = 2 on both tokens: A = 1 is clipped to 1.28, A = -1 is not: 2, and each token has half
  // of the gradient s of both values: 2 * 2 * 1/2 = 2. Second: s = 1/2, A = 1 stays.
  const float two = std::log(2.0f);
  const auto with = [&](float advantage) {
    return Case{.logprobs = {2 * two, 0, -two},
                .old = {0, 0, 0},
                .rollout = {0, 0, 0},
                .advantages = {advantage, advantage, 1}};
  };
  const CaseResult up = Compute("gspo(clip_low=0.2, clip_high=0.28)", with(1));
  EXPECT_THAT(up.values, Pointwise(FloatNear(1e-6f), {-1.28f, -1.28f, -0.5f}));
  EXPECT_THAT(up.gradient, Pointwise(FloatNear(1e-6f), {0.0f, 0.0f, -0.5f}));
  EXPECT_THAT(up.clipped, ElementsAre(1, 1, 0));
  const CaseResult down = Compute("gspo(clip_low=0.2, clip_high=0.28)", with(-1));
  EXPECT_THAT(down.values, Pointwise(FloatNear(1e-6f), {2.0f, 2.0f, -0.5f}));
  EXPECT_THAT(down.gradient, Pointwise(FloatNear(1e-6f), {2.0f, 2.0f, -0.5f}));
  EXPECT_EQ(BuildLoss("gspo").value()->aggregation(), Aggregation::kSeqMeanTokenMean);
}

TEST(Cispo, ClipsTheWeightAndKeepsTheGradient) {
  // r = 8, 1, 1/8 with weights of at most 5 and no floor: -w A l, gradient -w A.
  const float eight = std::log(8.0f);
  const Case input{
      .logprobs = {-1, -2, -3}, .old = {-1 - eight, -2, -3 + eight}, .rollout = {0, 0, 0}, .advantages = {1, -1, 1}};
  const CaseResult result = Compute("cispo", input);
  EXPECT_THAT(result.values, Pointwise(FloatNear(1e-5f), {5.0f, -2.0f, 0.375f}));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-5f), {-5.0f, 1.0f, -0.125f}));
  EXPECT_TRUE(result.clipped.empty());
}

TEST(Dppo, LeavesOutWhatWentTooFarInItsDirection) {
  // From 0.5 to 0.75 is 0.25 > 0.2: with A = 1 left out, with A = -1 not, being on its way back: -A r = 1.5. From 0.01 to 0.04 is nothing,
  // though the ratio is 4.
  const auto log = [](float p) { return std::log(p); };
  const Case input{.logprobs = {log(0.75f), log(0.75f), log(0.04f)},
                   .old = {0, 0, 0},
                   .rollout = {log(0.5f), log(0.5f), log(0.01f)},
                   .advantages = {1, -1, 1}};
  const CaseResult result = Compute("dppo(penalty=0)", input);
  EXPECT_THAT(result.values, Pointwise(FloatNear(1e-5f), {0.0f, 1.5f, -4.0f}));
  EXPECT_THAT(result.gradient, Pointwise(FloatNear(1e-5f), {0.0f, 1.5f, -4.0f}));
  EXPECT_THAT(result.clipped, ElementsAre(1, 0, 0));
  // KL of (0.5, 0.5) to (0.75, 0.25): 0.5 log(0.5 / 0.75) + 0.5 log(0.5 / 0.25) = 0.144; of (0.01, 0.99) to (0.04, 0.96): 0.0166.
  EXPECT_THAT(Compute("dppo(penalty=0, divergence=kl)", input).clipped, ElementsAre(1, 0, 0));
  EXPECT_THAT(Compute("dppo(penalty=0, divergence=kl, high=0.15)", input).clipped, ElementsAre(0, 0, 0));
  EXPECT_THAT(Compute("dppo(penalty=0, divergence=kl, high=0.016)", input).clipped, ElementsAre(1, 0, 1));
  // The penalty also holds what is left out: x^2 with x = log 1.5.
  EXPECT_NEAR(Compute("dppo(penalty=1)", input).values[0], std::pow(std::log(1.5), 2), 1e-6);
}

TEST(Tbrm, IsTheSquaredResidualOfTheWholeAnswer) {
  // beta = 2. First answer: 2 (lse 3 + (-1 + 1.5) + (-2 + 2)) - R 4 = 3, squared 9, gradient 2 * 3 * 2 = 12 for each log-probability and
  // the first log-sum-exp. Second: 2 (1 + (-1 + 0.5)) - 2 = -1, squared 1, gradient 2 * -1 * 2 = -4. A sample without tokens: 0.
  const Case input{.logprobs = {-1, -2, -1},
                   .old = {7, 7, 7},
                   .rollout = {8, 8, 8},
                   .advantages = {4, 4, 2},
                   .reference = {-1.5f, -2, -0.5f},
                   .log_sum_exp = {3, 100, 1}};
  const CaseResult result = Compute("tbrm(beta=2)", input);
  EXPECT_THAT(result.values, ElementsAre(9, 0, 1));
  EXPECT_THAT(result.gradient, ElementsAre(12, 12, -4));
  EXPECT_THAT(result.log_sum_exp_gradient, ElementsAre(12, 0, -4));
  const auto loss = BuildLoss("tbrm").value();
  EXPECT_EQ(loss->aggregation(), Aggregation::kSampleMean);
  EXPECT_TRUE(loss->needs_reference() && loss->takes_rewards());
}

TEST(Loss, IsFiniteForAnyNumbersAndForSamplesWithoutTokens) {
  const std::vector<ComponentInfo> losses = ListComponents("loss").value();
  for (const ComponentInfo& info : losses) {
    if (BuildLoss(info.spec).value()->aggregation() == Aggregation::kPairMean) continue;
    for (const float far : {-500.0f, 500.0f}) {
      // Far from the policy before, alone and beside samples without tokens; at the end no token at all.
      const Case wide{.logprobs = {-1, -2, -3},
                      .old = {-1 + far, -2, -3 - far},
                      .rollout = {-1 - far, -2 - far, -3},
                      .advantages = {1, -1, 0}};
      const Case alone{.logprobs = {-1},
                       .old = {-1 + far},
                       .rollout = {-1},
                       .advantages = {-1},
                       .reference = {0},
                       .log_sum_exp = {0},
                       .lengths = {0, 1, 0}};
      const Case none{.reference = {}, .log_sum_exp = {}, .lengths = {0, 0}};
      for (const Case& input : {wide, alone, none}) {
        const CaseResult result = Compute(info.spec, input);
        for (const float value : result.values) EXPECT_TRUE(std::isfinite(value)) << info.spec;
        for (const float value : result.gradient) EXPECT_TRUE(std::isfinite(value)) << info.spec;
        EXPECT_EQ(result.gradient.size(), input.logprobs.size()) << info.spec;
      }
    }
  }
}

TEST(Sft, IsTheCrossEntropy) {
  const Result result = Compute("sft", {-1, -2}, {0, 0}, {0, 0});
  EXPECT_THAT(result.values, ElementsAre(1, 2));
  EXPECT_THAT(result.gradient, ElementsAre(-1, -1));
  EXPECT_EQ(BuildLoss("sft").value()->aggregation(), Aggregation::kTokenMean);
}

TEST(Loss, ReadsItsAggregation) {
  EXPECT_EQ(BuildLoss("ppo_clip").value()->aggregation(), Aggregation::kTokenMean);
  EXPECT_EQ(BuildLoss("reinforce(aggregation=seq_mean_token_sum)").value()->aggregation(),
            Aggregation::kSeqMeanTokenSum);
  const auto norm = BuildLoss("ppo_clip(aggregation=seq_mean_token_sum_norm, norm_length=64)").value();
  EXPECT_EQ(norm->aggregation(), Aggregation::kSeqMeanTokenSumNorm);
  EXPECT_EQ(norm->norm_length(), 64);
}

TEST(Loss, RefusesWrongOptions) {
  const auto error = [](const std::string& spec) { return std::string(BuildLoss(spec).status().message()); };
  EXPECT_THAT(error("ppo_clip(aggregation=mean)"), HasSubstr("'aggregation'"));
  EXPECT_THAT(error("ppo_clip(clip_low=2)"), HasSubstr("'clip_low'"));
  EXPECT_THAT(error("ppo_clip(dual_clip=0.5)"), HasSubstr("'dual_clip'"));
  EXPECT_THAT(error("reinforce(clip_low=0.2)"), HasSubstr("unknown option 'clip_low'"));
  EXPECT_THAT(error("cispo(dual_clip=3)"), HasSubstr("bounded by clip_high itself"));
  EXPECT_THAT(error("tis_ppo(dual_clip=1)"), HasSubstr("'dual_clip' is 1, wanted 0 (off) or more than 1"));
  EXPECT_THAT(error("dppo(divergence=js)"), HasSubstr("'divergence'"));
  EXPECT_THAT(error("tbrm(beta=0)"), HasSubstr("'beta'"));
  EXPECT_THAT(error("tbrm(aggregation=token_mean)"), HasSubstr("unknown option 'aggregation'"));
  EXPECT_THAT(error("sft(aggregation=token_mean)"), HasSubstr("unknown option 'aggregation'"));
}

}  // namespace
}  // namespace hone
