// Low-rank adapters: one forward pass with them too, gradients for them alone, the base a switch away, and files as PEFT has them.
#include "engine/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/base/file.h"
#include "engine/base/random.h"
#include "engine/generator.h"
#include "engine/peft.h"
#include "engine/safetensors.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/finite_differences.h"
#include "trainer/batch.h"
#include "trainer/learner.h"
#include "trainer/reference.h"

namespace hone {
namespace {

using testing::HasSubstr;

constexpr char kBase[] = "the/base";

LoraOptions Options(const std::string& spec) { return *BuildLora(spec); }

// B too is random, as after some training.
void AttachRandom(Model& model, const std::string& spec) {
  AttachLora(model, Options(spec), kBase, 5);
  uint64_t index = 0;
  for (Parameter& parameter : model.adapter()->parameters) {
    RandomSequence random(6, RandomStream::kTask, index++);
    std::vector<float> plain = PlainWeights(parameter, parameter.value);
    for (float& weight : plain) weight += static_cast<float>(0.1 * random.Normal());
    Tensor value = parameter.value.detach();
    AssignPlainWeights(parameter, plain.data(), value);
  }
}

struct Data {
  std::vector<TokenId> prompt, answers[3];
  std::vector<TrainGroup> groups;

  Data() {
    RandomSequence random(4, RandomStream::kTask, 0);
    for (int i = 0; i < 19; ++i) prompt.push_back(static_cast<TokenId>(random.Below(37)));
    groups = {{&prompt, {}}};
    for (auto& answer : answers) {
      for (uint32_t i = 0; i < 3 + random.Below(9); ++i) answer.push_back(static_cast<TokenId>(random.Below(37)));
      groups[0].samples.push_back({.tokens = &answer});
    }
  }
};

std::vector<float> Scores(const Model& model, const Data& data) { return ScoreGroups(model, data.groups, 1 << 20); }

double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  return largest;
}

class Lora : public testing::TestWithParam<std::pair<std::string, ModelConfig>> {};

INSTANTIATE_TEST_SUITE_P(Families, Lora, testing::ValuesIn(EveryFamily(WideConfig())),
                         [](const auto& info) { return info.param.first; });

TEST_P(Lora, GeneratorAndTrainerHaveTheSameBits) {
  ThreadPool pool(2);
  const auto model = RandomModel(GetParam().second, &pool, 7);
  AttachRandom(*model, "lora(rank=5, alpha=7, targets=all-linear)");
  std::vector<Prompt> prompts(4);
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].key = i;
    for (size_t j = 0; j < 1 + 15 * i; ++j) prompts[i].tokens.push_back(static_cast<TokenId>((3 * i + 5 * j) % 37));
    requests.push_back({&prompts[i], 3});
  }
  GenerationOptions options;
  options.max_new_tokens = 20;
  options.seed = 11;
  std::vector<Sample> samples(12);
  Generator generator(model.get(), nullptr, GeneratorLimits{});
  ASSERT_TRUE(generator
                  .Run(requests, options,
                       [&](size_t request, Sample sample) { samples[3 * request + sample.index] = std::move(sample); })
                  .ok());
  std::vector<TrainGroup> groups;
  std::vector<float> sampled;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (i % 3 == 0) groups.push_back({&prompts[i / 3].tokens, {}});
    groups.back().samples.push_back({.tokens = &samples[i].tokens});
    sampled.insert(sampled.end(), samples[i].logprobs.begin(), samples[i].logprobs.end());
  }
  EXPECT_EQ(ScoreGroups(*model, groups, 1 << 20), sampled);
  EXPECT_EQ(ScoreGroups(*model, groups, 50), sampled);
}

TEST_P(Lora, TheBaseIsASwitchAway) {
  ThreadPool pool(1);
  const auto base = RandomModel(GetParam().second, &pool, 7), model = RandomModel(GetParam().second, &pool, 7);
  const Data data;
  const std::vector<float> expected = Scores(*base, data);
  AttachLora(*model, Options("lora"), kBase, 5);
  EXPECT_EQ(Scores(*model, data), expected) << "B begins at zero";
  model->Detach();
  AttachRandom(*model, "lora(targets=all-linear)");
  const std::vector<float> adapted = Scores(*model, data);
  EXPECT_GT(Distance(adapted, expected), 0.01);
  {
    const WithoutAdapter without(model.get());
    EXPECT_EQ(Scores(*model, data), expected);
  }
  EXPECT_EQ(Scores(*model, data), adapted);
}

