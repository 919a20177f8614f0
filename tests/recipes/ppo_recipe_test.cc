// Recipes of PPO: what value models, averages of the policy and the noise scale go with, and what is said where they do not.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "recipes/build.h"

namespace hone {
namespace {

constexpr char kRecipe[] = R"txt(task: "countdown"
model {
  tokenizer: "sentencepiece(model_type=char)"
  hidden_size: 32
  intermediate_size: 64
  layers: 2
  heads: 4
}
stage {
  kind: SFT
  steps: 10
  learning_rate: 1e-3
  batch_size: 8
}
stage {
  kind: RL
  steps: 10
  learning_rate: 1e-3
  prompts_per_step: 4
  samples_per_prompt: 4
  max_new_tokens: 8
  optimizer: "adamw(beta1=0.81, beta2=0.9801)"
}
)txt";

absl::StatusOr<RunOptions> Build(const std::vector<std::string>& sets) {
  const auto loaded = ParseRecipe(kRecipe, "r.textproto", sets);
  if (!loaded.ok()) return loaded.status();
  return BuildRun(*loaded);
}

std::string Message(const std::vector<std::string>& sets) { return std::string(Build(sets).status().message()); }

TEST(PpoRecipe, ValuesAndWhoTellsThemGoTogether) {
  const auto run = Build({"stage[1].advantage=gae", "stage[1].value_model=own(layers=1, warmup_steps=3)"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->stages[1].value_model.trunk, ValueTrunk::kOwn);
  EXPECT_EQ(run->stages[1].value_model.layers, 1);
  EXPECT_EQ(run->stages[1].value_model.warmup_steps, 3);
  EXPECT_TRUE(absl::StrContains(
      run->recipe_text, "value_model: \"own(layers=1, learning_rate=0, clip=0.2, loss_coef=1, warmup_steps=3)\""))
      << run->recipe_text;
  EXPECT_EQ(Message({"stage[1].advantage=gae"}),
            "--set stage[1].advantage: advantage 'gae' is computed from values; name a model that tells them: "
            "value_model: \"own\", or \"shared\"");
  EXPECT_EQ(Message({"stage[1].value_model=shared"}),
            "--set stage[1].value_model: 'value_model' is \"shared\", but advantage 'grpo' asks for no values; take "
            "gae, or leave the value model out");
  EXPECT_EQ(Message({"stage[1].advantage=gae", "stage[1].value_model=owl"}),
            "--set stage[1].value_model: no value_model 'owl'; have: none, own, shared; did you mean 'own'?");
  EXPECT_EQ(Message({"stage[0].value_model=own"}),
            "--set stage[0].value_model: 'value_model' is for stages of kind RL; this one is SFT");
}

TEST(PpoRecipe, AverageWantsALossThatTellsPoliciesApart) {
  EXPECT_EQ(Message({"stage[1].policy_ewma=ewma"}),
            "--set stage[1].policy_ewma: 'policy_ewma' makes the proximal policy another one than the policy that "
            "sampled, which loss 'ppo_clip' does not tell apart; write loss: \"decoupled_ppo\"");
  const auto run = Build({"stage[1].loss=decoupled_ppo", "stage[1].policy_ewma=ewma"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->stages[1].beta_prox, 0.889);
  EXPECT_EQ(run->stages[1].schedule.peak, 1e-3);
}

TEST(PpoRecipe, ADividedBatchGetsThePapersSettings) {
  const auto run = Build({"stage[1].loss=decoupled_ppo", "stage[1].policy_ewma=ewma(beta_prox=0.5, divide_batch=2)"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_NEAR(run->stages[1].schedule.peak, 1e-3 / 1.41421356, 1e-9);
  EXPECT_NEAR(run->stages[1].adamw.beta1, 0.9, 1e-12);
  EXPECT_NEAR(run->stages[1].adamw.beta2, 0.99, 1e-12);
  EXPECT_NEAR(run->stages[1].beta_prox, 2.0 / 3, 1e-12);  // age 1 becomes 2
}

TEST(PpoRecipe, NamedAlgorithmsBuild) {
  const auto ppo = Build({"stage[1].algorithm=ppo"});
  ASSERT_TRUE(ppo.ok()) << ppo.status();
  EXPECT_EQ(ppo->stages[1].value_model.trunk, ValueTrunk::kOwn);
  EXPECT_EQ(ppo->stages[1].epochs, 4);
  const auto ewma = Build({"stage[1].algorithm=ppo_ewma", "stage[1].minibatches=2"});
  ASSERT_TRUE(ewma.ok()) << ewma.status();
  EXPECT_EQ(ewma->stages[1].beta_prox, 0.889);
}

TEST(PpoRecipe, NoiseScaleIsMeasuredUnlessTurnedOff) {
  const auto run = Build({"stage[0].noise_scale=none"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(run->stages[0].noise_scale_decay.has_value());
  EXPECT_EQ(run->stages[1].noise_scale_decay, 0.95);
}

}  // namespace
}  // namespace hone
