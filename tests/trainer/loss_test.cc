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

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

Tensor ToTensor(const std::vector<float>& values) {
  Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
  return tensor;
}

std::vector<float> ToVector(const Tensor& tensor) {
  const Tensor floats = tensor.to(at::kFloat).contiguous();
  return {floats.const_data_ptr<float>(), floats.const_data_ptr<float>() + floats.numel()};
}

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
  EXPECT_THAT(error("sft(aggregation=token_mean)"), HasSubstr("unknown option 'aggregation'"));
}

}  // namespace
}  // namespace hone