TEST_P(Lora, TheReferenceIsTheBaseAlsoOfAStageThatBeginsLater) {
  ThreadPool pool(1);
  const auto base = RandomModel(GetParam().second, &pool, 7), model = RandomModel(GetParam().second, &pool, 7);
  const Data data;
  const std::vector<float> expected = Scores(*base, data);
  AttachRandom(*model, "lora(targets=all-linear)");
  const StageStart start{"no/folder", 1, "no/checkpoint"};  // a resume needs neither
  for (const StageStart* from : {static_cast<const StageStart*>(nullptr), &start}) {
    const auto reference = ReferencePolicy::New({ReferenceKind::kStart}, *model, from);
    ASSERT_TRUE(reference.ok()) << reference.status();
    EXPECT_EQ(&(*reference)->model(), model.get()) << "no second copy";
    std::vector<float> scores;
    for (const std::vector<float>& each : (*reference)->Score(data.groups, 64))
      scores.insert(scores.end(), each.begin(), each.end());
    EXPECT_EQ(scores, expected);
    EXPECT_NE(Scores(*model, data), expected);
  }
}

TEST_P(Lora, MergedWeightsSayTheSame) {
  ThreadPool pool(2);
  const auto model = RandomModel(GetParam().second, &pool, 7);
  AttachRandom(*model, "lora(rank=3, alpha=9, targets=all-linear)");
  const Data data;
  const std::vector<float> adapted = Scores(*model, data);
  // W + 9/3 B A, in double.
  const Adapter& adapter = *model->adapter();
  std::vector<std::vector<double>> expected;
  for (size_t i = 0; i < adapter.places.size(); ++i) {
    const Parameter& w = model->parameters()[i];
    const std::vector<float> plain = PlainWeights(w, w.value);
    expected.emplace_back(plain.begin(), plain.end());
    if (adapter.places[i] < 0) continue;
    const Parameter &a = adapter.parameters[adapter.places[i]], &b = adapter.parameters[adapter.places[i] + 1];
    const std::vector<float> down = PlainWeights(a, a.value), up = PlainWeights(b, b.value);
    for (int64_t out = 0; out < w.shape[0]; ++out) {
      for (int64_t in = 0; in < w.shape[1]; ++in) {
        for (int r = 0; r < 3; ++r)
          expected.back()[out * w.shape[1] + in] += 3.0 * up[out * 3 + r] * down[r * w.shape[1] + in];
      }
    }
  }
  MergeLora(*model);
  EXPECT_EQ(model->adapter(), nullptr);
  for (size_t i = 0; i < expected.size(); ++i) {
    const Parameter& w = model->parameters()[i];
    const std::vector<float> plain = PlainWeights(w, w.value);
    for (size_t j = 0; j < plain.size(); ++j) ASSERT_NEAR(plain[j], expected[i][j], 1e-6) << w.name << " " << j;
  }
  EXPECT_LT(Distance(Scores(*model, data), adapted), 2e-4);
}

Stage MakeStage(double learning_rate) {
  Stage stage;
  stage.loss = *BuildLoss("sft");
  stage.schedule.peak = learning_rate;
  stage.max_grad_norm = 0;
  return stage;
}

TEST_P(Lora, GradientMatchesFiniteDifferences) {
  ThreadPool pool(2);
  const auto model = RandomModel(GetParam().second, &pool, 7);
  AttachRandom(*model, "lora(rank=4, alpha=6, targets=all-linear)");
  const Data data;
  const Stage stage = MakeStage(0);
  Learner learner(model.get(), stage);
  learner.Update(data.groups, 0);
  RandomSequence random(9, RandomStream::kOrder, 0);
  for (Parameter& parameter : model->adapter()->parameters) {
    const std::vector<float> gradient = PlainWeights(parameter, parameter.value.grad());
    const DirectionalSlope slope =
        SlopeAlong(parameter, gradient, 2e-3, random, [&] { return learner.Update(data.groups, 0).loss; });
    EXPECT_NEAR(slope.measured, slope.expected, 0.02 * std::abs(slope.expected) + 1.5e-6 / slope.h) << parameter.name;
  }
}

