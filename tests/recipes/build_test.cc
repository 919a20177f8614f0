#include "recipes/build.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/match.h"

namespace hone {
namespace {

constexpr char kShort[] = R"txt(
  task: "countdown(numbers=2)"
  model {
    tokenizer: "sentencepiece"
    hidden_size: 64 intermediate_size: 128 layers: 2 heads: 4
  }
  stage { kind: SFT steps: 10 learning_rate: 0.004 batch_size: 8 }
  stage { kind: RL steps: 5 learning_rate: 3e-4 prompts_per_step: 4 samples_per_prompt: 2 max_new_tokens: 16 minibatches: 2 }
)txt";

absl::StatusOr<RunOptions> BuildText(absl::string_view text, const std::vector<std::string>& sets = {}) {
  HONE_ASSIGN_OR_RETURN(const LoadedRecipe loaded, ParseRecipe(text, "folder/my run.textproto", sets));
  return BuildRun(loaded);
}

TEST(BuildRunTest, FillsEveryDefault) {
  const auto run = BuildText(kShort);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->name, "my_run");
  EXPECT_EQ(run->seed, 1u);
  EXPECT_GE(run->threads, 1);
  EXPECT_EQ(run->model.path, "");
  EXPECT_EQ(run->model.family, "llama");
  EXPECT_EQ(run->model.heads, 4);
  EXPECT_EQ(run->model.kv_heads, 4);
  EXPECT_EQ(run->model.max_position_embeddings, 256);
  EXPECT_EQ(run->model.rope_theta, 10000);
  EXPECT_TRUE(run->model.tie_word_embeddings);
  EXPECT_EQ(run->model.initializer_std, 0.125);  // 1 / sqrt(64)
  EXPECT_NE(run->task, nullptr);
  EXPECT_NE(run->verifier, nullptr);

  ASSERT_EQ(run->stages.size(), 2u);
  const Stage& sft = run->stages[0];
  EXPECT_EQ(sft.kind, StageKind::kSft);
  EXPECT_EQ(sft.name, "sft");
  EXPECT_EQ(sft.batch_size, 8);
  EXPECT_EQ(sft.schedule.shape, ScheduleShape::kConstant);
  EXPECT_EQ(sft.schedule.peak, 0.004);
  EXPECT_EQ(sft.schedule.total_steps, 10);
  EXPECT_EQ(sft.adamw.beta1, 0.9);
  EXPECT_EQ(sft.adamw.beta2, 0.95);
  EXPECT_EQ(sft.adamw.epsilon, 1e-8);
  EXPECT_EQ(sft.adamw.weight_decay, 0);
  EXPECT_EQ(sft.max_grad_norm, 1);
  EXPECT_FALSE(sft.activation_checkpointing);
  EXPECT_EQ(sft.parameters, kernels::WeightType::kFloat32);
  EXPECT_NE(sft.loss, nullptr);
  EXPECT_EQ(sft.advantage, nullptr);

  const Stage& rl = run->stages[1];
  EXPECT_EQ(rl.kind, StageKind::kRl);
  EXPECT_EQ(rl.name, "rl");
  EXPECT_EQ(rl.steps, 5);
  EXPECT_EQ(rl.schedule.total_steps, 10);  // 5 rollout steps of 2 mini-batches
  EXPECT_EQ(rl.prompts_per_step, 4);
  EXPECT_EQ(rl.samples_per_prompt, 2);
  EXPECT_EQ(rl.max_new_tokens, 16);
  EXPECT_EQ(rl.temperature, 1);
  EXPECT_NE(rl.advantage, nullptr);
  EXPECT_EQ(rl.checkpoint_every, 0);
  EXPECT_EQ(rl.evaluate_every, 0);

  EXPECT_EQ(run->evaluation.prompts, 500);
  EXPECT_EQ(run->evaluation.samples, 1);
  EXPECT_EQ(run->evaluation.temperature, 1);
  EXPECT_EQ(run->evaluation.max_new_tokens, 16);  // the RL stage's
}

