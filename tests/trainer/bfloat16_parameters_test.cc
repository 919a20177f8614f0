// Parameters in bfloat16 with float32 masters: the gradient is that of the rounded numbers, the step that of the exact ones.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/base/random.h"
#include "engine/generator.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "trainer/learner.h"
#include "trainer/reference.h"

namespace hone {
namespace {

using kernels::WeightType;

ModelConfig SmallConfig(bool tied) {
  ModelConfig config = TwoLayerConfig(tied);
  config.vocab_size = 37;
  config.end_tokens = {2};
  return config;
}

using Weights = std::vector<std::vector<float>>;

Weights WeightsOf(const Model& model) {
  Weights weights;
  for (const Parameter& parameter : model.parameters()) weights.push_back(PlainWeights(parameter, parameter.value));
  return weights;
}
Weights GradientsOf(const Model& model) {
  Weights gradients;
  for (const Parameter& parameter : model.parameters())
    gradients.push_back(PlainWeights(parameter, parameter.value.grad()));
  return gradients;
}
void Assign(Model& model, const Weights& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    Tensor value = model.parameters()[i].value.detach();
    AssignPlainWeights(model.parameters()[i], weights[i].data(), value);
  }
}

// To the nearest bfloat16, ties to even, as the upper half of a float.
float Rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}
Weights Rounded(Weights weights) {
  for (std::vector<float>& each : weights) {
    for (float& weight : each) weight = Rounded(weight);
  }
  return weights;
}

Stage MakeStage(WeightType type, double learning_rate) {
  Stage stage;
  stage.loss = *BuildLoss("sft");
  stage.schedule.peak = learning_rate;
  stage.parameters = type;
  return stage;
}

struct Data {
  std::vector<TokenId> prompt = {1, 5, 9, 2, 7}, first = {4, 8, 15, 16, 23, 2}, second = {3, 2};
  std::vector<TrainGroup> groups = {{&prompt, {{.tokens = &first}, {.tokens = &second}}}};
};

TEST(Bfloat16Parameters, GradientAndStepInEveryFamily) {
  ThreadPool pool(2);
  const Data data;
  for (const bool tied : {true, false}) {
    for (const auto& [name, config] : EveryFamily(SmallConfig(tied))) {
      SCOPED_TRACE(name);
      const auto exact = RandomModel(config, &pool, 3), halves = RandomModel(config, &pool, 3);
      Weights masters = WeightsOf(*exact);
      const Stage measure = MakeStage(WeightType::kFloat32, 0), stage = MakeStage(WeightType::kBfloat16, 1e-3);
      Learner rounded(halves.get(), stage);
      EXPECT_EQ(WeightsOf(*halves), Rounded(masters));
      const UpdateStats stats = rounded.Update(data.groups, 0);
      // The gradient, at the rounded numbers in float32.
      Assign(*exact, Rounded(masters));
      const UpdateStats expected = Learner(exact.get(), measure).Update(data.groups, 0);
      EXPECT_EQ(stats.loss, expected.loss);
      EXPECT_EQ(stats.grad_norm, expected.grad_norm);
      EXPECT_EQ(GradientsOf(*halves), GradientsOf(*exact));
      // The step, from the exact ones; the gradient has been clipped in place.
      Assign(*exact, masters);
      AdamW(&pool, exact->TrainedParameters()).Step({}, 1e-3, 1);
      masters = WeightsOf(*exact);
      EXPECT_EQ(WeightsOf(*halves), Rounded(masters));
      ASSERT_TRUE(rounded.Save("state.safetensors").ok());
      const auto file = SafetensorsFile::Open("state.safetensors");
      ASSERT_TRUE(file.ok()) << file.status();
      for (size_t i = 0; i < masters.size(); ++i) {
        const Parameter& parameter = exact->parameters()[i];
        EXPECT_EQ(*file->Read("master." + parameter.name, parameter.shape), masters[i]) << parameter.name;
      }
    }
  }
}

