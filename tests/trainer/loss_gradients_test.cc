// Every loss of the menu through a whole model: its gradient is the derivative of its value, and does not depend on how the batch is
// split, ordered or packed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/finite_differences.h"
#include "trainer/learner.h"

namespace hone {
namespace {

constexpr uint32_t kVocabulary = 23;
constexpr int kSamples = 4;  // of each prompt: two pairs

// Three prompts with four answers each, of 1 .. 9 tokens, the first of one token. They were sampled, and are referred to, under policies
// within a ratio of e of the model's own.
class Data {
 public:
  explicit Data(const Model& model) {
    RandomSequence random(5, RandomStream::kTask, 1);
    const auto tokens = [&](uint32_t length) {
      std::vector<TokenId> list;
      for (uint32_t i = 0; i < length; ++i) list.push_back(static_cast<TokenId>(random.Below(kVocabulary)));
      return list;
    };
    std::vector<uint32_t> lengths = {1};
    while (lengths.size() < 3 * kSamples) lengths.push_back(1 + random.Below(9));
    for (const uint32_t length : {3u, 16u, 21u}) {
      prompts_.push_back(tokens(length));
      for (int j = 0; j < kSamples; ++j) answers_.push_back(tokens(lengths[answers_.size()]));
    }
    const std::vector<float> logprobs = ScoreGroups(model, Groups(), 1 << 20);
    const float* next = logprobs.data();
    for (const std::vector<TokenId>& answer : answers_) {
      rollout_.emplace_back(next, next + answer.size());
      reference_.emplace_back(next, next + answer.size());
      for (float& value : rollout_.back()) value += static_cast<float>(2 * random.Uniform() - 1);
      for (float& value : reference_.back()) value += static_cast<float>(2 * random.Uniform() - 1);
      advantages_.emplace_back(answer.size(), static_cast<float>(random.Normal()));
      next += answer.size();
    }
  }

  std::vector<TrainGroup> Groups() const {
    std::vector<TrainGroup> groups;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      groups.push_back({&prompts_[i], {}});
      for (size_t j = kSamples * i; j < kSamples * (i + 1); ++j) {
        TrainSample sample{.tokens = &answers_[j], .policy_version = -1};
        if (!rollout_.empty()) {
          sample.logprobs = &rollout_[j];
          sample.reference = &reference_[j];
          sample.advantages = &advantages_[j];
        }
        groups.back().samples.push_back(sample);
      }
    }
    return groups;
  }

 private:
  std::vector<std::vector<TokenId>> prompts_, answers_;
  std::vector<std::vector<float>> rollout_, reference_, advantages_;
};

Stage MakeStage(const std::string& loss) {
  Stage stage;
  stage.loss = *BuildLoss(loss);
  stage.max_grad_norm = 0;
  return stage;  // the learning rate is 0: Update measures and changes nothing
}

using Gradient = std::vector<std::vector<float>>;  // of each parameter, unpacked

Gradient GradientOf(Model& model, const std::vector<TrainGroup>& groups, const Stage& stage) {
  Learner learner(&model, stage);
  learner.Update(groups, 0);
  Gradient gradient;
  for (const Parameter& parameter : model.parameters())
    gradient.push_back(PlainWeights(parameter, parameter.value.grad()));
  return gradient;
}

// |a - b| / |b|
double RelativeDifference(const Gradient& a, const Gradient& b) {
  double difference = 0, norm = 0;
  for (size_t p = 0; p < b.size(); ++p) {
    for (size_t i = 0; i < b[p].size(); ++i) {
      difference += std::pow(double{a[p][i]} - b[p][i], 2);
      norm += std::pow(double{b[p][i]}, 2);
    }
  }
  EXPECT_GT(norm, 0);
  return std::sqrt(difference / norm);
}

std::vector<std::string> EveryLoss() {
  std::vector<std::string> names;
  const std::vector<ComponentInfo> losses = ListComponents("loss").value();
  for (const ComponentInfo& info : losses) names.push_back(info.name);
  return names;
}

// A loss whose value moves with what its gradient takes as constant is looked at where that does not move.
std::string ForDifferences(const std::string& loss) {
  const std::map<std::string, std::string> still = {{"cispo", "cispo(clip_low=0, clip_high=0)"}};
  const auto found = still.find(loss);
  return found == still.end() ? loss : found->second;
}

// Each parameter's gradient along a random direction is the difference of the loss along it.
void ExpectDifferences(Model& model, const std::vector<TrainGroup>& groups, const Stage& stage) {
  const Gradient gradient = GradientOf(model, groups, stage);
  RandomSequence random(9, RandomStream::kOrder, 0);
  Learner learner(&model, stage);
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    Parameter& parameter = model.parameters()[p];
    const DirectionalSlope slope =
        SlopeAlong(parameter, gradient[p], 2e-3, random, [&] { return learner.Update(groups, 0).loss; });
    EXPECT_NEAR(slope.measured, slope.expected,
                0.02 * std::abs(slope.expected) + 4e-7 * std::max(slope.size, 1.0) / slope.h)
        << parameter.name;
  }
}