TEST(BuildRunTest, OverridesReachEveryType) {
  const auto run =
      BuildText(kShort, {"seed=18446744073709551615", "name=other", "model.tie_word_embeddings=false", "threads=3",
                         "model.rope_theta=1e6", "stage[1].advantage=dr_grpo", "stage[sft].name=warm-up",
                         "stage[warm-up].steps=7", "stage[rl].schedule=cosine(warmup_steps=2, final=0.1)",
                         "stage[0].optimizer=adamw(weight_decay=0.1)", "evaluation.temperature=0", "seed=9"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->seed, 9u);  // the last one
  EXPECT_EQ(run->name, "other");
  EXPECT_EQ(run->threads, 3);
  EXPECT_FALSE(run->model.tie_word_embeddings);
  EXPECT_EQ(run->model.rope_theta, 1e6);
  EXPECT_EQ(run->stages[0].name, "warm-up");
  EXPECT_EQ(run->stages[0].steps, 7);
  EXPECT_EQ(run->stages[0].adamw.weight_decay, 0.1);
  EXPECT_EQ(run->stages[1].schedule.shape, ScheduleShape::kCosine);
  EXPECT_EQ(run->stages[1].schedule.warmup_steps, 2);
  EXPECT_EQ(run->stages[1].schedule.final_fraction, 0.1);
  EXPECT_EQ(run->evaluation.temperature, 0);
  EXPECT_TRUE(absl::StrContains(run->recipe_text, "advantage: \"dr_grpo\"")) << run->recipe_text;
}

TEST(BuildRunTest, AnExistingModelBringsItsSizes) {
  const auto run = BuildText(R"(task: "countdown" model { path: "runs/a/checkpoints/step_10" }
      stage { kind: SFT steps: 1 learning_rate: 1e-3 batch_size: 2 })");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->model.path, "runs/a/checkpoints/step_10");
  EXPECT_EQ(run->model.tokenizer, "");
  EXPECT_EQ(run->evaluation.max_new_tokens, 256);  // no RL stage says it
  EXPECT_FALSE(absl::StrContains(run->recipe_text, "hidden_size"));
}

TEST(BuildRunTest, WhatTheLearnerHolds) {
  const auto run = BuildText(R"txt(task: "countdown" model { path: "base" lora: "lora(rank=8)" }
      stage { kind: SFT steps: 1 learning_rate: 1e-3 batch_size: 2 activation_checkpointing: true }
      stage { kind: SFT name: "b" steps: 1 learning_rate: 1e-3 batch_size: 2 parameters: "bfloat16" })txt");
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_TRUE(run->model.lora.has_value());
  EXPECT_EQ(run->model.lora->rank, 8);
  EXPECT_TRUE(
      absl::StrContains(run->recipe_text, "lora(rank=8, alpha=32, targets=q_proj+v_proj, rank_stabilized=false)"))
      << run->recipe_text;
  EXPECT_TRUE(run->stages[0].activation_checkpointing);
  EXPECT_EQ(run->stages[1].parameters, kernels::WeightType::kBfloat16);
  EXPECT_FALSE(run->stages[1].activation_checkpointing);
}

// A run keeps this text, and resumes from it.
TEST(BuildRunTest, ResolvedTextIsAFixedPoint) {
  for (const char* seed : {"seed=1", "seed=12345678901234567890"}) {
    const auto run =
        BuildText(kShort, {seed, "stage[1].learning_rate=0.1234567890123456789", "model.initializer_std=1e-3"});
    ASSERT_TRUE(run.ok()) << run.status();
    const auto loaded = ParseRecipe(run->recipe_text, "recipe.textproto", {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const auto again = BuildRun(*loaded);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->recipe_text, run->recipe_text);
    EXPECT_EQ(again->name, run->name);
    EXPECT_EQ(again->seed, run->seed);
    EXPECT_EQ(again->threads, run->threads);
    EXPECT_EQ(again->model.tokenizer, run->model.tokenizer);
    EXPECT_EQ(again->model.initializer_std, run->model.initializer_std);
    EXPECT_EQ(again->stages[1].schedule.peak, run->stages[1].schedule.peak);
  }
}

TEST(BuildRunTest, ResolvedTextSaysEverything) {
  const auto run = BuildText(kShort);
  ASSERT_TRUE(run.ok()) << run.status();
  // Of the fields of a new model, an SFT stage, an RL stage and the evaluation, only `path` is not there.
  for (const char* line : {"name: \"my_run\"",
                           "seed: 1",
                           "threads: 0",
                           "  kv_heads: 4",
                           "  initializer_std: 0.125",
                           "verifier: \"countdown(after=\\\"\\\")\"",
                           "  optimizer: \"adamw(beta1=0.9, beta2=0.95, epsilon=1e-08, weight_decay=0)\"",
                           "  schedule: \"constant(warmup_steps=0)\"",
                           "  max_grad_norm: 1",
                           "  microbatch_tokens: 16384",
                           "  activation_checkpointing: false",
                           "  parameters: \"float32\"",
                           "  checkpoint_every: 0",
                           "  evaluate_every: 0",
                           "  temperature: 1",
                           "  advantage: \"grpo(std_normalize=false, epsilon=1e-06)\"",
                           "  minibatches: 2",
                           "  prompts: 500",
                           "  samples: 1",
                           "  max_new_tokens: 16"}) {
    EXPECT_TRUE(absl::StrContains(run->recipe_text, absl::StrCat("\n", line, "\n"))) << line << "\n"
                                                                                     << run->recipe_text;
  }
}

// The errors about types find a field by its name alone.
TEST(RecipeSchemaTest, FieldsOfOneNameHaveOneType) {
  std::ifstream schema(std::string(std::getenv("HONE_SOURCE")) + "/recipes/recipe.proto");
  const std::regex field("^  (optional|repeated) (\\w+) (\\w+) = .*");
  std::map<std::string, std::string> types;
  std::smatch match;
  for (std::string line; std::getline(schema, line);) {
    if (!std::regex_match(line, match, field)) continue;
    const auto [entry, is_new] = types.emplace(match[3], match[2]);
    EXPECT_EQ(entry->second, match[2]) << match[3];
  }
  EXPECT_GE(types.size(), 30u);
}

TEST(ComponentsTest, EveryComponentIsListedWithPaperAndBuildsFromItsDefaults) {
  const auto list = ListComponents("");
  ASSERT_TRUE(list.ok()) << list.status();
  std::set<std::string> names;
  // Those with an option that nobody can choose for the user, and what they say without it.
  const std::map<std::string, std::string> insist = {
      {"draft_model", "path=DIR"},        {"reward_model", "path=DIR"},
      {"jsonl", "needs an option path="}, {"regex", "needs an option pattern="},
      {"length", "needs an option max="}, {"sum", "needs verifiers"},
      {"by_domain", "needs domains"},     {"batch", "needs the verifier"},
      {"batched", "needs the task"},      {"model", "path=DIR"}};
  for (const ComponentInfo& info : *list) {
    EXPECT_TRUE(names.insert(info.slot + " " + info.name).second) << info.name;
    EXPECT_TRUE(absl::StartsWith(info.paper, "https://")) << info.name;
    EXPECT_FALSE(info.description.empty()) << info.name;
    EXPECT_FALSE(absl::StrContains(info.description, "http")) << info.description;
    // The defaults that are shown are in range, and are what the bare name gives.
    std::string resolved;
    absl::Status status;
    if (info.slot == "task") status = BuildTask(info.spec, &resolved).status();
    if (info.slot == "verifier") status = BuildVerifier(info.spec, &resolved).status();
    if (info.slot == "advantage") status = BuildAdvantage(info.spec, &resolved).status();
    if (info.slot == "kl") status = BuildKl(info.spec, &resolved).status();
    if (info.slot == "reference") status = BuildReference(info.spec, &resolved).status();
    if (info.slot == "drafter") status = BuildDrafter(info.spec, &resolved).status();
    if (const auto wanted = insist.find(info.name); wanted != insist.end()) {
      EXPECT_TRUE(absl::StrContains(status.message(), wanted->second)) << info.name << ": " << status;
      continue;
    }
    if (info.name == "process" || info.name == "plugin") {  // need the user's program
      EXPECT_TRUE(absl::StrContains(status.message(), info.name + ": needs")) << status;
      continue;
    }
    if (info.slot == "loss") status = BuildLoss(info.spec, &resolved).status();
    if (info.slot == "curriculum") status = BuildCurriculum(info.spec, &resolved).status();
    if (info.slot == "shaper") status = BuildShaper(info.spec, &resolved).status();
    if (info.slot == "gate") status = BuildGate(info.spec, &resolved).status();
    if (info.slot == "composer") status = BuildComposer(info.spec, &resolved).status();
    if (info.slot == "pairs") status = BuildPairs(info.spec, &resolved).status();
    if (info.slot == "keep_above") status = BuildKeepAbove(info.spec, &resolved).status();
    if (info.slot == "lora") status = BuildLora(info.spec, &resolved).status();
    if (info.slot == "optimizer") status = BuildOptimizer(info.spec, &resolved).status();
    if (info.slot == "schedule") status = BuildSchedule(info.spec, 1, 10, &resolved).status();
    if (info.slot == "value_model") status = BuildValueModel(info.spec, &resolved).status();
    if (info.slot == "policy_ewma") status = BuildPolicyEwma(info.spec, &resolved).status();
    if (info.slot == "noise_scale") status = BuildNoiseScale(info.spec, &resolved).status();
    if (info.slot == "tokenizer") status = CheckTokenizer(info.spec, &resolved);
    if (info.slot == "model") status = CheckModelFamily(resolved = info.spec);
    EXPECT_TRUE(status.ok()) << status;
    if (info.slot == "algorithm") continue;  // algorithms_test builds them
    EXPECT_EQ(resolved, info.spec);
  }
  for (const char* name :
       {"task countdown", "verifier countdown", "model llama", "tokenizer sentencepiece", "drafter history",
        "advantage grpo", "lora lora", "loss ppo_clip", "optimizer adamw", "schedule cosine"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(ComponentsTest, SlotsByName) {
  const auto list = ListComponents("schedule");
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[2].name, "cosine");
  EXPECT_EQ((*list)[2].spec, "cosine(warmup_steps=0, final=0)");
  EXPECT_EQ((*list)[2].description, "Linear rise, then half a cosine down to final * peak");
  EXPECT_EQ((*list)[2].paper, "https://arxiv.org/abs/1608.03983");
  const auto losses = ListComponents("loss");
  ASSERT_TRUE(losses.ok());
  EXPECT_EQ((*losses)[0].description, "Clipped probability ratio; upper bound apart");
  EXPECT_EQ((*losses)[0].paper, "https://arxiv.org/abs/1707.06347, https://arxiv.org/abs/2503.14476");
  EXPECT_EQ(ListComponents("advantages").status().message(),
            "no slot 'advantages'; have: task, verifier, model, lora, tokenizer, drafter, curriculum, shaper, gate, "
            "composer, advantage, value_model, loss, pairs, keep_above, "
            "policy_ewma, kl, reference, optimizer, schedule, noise_scale, algorithm; did you mean 'advantage'?");
}

}  // namespace
}  // namespace hone