TEST(Bfloat16Parameters, StepsBelowTheRoundingAddUp) {
  ThreadPool pool(1);
  const Data data;
  const auto model = RandomModel(SmallConfig(true), &pool, 3);
  const Stage stage = MakeStage(WeightType::kBfloat16, 1e-5);  // 1/256 of a weight of 0.3 is 1e-3
  Learner learner(model.get(), stage);
  const Weights before = WeightsOf(*model);
  const auto moved = [&] {
    size_t count = 0;
    const Weights now = WeightsOf(*model);
    for (size_t i = 0; i < now.size(); ++i) {
      for (size_t j = 0; j < now[i].size(); ++j) count += now[i][j] != before[i][j] ? 1 : 0;
    }
    return static_cast<double>(count) / static_cast<double>(model->parameter_count());
  };
  const double first = learner.Update(data.groups, 0).loss;
  const double after_one = moved();
  double last = first;
  for (int i = 0; i < 100; ++i) last = learner.Update(data.groups, 0).loss;
  EXPECT_GT(moved(), 5 * after_one);
  EXPECT_LT(last, first);
}

TEST(Bfloat16Parameters, OnPolicyTheTrainerHasTheGeneratorsBits) {
  ThreadPool pool(2);
  const auto model = RandomModel(SmallConfig(true), &pool, 3);
  Stage stage = MakeStage(WeightType::kBfloat16, 1e-2);
  stage.loss = *BuildLoss("reinforce");
  Learner learner(model.get(), stage);
  Generator generator(model.get(), nullptr, GeneratorLimits{});
  Prompt prompt;
  prompt.tokens = {1, 5, 9, 2, 7};
  const GenerationRequest request{&prompt, 6};
  for (int step = 0; step < 3; ++step) {
    GenerationOptions options;
    options.max_new_tokens = 12;
    options.seed = 4 + step;
    std::vector<Sample> samples;
    ASSERT_TRUE(generator.Run({&request, 1}, options, [&](size_t, Sample s) { samples.push_back(std::move(s)); }).ok());
    TrainGroup group{&prompt.tokens, {}};
    std::vector<std::vector<float>> advantages;
    for (size_t i = 0; i < samples.size(); ++i) advantages.emplace_back(samples[i].tokens.size(), i % 2 == 0 ? 1 : -1);
    for (size_t i = 0; i < samples.size(); ++i)
      group.samples.push_back({.tokens = &samples[i].tokens,
                               .logprobs = &samples[i].logprobs,
                               .advantages = &advantages[i],
                               .policy_version = step});
    const UpdateStats stats = learner.Update({&group, 1}, step);
    ASSERT_TRUE(stats.mismatch.has_value());
    EXPECT_EQ(*stats.mismatch, 0);
    EXPECT_TRUE(stats.applied);
  }
}

// What a checkpoint holds is enough: the rounded weights, and the state. Stages follow each other in every order.
TEST(Bfloat16Parameters, ResumesAndFollowsOtherStages) {
  ThreadPool pool(1);
  const Data data;
  const Stage halves = MakeStage(WeightType::kBfloat16, 1e-3), floats = MakeStage(WeightType::kFloat32, 1e-3);
  const auto model = RandomModel(SmallConfig(true), &pool, 3), resumed = RandomModel(SmallConfig(true), &pool, 4);
  auto learner = std::make_unique<Learner>(model.get(), halves);
  for (int i = 0; i < 3; ++i) learner->Update(data.groups, 0);
  ASSERT_TRUE(learner->Save("half.safetensors").ok());
  Assign(*resumed, WeightsOf(*model));
  auto other = std::make_unique<Learner>(resumed.get(), halves);
  ASSERT_TRUE(other->Load("half.safetensors", learner->optimizer_steps()).ok());
  for (int i = 0; i < 3; ++i) {
    learner->Update(data.groups, 0);
    other->Update(data.groups, 0);
    EXPECT_EQ(WeightsOf(*model), WeightsOf(*resumed));
  }
  // The next stage begins with the policy as it is, the rounded numbers, in this process or after a resume.
  for (const Stage* next : {&halves, &floats, &halves, &halves}) {
    const auto fresh = RandomModel(SmallConfig(true), &pool, 5);
    Assign(*fresh, WeightsOf(*model));
    learner = std::make_unique<Learner>(model.get(), *next);
    Learner begun(fresh.get(), *next);
    for (int i = 0; i < 3; ++i) {
      learner->Update(data.groups, 0);
      begun.Update(data.groups, 0);
      EXPECT_EQ(WeightsOf(*model), WeightsOf(*fresh));
    }
  }
}

