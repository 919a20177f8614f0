// PREFERENCE stages, and which losses go with which kind of stage.
#include "recipes/preferences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] = R"txt(task: "countdown(numbers=2)"
model { tokenizer: "sentencepiece" hidden_size: 64 intermediate_size: 128 layers: 2 heads: 4 }
)txt";
constexpr char kPreference[] =
    R"(stage { kind: PREFERENCE data: "pairs.jsonl" epochs: 3 batch_size: 4 learning_rate: 1e-5 })";
constexpr char kRl[] =
    R"(stage { kind: RL steps: 5 learning_rate: 3e-4 prompts_per_step: 4 samples_per_prompt: 2 max_new_tokens: 16 })";

// Ten pairs.
void WritePairs() {
  std::ofstream file("pairs.jsonl");
  for (int i = 0; i < 10; ++i)
    file << R"({"prompt": "1 2:)" << i << R"(=", "chosen": "1+2", "rejected": "2-1"})"
         << "\n";
}

absl::StatusOr<RunOptions> Build(const std::string& stages, const std::vector<std::string>& sets = {}) {
  WritePairs();
  HONE_ASSIGN_OR_RETURN(const LoadedRecipe loaded, ParseRecipe(kHead + stages, "my.textproto", sets));
  return BuildRun(loaded);
}

std::string Error(const std::string& stages, const std::vector<std::string>& sets = {}) {
  const std::string error(Build(stages, sets).status().message());
  EXPECT_LE(error.size(), 400u);
  return error;
}

TEST(PreferenceStage, EpochsBecomeSteps) {
  const auto run = Build(kPreference);
  ASSERT_TRUE(run.ok()) << run.status();
  const Stage& stage = run->stages[0];
  EXPECT_EQ(stage.kind, StageKind::kPreference);
  EXPECT_EQ(stage.name, "preference");
  EXPECT_EQ(stage.steps, 7);  // 3 * 10 pairs in batches of 4
  EXPECT_EQ(stage.schedule.total_steps, 7);
  EXPECT_EQ(stage.batch_size, 4);
  EXPECT_EQ(stage.preferences.size(), 10u);
  EXPECT_EQ(stage.preferences[9].prompt.where, "pairs.jsonl:10");
  EXPECT_EQ(stage.reference.kind, ReferenceKind::kStart);  // dpo, the default, has one
  EXPECT_EQ(stage.loss->aggregation(), Aggregation::kPairMean);
  const auto simpo = Build(kPreference, {"stage[0].loss=simpo"});
  ASSERT_TRUE(simpo.ok()) << simpo.status();
  EXPECT_EQ(simpo->stages[0].reference.kind, ReferenceKind::kNone);
}

// A run resumes from this text.
TEST(PreferenceStage, ResolvedTextIsAFixedPoint) {
  for (const std::string& stages : {std::string(kPreference), std::string(kRl) + kPreference}) {
    for (const std::vector<std::string>& sets : {std::vector<std::string>{}, {"stage[0].loss=kto"}}) {
      const auto run = Build(stages, sets);
      ASSERT_TRUE(run.ok()) << run.status();
      const auto again = BuildRun(ParseRecipe(run->recipe_text, "recipe.textproto", {}).value());
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(again->recipe_text, run->recipe_text);
    }
  }
}

TEST(PreferenceStage, RefusesWhatDoesNotAddUp) {
  EXPECT_THAT(
      Error(kPreference, {"stage[0].batch_size=11"}),
      HasSubstr("'batch_size' is 11, but pairs.jsonl holds 10 pairs, so that an epoch has 0 steps; wanted at most 10"));
  EXPECT_THAT(Error(kPreference, {"stage[0].steps=5"}), HasSubstr("'steps' says how long, and so does 'epochs'"));
  EXPECT_THAT(Error(kPreference, {"stage[0].epochs=0"}), HasSubstr("'epochs' is 0"));
  EXPECT_THAT(Error(kPreference, {"stage[0].learning_rate=nan"}), HasSubstr("'learning_rate' is nan"));
  EXPECT_THAT(Error(kPreference, {"stage[0].data=nowhere.jsonl"}), HasSubstr("nowhere.jsonl"));
  EXPECT_THAT(Error(kPreference, {"stage[0].temperature=1"}),
              HasSubstr("is for stages of kind RL; this one is PREFERENCE"));
  EXPECT_THAT(Error(kRl, {"stage[0].data=pairs.jsonl"}), HasSubstr("is for stages of kind PREFERENCE; this one is RL"));
  EXPECT_THAT(Error("stage { kind: PREFERENCE batch_size: 2 epochs: 1 learning_rate: 1e-5 }"),
              HasSubstr("no 'data' in stage"));
  EXPECT_THAT(Error("stage { kind: PREFERENCE batch_size: 2 data: 'pairs.jsonl' learning_rate: 1e-5 }"),
              HasSubstr("no 'steps' in stage"));
}