TEST(LoraLearner, OnlyAdaptersLearn) {
  ThreadPool pool(1);
  const auto model = RandomModel(WideConfig(), &pool, 7);
  std::vector<std::vector<float>> before;
  for (const Parameter& parameter : model->parameters()) before.push_back(PlainWeights(parameter, parameter.value));
  AttachLora(*model, Options("lora(rank=2, targets=q_proj+down_proj)"), kBase, 5);
  EXPECT_EQ(model->TrainedParameters().size(), 8u);  // A and B of two matrices in two layers
  const Data data;
  const Stage stage = MakeStage(0.02);
  Learner learner(model.get(), stage);
  const double first = learner.Update(data.groups, 0).loss;
  double last = first;
  for (int i = 0; i < 20; ++i) last = learner.Update(data.groups, 0).loss;
  EXPECT_LT(last, 0.8 * first);
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& parameter = model->parameters()[i];
    EXPECT_EQ(PlainWeights(parameter, parameter.value), before[i]) << parameter.name;
    EXPECT_FALSE(parameter.value.grad().defined()) << parameter.name;
  }
  // The optimizer's state is the adapters' alone.
  ASSERT_TRUE(learner.Save("optimizer.safetensors").ok());
  EXPECT_EQ(SafetensorsFile::Open("optimizer.safetensors")->names().size(), 16u);
}

