// Parts that are fine alone and wrong together, each with its whole line.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "recipes/build.h"
#include "tools/arguments.h"

namespace hone {
namespace {

constexpr char kRecipe[] = R"txt(task: "countdown(numbers=2)"
model { tokenizer: "sentencepiece" hidden_size: 64 intermediate_size: 128 layers: 2 heads: 4 }
stage {
  kind: RL steps: 5 learning_rate: 3e-4 prompts_per_step: 4 samples_per_prompt: 2 max_new_tokens: 16
}
)txt";

std::string LineOf(const std::vector<std::string>& sets) {
  std::vector<std::string> paths;
  for (const std::string& set : sets) paths.push_back(absl::StrCat("stage[0].", set));
  const auto loaded = ParseRecipe(kRecipe, "r.textproto", paths);
  if (!loaded.ok()) return ReportLine(loaded.status());
  const auto run = BuildRun(*loaded);
  return run.ok() ? "OK" : ReportLine(run.status());
}

struct Case {
  std::vector<std::string> sets;
  std::string line;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    const std::string line = LineOf(each.sets);
    EXPECT_EQ(line, each.line == "OK" ? "OK" : absl::StrCat("hone: ", each.line));
    EXPECT_LE(line.size(), 400u);
  }
}

TEST(CombinationsTest, Reference) {
  Check(
      {{{"kl=k3"}, "OK"},
       {{"kl=k3", "reference=ema"}, "OK"},
       {{"reference=start"}, "OK"},  // measured, and without a price
       {{"kl=k3", "reference=none"},
        "--set stage[0].reference: 'reference' is \"none\", but kl 'k3' compares the policy with one; write \"start\", "
        "\"model(path=DIR)\" or \"ema\", or leave it out"},
       {{"kl=k3(coef=0)", "reference=none"}, "OK"},
       {{"reference=model"}, "--set stage[0].reference: model: needs an option path=DIR, the folder of the reference"},
       {{"reference=emma"},
        "--set stage[0].reference: no reference 'emma'; have: ema, model, none, start; did you mean 'ema'?"},
       {{"kl=k1(coef=0, target=6)"},
        "--set stage[0].kl: k1: 'target' 6 is reached by multiplying 'coef', which is 0 and stays 0; give it a start, "
        "such as coef=0.001"}});
}

TEST(CombinationsTest, KlInTheReward) {
  Check({{{"kl=k1(place=reward)"}, "OK"},
         {{"kl=k1(place=reward)", "advantage=max_rl"},
          "--set stage[0].kl: 'kl' lowers rewards, but advantage 'max_rl' divides by a group's mean reward, which may "
          "then be negative; write place=loss, or take another advantage"}});
}

TEST(CombinationsTest, SamplesTwiceUsed) {
  Check(
      {{{"epochs=2"}, "OK"},
       {{"loss=reinforce"}, "OK"},
       {{"loss=reinforce", "epochs=2"},
        "--set stage[0].epochs: 'epochs' is 2, but loss 'reinforce' is right for the policy's own samples only, which "
        "they are no longer in the second pass; write epochs: 1, or loss: \"ppo_clip\""}});
}

TEST(CombinationsTest, LossesOfWholeAnswers) {
  Check(
      {{{"loss=gspo"}, "OK"},
       {{"loss=gspo(aggregation=token_mean)"},
        "--set stage[0].loss: gspo: aggregation token_mean counts an answer's one ratio once for each of its tokens, "
        "so "
        "long answers weigh more; write aggregation=seq_mean_token_mean, which is its default"},
       {{"loss=cispo(dual_clip=3)"},
        "--set stage[0].loss: cispo: option 'dual_clip' bounds a loss that grows with the ratio; cispo's weight is "
        "bounded by clip_high itself, so leave it out"},
       {{"loss=tbrm", "advantage=reward"}, "OK"},
       {{"loss=tbrm", "advantage=reward", "reference=none"},
        "--set stage[0].reference: 'reference' is \"none\", but loss 'tbrm' compares the policy with one; write "
        "\"start\", \"model(path=DIR)\" or \"ema\", or leave it out"},
       {{"loss=tbrm", "advantage=reward", "kl=k3"},
        "--set stage[0].kl: 'kl' is \"k3\", but loss 'tbrm' has the divergence from the reference in its own residual, "
        "with weight beta; leave out kl and set loss: \"tbrm(beta=...)\""},
       {{"loss=tbrm", "advantage=reward", "entropy_coef=0.01"},
        "--set stage[0].entropy_coef: 'entropy_coef' adds a term for each token, but loss 'tbrm' has one value a "
        "sample; leave it out"},
       {{"advantage=remax", "samples_per_prompt=1"}, "OK"},
       {{"samples_per_prompt=1"},
        "--set stage[0].samples_per_prompt: 'samples_per_prompt' is 1, wanted at least 2: advantage 'grpo' compares "
        "the "
        "answers to one prompt with each other; remax, reinforce_plus_plus and reward need only 1"}});
}

// Numbers with which nothing would be learnt.
TEST(CombinationsTest, Arithmetic) {
  Check({{{"steps=0"}, "--set stage[0].steps: 'steps' is 0, wanted a whole number in 1 .. 1000000000"},
         {{"epochs=0"}, "--set stage[0].epochs: 'epochs' is 0, wanted a whole number in 1 .. 1000"},
         {{"prompts_per_step=0"},
          "--set stage[0].prompts_per_step: 'prompts_per_step' is 0, wanted a whole number in 1 .. 1048576"},
         {{"minibatches=8"},
          "--set stage[0].minibatches: 'minibatches' is 8, which does not divide 'prompts_per_step' 4; 4 would do"},
         {{"learning_rate=nan"},
          "--set stage[0].learning_rate: 'learning_rate' is nan, wanted a number above 0, at most 1"},
         {{"learning_rate=-1e-3"},
          "--set stage[0].learning_rate: 'learning_rate' is -0.001, wanted a number above 0, at most 1"},
         {{"entropy_coef=-1"}, "--set stage[0].entropy_coef: 'entropy_coef' is -1, wanted a number in 0 .. 100"},
         {{"schedule=cosine(warmup_steps=6)"},
          "--set stage[0].schedule: 'warmup_steps' is 6, but the stage has 5 optimizer steps"},
         {{"schedule=cosine(warmup_steps=6)", "epochs=2"}, "OK"}});
}

}  // namespace
}  // namespace hone