TEST(PreferenceStage, TakesLossesOverPairs) {
  EXPECT_THAT(Error(kPreference, {"stage[0].loss=ppo_clip"}), HasSubstr("loss 'ppo_clip' does not learn from pairs"));
  EXPECT_THAT(Error(kPreference, {"stage[0].loss=dno"}), HasSubstr("loss 'dno' compares with the policy that sampled"));
  EXPECT_THAT(Error(kPreference, {"stage[0].loss=kto", "stage[0].batch_size=1"}),
              HasSubstr("estimates a divergence from other pairs"));
  EXPECT_EQ(Error(kPreference, {"stage[0].loss=kto(kl=0.1)", "stage[0].batch_size=1"}), "");
  EXPECT_THAT(Error(kPreference, {"stage[0].reference=none"}), HasSubstr("'reference' is \"none\""));
}

TEST(OnPolicyPairs, ComeWithALossOverPairs) {
  const auto run = Build(kRl, {"stage[0].loss=dno"});
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_TRUE(run->stages[0].pairs.has_value());
  EXPECT_EQ(run->stages[0].pairs->kind, PairRule::Kind::kBestWorst);
  EXPECT_THAT(run->recipe_text, HasSubstr("pairs: \"best_worst(margin=0)\""));
  EXPECT_THAT(run->recipe_text, Not(HasSubstr("advantage:")));  // nothing reads one
  const auto again = BuildRun(ParseRecipe(run->recipe_text, "recipe.textproto", {}).value());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->recipe_text, run->recipe_text);
  EXPECT_EQ(Build(kRl, {"stage[0].loss=dpo", "stage[0].pairs=all(margin=0.5)"})->stages[0].pairs->margin, 0.5);

  EXPECT_THAT(Error(kRl, {"stage[0].pairs=all"}), HasSubstr("'pairs' is for losses over pairs"));
  EXPECT_THAT(Error(kRl, {"stage[0].loss=dpo", "stage[0].pairs=some"}),
              HasSubstr("no pairs 'some'; have: all, best_worst"));
  EXPECT_THAT(Error(kRl, {"stage[0].loss=dpo", "stage[0].advantage=rloo"}),
              HasSubstr("loss 'dpo' takes pairs; leave it out"));
}

TEST(ReSt, LearnsFromWhatIsKept) {
  const auto run = Build(kRl, {"stage[0].loss=sft", "stage[0].keep_above=rising(last=0.9)"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->stages[0].keep_above->At(4, 5), 0.9);
  EXPECT_FALSE(run->stages[0].pairs.has_value());
  EXPECT_THAT(run->recipe_text, HasSubstr("keep_above: \"rising(first=0, last=0.9)\""));
  EXPECT_THAT(Error(kRl, {"stage[0].loss=sft"}), HasSubstr("write keep_above: \"rising(first=0, last=0.99)\""));
  EXPECT_THAT(Error(kRl, {"stage[0].keep_above=constant"}), HasSubstr("'keep_above' is for loss 'sft'"));
  EXPECT_THAT(Error(kRl, {"stage[0].loss=sft", "stage[0].keep_above=0.5"}), HasSubstr("stage[0].keep_above"));
  EXPECT_THAT(Error("stage { kind: SFT steps: 1 batch_size: 2 learning_rate: 1e-5 loss: 'dpo' }"),
              HasSubstr("learns from pairs, an SFT stage has none"));
}

}  // namespace
}  // namespace hone