// The reference of a stage has the policy's rounded numbers, taken from it or, after a resume, from what the stage began with.
TEST(Bfloat16Parameters, TheReferenceIsRoundedToo) {
  ThreadPool pool(1);
  const Data data;
  const auto policy = std::move(NewModel(SmallConfig(true), &pool)).value();
  InitializeWeights(*policy, 8);
  const Weights began = Rounded(WeightsOf(*policy));
  const Stage stage = MakeStage(WeightType::kBfloat16, 1e-2);
  Learner learner(policy.get(), stage);
  const auto fresh = ReferencePolicy::New({ReferenceKind::kStart}, *policy, nullptr);
  learner.Update(data.groups, 0);
  const StageStart start{"", 8, "nowhere"};
  const auto resumed = ReferencePolicy::New({ReferenceKind::kStart}, *policy, &start);
  ASSERT_TRUE(fresh.ok() && resumed.ok());
  EXPECT_EQ(WeightsOf((*fresh)->model()), began);
  EXPECT_EQ(WeightsOf((*resumed)->model()), began);
  EXPECT_NE(WeightsOf(*policy), began);
  // An average keeps what bfloat16 would round away.
  const auto average = ReferencePolicy::New({ReferenceKind::kEma, "", 0.999}, *policy, nullptr);
  const Weights before = WeightsOf((*average)->model());
  learner.Update(data.groups, 0);
  (*average)->Follow(*policy);
  const Weights now = WeightsOf(*policy), after = WeightsOf((*average)->model());
  for (size_t i = 0; i < now.size(); ++i) {
    for (size_t j = 0; j < now[i].size(); ++j)
      ASSERT_NEAR(after[i][j] - before[i][j], 0.001 * (now[i][j] - before[i][j]), 4e-7) << i << " " << j;
  }
}

TEST(Bfloat16Parameters, BesideAdaptersTheBaseIsRoundedAndTheyAreNot) {
  ThreadPool pool(1);
  const Data data;
  const auto model = RandomModel(SmallConfig(true), &pool, 3);
  const Weights base = WeightsOf(*model);
  AttachLora(*model, *BuildLora("lora(rank=2, targets=all-linear)"), "base", 1);
  const Stage stage = MakeStage(WeightType::kBfloat16, 1e-2);
  Learner learner(model.get(), stage);
  const double first = learner.Update(data.groups, 0).loss;
  double last = first;
  for (int i = 0; i < 10; ++i) last = learner.Update(data.groups, 0).loss;
  EXPECT_LT(last, 0.9 * first);
  for (size_t i = 0; i < base.size(); ++i) {
    const Parameter& parameter = model->parameters()[i];
    const bool matrix = parameter.layout == WeightLayout::kPacked;
    const std::vector<float> expected = matrix ? Rounded(Weights{base[i]})[0] : base[i];
    EXPECT_EQ(PlainWeights(parameter, parameter.value), expected) << parameter.name;
  }
  for (const Parameter& parameter : model->adapter()->parameters) EXPECT_EQ(parameter.value.scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace hone