TEST(LossGradient, MatchesFiniteDifferencesThroughTheWholeModel) {
  ThreadPool pool(1);  // what is as small as this waits for other threads most of the time
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const Data data(*model);
  const std::vector<TrainGroup> groups = data.Groups();
  for (const std::string& name : EveryLoss()) {
    SCOPED_TRACE(name);
    ExpectDifferences(*model, groups, MakeStage(ForDifferences(name)));
  }
}

TEST(LossGradient, OfKlAndEntropyTermsMatchesFiniteDifferences) {
  ThreadPool pool(1);
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const Data data(*model);
  const auto stage_with = [](const std::string& kl, double entropy_coef) {
    Stage stage = MakeStage("reinforce(aggregation=seq_mean_token_mean)");
    stage.kl = *BuildKl(kl);
    stage.entropy_coef = entropy_coef;
    return stage;
  };
  const Gradient without = GradientOf(*model, data.Groups(), stage_with("none", 0));
  for (const auto& [kl, entropy_coef] :
       std::vector<std::pair<std::string, double>>{{"k1(coef=2)", 2}, {"k2(coef=2)", 0}, {"k3(coef=2)", 0}}) {
    SCOPED_TRACE(absl::StrCat(kl, ", entropy ", entropy_coef));
    const Stage stage = stage_with(kl, entropy_coef);
    ExpectDifferences(*model, data.Groups(), stage);
    EXPECT_GT(RelativeDifference(GradientOf(*model, data.Groups(), stage), without), 0.05);
  }
  // In the reward it is none of the loss's business.
  EXPECT_EQ(GradientOf(*model, data.Groups(), stage_with("k3(coef=2, place=reward)", 0)), without);
}

TEST(LossGradient, DoesNotDependOnSplitOrderOrPacking) {
  ThreadPool pool(2);
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const Data data(*model);
  const std::vector<TrainGroup> groups = data.Groups();
  for (const std::string& name : EveryLoss()) {
    SCOPED_TRACE(name);
    const Stage stage = MakeStage(name);
    Stage split = MakeStage(name);
    split.microbatch_tokens = 20;
    // What a loss sees together stays together.
    const size_t together = stage.loss->aggregation() == Aggregation::kPairMean ? 2 : 1;
    std::vector<TrainGroup> reversed(groups.rbegin(), groups.rend()), singles, turned = groups;
    for (TrainGroup& group : turned) std::rotate(group.samples.begin(), group.samples.begin() + 2, group.samples.end());
    for (const TrainGroup& group : groups) {
      for (size_t i = 0; i < group.samples.size(); i += together) {
        singles.push_back({group.prompt,
                           {group.samples.begin() + static_cast<int64_t>(i),
                            group.samples.begin() + static_cast<int64_t>(i + together)}});
      }
    }
    const Gradient expected = GradientOf(*model, groups, stage);
    EXPECT_LT(RelativeDifference(GradientOf(*model, groups, split), expected), 1e-6) << "split";
    EXPECT_LT(RelativeDifference(GradientOf(*model, reversed, stage), expected), 1e-6) << "groups reversed";
    EXPECT_LT(RelativeDifference(GradientOf(*model, turned, stage), expected), 1e-6) << "samples in another order";
    EXPECT_LT(RelativeDifference(GradientOf(*model, singles, stage), expected), 1e-6) << "prompts not shared";
    EXPECT_LT(RelativeDifference(GradientOf(*model, singles, split), expected), 1e-6) << "not shared and split";
  }
}

// A group of one answer of one token, which is where means over others, or over tokens, divide by zero.
TEST(LossGradient, IsFiniteForOneSampleOfOneToken) {
  ThreadPool pool(1);
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const Data data(*model);
  for (const std::string& name : EveryLoss()) {
    const Stage stage = MakeStage(name);
    std::vector<TrainGroup> one = {data.Groups()[0]};
    ASSERT_EQ(one[0].samples[0].tokens->size(), 1u);
    one[0].samples.resize(stage.loss->aggregation() == Aggregation::kPairMean ? 2 : 1);
    Learner learner(model.get(), stage);
    const UpdateStats stats = learner.Update(one, 0);
    EXPECT_TRUE(stats.applied && std::isfinite(stats.loss)) << name;
  }
}

// Inside its bounds, the gradient of cispo is that of the plain ratio.
TEST(LossGradient, CispoInsideItsBoundsIsTheRatiosGradient) {
  ThreadPool pool(2);
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const Data data(*model);
  const Gradient weighed = GradientOf(*model, data.Groups(), MakeStage("cispo(clip_low=1, clip_high=1000)"));
  const Gradient ratio = GradientOf(*model, data.Groups(), MakeStage("ppo_clip(clip_low=1, clip_high=1000)"));
  EXPECT_LT(RelativeDifference(weighed, ratio), 1e-6);
}

}  // namespace
}  // namespace hone