TEST(LoraOptions, DefaultsTargetsAndErrors) {
  std::string resolved;
  const LoraOptions options = *BuildLora("lora", &resolved);
  EXPECT_EQ(resolved, "lora(rank=16, alpha=32, targets=q_proj+v_proj, rank_stabilized=false)");
  EXPECT_EQ(options.targets, (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(options.scale(), 2);
  EXPECT_EQ(Options("lora(rank=16, alpha=12, rank_stabilized=true)").scale(), 3);  // 12 / sqrt(16)
  EXPECT_EQ(Options("lora(targets=down_proj+q_proj)").targets, (std::vector<std::string>{"q_proj", "down_proj"}));
  EXPECT_EQ(Options("lora(targets=all-linear)").targets, LoraTargets());
  EXPECT_EQ(
      BuildLora("lora(targets=q_proj+v_prj)").status().message(),
      "lora: no target 'v_prj'; have: all-linear, or some of q_proj+k_proj+v_proj+o_proj+gate_proj+up_proj+down_proj; "
      "did you mean 'v_proj'?");
  EXPECT_THAT(std::string(BuildLora("lora(r=8)").status().message()), HasSubstr("unknown option 'r'"));
  EXPECT_THAT(std::string(BuildLora("lora(rank=0)").status().message()), HasSubstr("rank"));
}

TEST(LoraOptions, CountsWhatItAdds) {
  ThreadPool pool(1);
  for (const auto& [name, config] : EveryFamily(WideConfig())) {
    for (const char* spec : {"lora(rank=3)", "lora(rank=2, targets=all-linear)", "lora(targets=k_proj+down_proj)"}) {
      const auto model = RandomModel(config, &pool, 1);
      AttachLora(*model, Options(spec), kBase, 5);
      int64_t count = 0;
      for (const Parameter& parameter : model->adapter()->parameters) count += parameter.shape[0] * parameter.shape[1];
      EXPECT_EQ(LoraParameterCount(config, Options(spec)), count) << name << " " << spec;
    }
  }
}

// PEFT's documented names: base_model.model. + the module's name in the model + .lora_A.weight [r, in] and .lora_B.weight [out, r].
TEST(PeftFiles, NamesShapesAndTheWayBack) {
  ThreadPool pool(1);
  const auto model = RandomModel(WideConfig(), &pool, 7), other = RandomModel(WideConfig(), &pool, 7);
  AttachRandom(*model, "lora(rank=3, alpha=1.5, targets=v_proj+down_proj)");
  ASSERT_TRUE(MakeFolder("adapter").ok());
  ASSERT_TRUE(SaveAdapter(*model->adapter(), "adapter").ok());
  const auto file = SafetensorsFile::Open("adapter/adapter_model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->names().size(), 8u);
  const std::string layer = "base_model.model.model.layers.1.";
  EXPECT_TRUE(file->CheckShape(layer + "self_attn.v_proj.lora_A.weight", {3, 48}).ok());
  EXPECT_TRUE(file->CheckShape(layer + "self_attn.v_proj.lora_B.weight", {24, 3}).ok());
  EXPECT_TRUE(file->CheckShape(layer + "mlp.down_proj.lora_A.weight", {3, 72}).ok());
  EXPECT_TRUE(file->CheckShape(layer + "mlp.down_proj.lora_B.weight", {48, 3}).ok());

  std::filesystem::create_directories(kBase);
  const auto config = ReadPeftConfig("adapter");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->base, kBase);
  EXPECT_EQ(config->lora.alpha, 1.5);
  EXPECT_EQ(config->lora.targets, (std::vector<std::string>{"v_proj", "down_proj"}));
  AttachLora(*other, config->lora, config->base, 99);
  ASSERT_TRUE(FillAdapter("adapter", *other).ok());
  const Data data;
  EXPECT_EQ(Scores(*other, data), Scores(*model, data));

  // Of other modules: refused by name.
  const auto third = RandomModel(WideConfig(), &pool, 7), fourth = RandomModel(WideConfig(), &pool, 7);
  AttachLora(*third, Options("lora(rank=3)"), kBase, 1);
  EXPECT_THAT(std::string(FillAdapter("adapter", *third).message()), HasSubstr("q_proj.lora_A.weight"));
  AttachLora(*fourth, Options("lora(rank=3, targets=v_proj)"), kBase, 1);
  EXPECT_THAT(std::string(FillAdapter("adapter", *fourth).message()), HasSubstr("has no place"));
}

TEST(PeftFiles, WhatWouldChangeTheArithmeticIsRefused) {
  ASSERT_TRUE(MakeFolder("refused").ok());
  std::filesystem::create_directories(kBase);
  const auto read = [](const std::string& changed) {
    const std::string text = R"({"peft_type": "LORA", "base_model_name_or_path": "the/base", "bias": "none", "r": 8,
        "lora_alpha": 16, "target_modules": ["q_proj"], "modules_to_save": null, "rank_pattern": {}, "use_dora": false)";
    EXPECT_TRUE(WriteFile("refused/adapter_config.json", text + changed + "}").ok());
    return std::string(ReadPeftConfig("refused").status().message());
  };
  EXPECT_EQ(read(R"(, "lora_dropout": 0.1, "peft_version": "0.21.2", "megatron_core": "megatron.core")"), "");
  EXPECT_EQ(read(R"(, "use_dora": true)"),
            "refused/adapter_config.json: 'use_dora' is not supported; it would change what the adapter computes");
  EXPECT_THAT(read(R"(, "rank_pattern": {"q_proj": 4})"), HasSubstr("'rank_pattern' is not supported"));
  EXPECT_THAT(read(R"(, "bias": "all")"), HasSubstr("'bias' is \"all\", wanted \"none\""));
  EXPECT_THAT(read(R"(, "peft_type": "IA3")"), HasSubstr("'peft_type'"));
  EXPECT_THAT(read(R"(, "target_modules": ".*proj")"), HasSubstr("'target_modules' is \".*proj\""));
  EXPECT_EQ(read(R"(, "target_modules": "all-linear")"), "");
  EXPECT_EQ(read(R"(, "target_modules": ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"])"), "");
  EXPECT_THAT(read(R"(, "r": 0)"), HasSubstr("'r' is 0"));
  EXPECT_THAT(read(R"(, "base_model_name_or_path": "meta-llama/nowhere")"), HasSubstr("is no folder here"));
}

}  // namespace
}  // namespace hone
