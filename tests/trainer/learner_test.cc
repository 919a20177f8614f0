// The learner against arithmetic that nobody here wrote twice: finite differences of the loss through the whole model, and a batch
// whose split, order and packing must not matter.
#include "trainer/learner.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/finite_differences.h"

namespace hone {
namespace {

struct Data {
  std::vector<std::vector<TokenId>> prompts, answers;
  std::vector<std::vector<float>> old;
  std::vector<std::vector<float>> advantages;

  // Three prompts with three answers each; answers of 1 .. 9 tokens, prompts around a page of 16.
  static Data Make() {
    Data data;
    RandomSequence random(5, RandomStream::kTask, 1);
    const auto tokens = [&](uint32_t length) {
      std::vector<TokenId> list;
      for (uint32_t i = 0; i < length; ++i) list.push_back(static_cast<TokenId>(random.Below(23)));
      return list;
    };
    for (const uint32_t length : {3u, 16u, 21u}) {
      data.prompts.push_back(tokens(length));
      for (int j = 0; j < 3; ++j) {
        data.answers.push_back(tokens(1 + random.Below(9)));
        data.old.push_back({});
        for (size_t i = 0; i < data.answers.back().size(); ++i)
          data.old.back().push_back(static_cast<float>(-1 - 3 * random.Uniform()));
        data.advantages.emplace_back(data.answers.back().size(), static_cast<float>(random.Normal()));
      }
    }
    return data;
  }

  std::vector<TrainGroup> Groups() const {
    std::vector<TrainGroup> groups;
    for (size_t i = 0; i < prompts.size(); ++i) {
      groups.push_back({&prompts[i], {}});
      for (size_t j = 3 * i; j < 3 * i + 3; ++j)
        groups.back().samples.push_back(
            {.tokens = &answers[j], .logprobs = &old[j], .advantages = &advantages[j], .policy_version = -1});
    }
    return groups;
  }
};

Stage MakeStage(const std::string& loss, double learning_rate) {
  Stage stage;
  stage.loss = *BuildLoss(loss);
  stage.schedule.peak = learning_rate;
  stage.max_grad_norm = 0;
  return stage;
}

// The gradient that one update leaves in the parameters, unpacked.
std::vector<std::vector<float>> GradientOf(Model& model, const std::vector<TrainGroup>& groups, const Stage& stage) {
  Learner learner(&model, stage);
  learner.Update(groups, 0);
  std::vector<std::vector<float>> gradients;
  for (const Parameter& parameter : model.parameters())
    gradients.push_back(PlainWeights(parameter, parameter.value.grad()));
  return gradients;
}

// Every parameter's gradient along a random direction.
void ExpectDifferences(const ModelConfig& config, const std::string& loss) {
  ThreadPool pool(2);
  const auto model = RandomModel(config, &pool, 3);
  const Data data = Data::Make();
  const std::vector<TrainGroup> groups = data.Groups();
  const Stage stage = MakeStage(loss, 0);  // learning rate 0: Update measures and changes nothing
  const auto gradients = GradientOf(*model, groups, stage);
  RandomSequence random(9, RandomStream::kOrder, 0);
  Learner learner(model.get(), stage);
  for (size_t p = 0; p < model->parameters().size(); ++p) {
    Parameter& parameter = model->parameters()[p];
    const DirectionalSlope slope =
        SlopeAlong(parameter, gradients[p], 2e-3, random, [&] { return learner.Update(groups, 0).loss; });
    EXPECT_NEAR(slope.measured, slope.expected, 0.02 * std::abs(slope.expected) + 4e-7 / slope.h) << parameter.name;
  }
}

TEST(Gradient, MatchesFiniteDifferencesThroughTheWholeModel) {
  for (const char* loss : {"sft", "reinforce", "ppo_clip(clip_low=0.9, clip_high=1000)"}) {
    for (const bool tied : {true, false}) {
      SCOPED_TRACE(absl::StrCat(loss, tied ? ", tied" : ", untied"));
      ExpectDifferences(TwoLayerConfig(tied), loss);
    }
  }
}

TEST(Gradient, OfEveryFamily) {
  for (const auto& [name, config] : EveryFamily(TwoLayerConfig())) {
    SCOPED_TRACE(name);
    ExpectDifferences(config, "sft");
  }
}

TEST(Learner, GradientDoesNotDependOnSplitOrderOrPacking) {
  ThreadPool pool(2);
  const auto model = NewLlama(TwoLayerConfig(), &pool);
  InitializeWeights(*model, 3);
  const Data data = Data::Make();
  std::vector<TrainGroup> groups = data.Groups(), reversed(groups.rbegin(), groups.rend()), singles;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) singles.push_back({group.prompt, {sample}});
  }
  for (const char* aggregation :
       {"token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm, norm_length=9"}) {
    Stage stage = MakeStage(absl::StrCat("ppo_clip(aggregation=", aggregation, ")"), 0),
          split = MakeStage(absl::StrCat("ppo_clip(aggregation=", aggregation, ")"), 0);
    split.microbatch_tokens = 20;
    const auto expected = GradientOf(*model, groups, stage);
    for (const auto& [name, gradients] : {std::pair{"split", GradientOf(*model, groups, split)},
                                          {"reversed", GradientOf(*model, reversed, stage)},
                                          {"prompts not shared", GradientOf(*model, singles, stage)}}) {
      double difference = 0, norm = 0;
      for (size_t p = 0; p < expected.size(); ++p) {
        for (size_t i = 0; i < expected[p].size(); ++i) {
          difference += std::pow(double{gradients[p][i]} - expected[p][i], 2);
          norm += std::pow(double{expected[p][i]}, 2);
        }
      }
      EXPECT_GT(norm, 0);
      EXPECT_LT(std::sqrt(difference / norm), 1e-6) << aggregation << ", " << name;
    }
  }
}

TEST(Learner, OneAdamWStepIsTheFormula) {
  ThreadPool pool(1);
  const auto model = NewLlama(TwoLayerConfig(), &pool);
  InitializeWeights(*model, 3);
  const Data data = Data::Make();
  Stage stage = MakeStage("sft", 0.01);
  stage.adamw = {0.9, 0.95, 1e-8, 0.1};
  stage.max_grad_norm = 0.5;
  std::vector<std::vector<float>> before;
  for (const Parameter& parameter : model->parameters()) before.push_back(PlainWeights(parameter, parameter.value));
  const auto gradients = GradientOf(*model, data.Groups(), MakeStage("sft", 0));
  const UpdateStats stats = Learner(model.get(), stage).Update(data.Groups(), 0);
  ASSERT_GT(stats.grad_norm, 0.5);
  // First step: m / (1 - beta1) = g and v / (1 - beta2) = g^2, so w <- w (1 - lr * decay) - lr g / (|g| + epsilon), g after clipping.
  for (size_t p = 0; p < before.size(); ++p) {
    const std::vector<float> after = PlainWeights(model->parameters()[p], model->parameters()[p].value);
    for (size_t i = 0; i < after.size(); ++i) {
      const double g = gradients[p][i] * 0.5 / stats.grad_norm;
      const double expected = before[p][i] * (1 - 0.01 * 0.1) - 0.01 * g / (std::abs(g) + 1e-8);
      ASSERT_NEAR(after[i], expected, 2e-5) << model->parameters()[p].name << " " << i;
    }
  }
}

TEST(Learner, MismatchIsMeasuredOnlyOnPolicy) {
  ThreadPool pool(1);
  const auto model = NewLlama(TwoLayerConfig(), &pool);
  InitializeWeights(*model, 3);
  const Data data = Data::Make();
  const Stage stage = MakeStage("ppo_clip", 0);
  EXPECT_FALSE(Learner(model.get(), stage).Update(data.Groups(), 0).mismatch.has_value());
  // Version -1 is the samples' own: the invented old log-probabilities are far from the model's.
  const auto mismatch = Learner(model.get(), stage).Update(data.Groups(), -1).mismatch;
  ASSERT_TRUE(mismatch.has_value());
  EXPECT_GT(*mismatch, 0.1);
}

}  // namespace
}  // namespace hone
