// Named algorithms: every row of recipes/algorithms.def runs, wins nothing against the recipe, and says what it filled.
#include "recipes/algorithms.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/arguments.h"

namespace hone {
namespace {

constexpr char kHead[] = R"txt(task: "countdown(numbers=2)"
model {
  tokenizer: "sentencepiece"
  hidden_size: 64 intermediate_size: 128 layers: 2 heads: 4
}
)txt";

absl::StatusOr<RunOptions> BuildText(const std::string& text, const std::vector<std::string>& sets = {}) {
  HONE_ASSIGN_OR_RETURN(const LoadedRecipe loaded, ParseRecipe(text, "r.textproto", sets));
  return BuildRun(loaded);
}

// What an algorithm leaves to the recipe: the budget, and what its paper does not say.
std::string StageOf(const std::string& algorithm, const std::string& more = "") {
  const ComponentInfo* found = nullptr;
  const auto list = ListComponents("algorithm").value();
  for (const ComponentInfo& info : list) found = info.name == algorithm ? &info : found;
  std::string stage = absl::StrCat("stage { algorithm: \"", algorithm, "\" steps: 40 ", more);
  if (found != nullptr && found->lines[0] == "kind: PREFERENCE") {
    std::ofstream pairs("pairs.jsonl");
    for (int i = 0; i < 100; ++i)
      pairs << R"({"prompt": "1 2:3=", "chosen": "1+2", "rejected": "2-1"})"
            << "\n";
    return absl::StrCat(kHead, stage, "data: \"pairs.jsonl\" }\n");
  }
  absl::StrAppend(&stage, "max_new_tokens: 16 ");
  const std::pair<const char*, const char*> budget[] = {
      {"learning_rate", "1e-4"}, {"prompts_per_step", "64"}, {"samples_per_prompt", "4"}};
  for (const auto& [field, value] : budget) {
    bool has = absl::StrContains(more, absl::StrCat(field, ":"));
    for (const std::string& line : found == nullptr ? std::vector<std::string>() : found->lines)
      has |= absl::StartsWith(line, absl::StrCat(field, ":"));
    if (!has) absl::StrAppend(&stage, field, ": ", value, " ");
  }
  return absl::StrCat(kHead, stage, "}\n");
}

std::string LineOf(const std::string& text, const std::vector<std::string>& sets = {}) {
  const auto run = BuildText(text, sets);
  return run.ok() ? "OK" : ReportLine(run.status());
}

TEST(AlgorithmsTest, EveryOneBuildsAndItsExpansionIsAFixedPoint) {
  const auto list = ListComponents("algorithm");
  ASSERT_TRUE(list.ok());
  ASSERT_GE(list->size(), 4u);
  for (const ComponentInfo& info : *list) {
    SCOPED_TRACE(info.name);
    EXPECT_TRUE(absl::StartsWith(info.paper, "https://"));
    const auto run = BuildText(StageOf(info.name));
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_TRUE(absl::StrContains(run->recipe_text, absl::StrCat("algorithm: \"", info.name, "\"")));
    const auto loaded = ParseRecipe(run->recipe_text, "recipe.textproto", {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const auto again = BuildRun(*loaded);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->recipe_text, run->recipe_text);
    // Each line is a field with its source.
    std::set<std::string> fields;
    for (const std::string& line : info.lines) {
      EXPECT_TRUE(fields.insert(line.substr(0, line.find(':'))).second) << line;
      EXPECT_TRUE(absl::StartsWith(line, "kind:") || absl::StrContains(line, "  # ")) << line;
    }
  }
}

TEST(AlgorithmsTest, FillsWhatThePaperSays) {
  const auto run = BuildText(StageOf("grpo"));
  ASSERT_TRUE(run.ok()) << run.status();
  const Stage& stage = run->stages[0];
  EXPECT_EQ(stage.kind, StageKind::kRl);
  EXPECT_EQ(stage.prompts_per_step, 16);
  EXPECT_EQ(stage.samples_per_prompt, 64);
  EXPECT_EQ(stage.schedule.peak, 1e-6);
  EXPECT_EQ(stage.kl.estimator, KlEstimator::kK3);
  EXPECT_EQ(stage.kl.place, KlPlace::kLoss);
  EXPECT_EQ(stage.kl.coef, 0.04);
  EXPECT_EQ(stage.reference.kind, ReferenceKind::kStart);
  EXPECT_EQ(stage.loss->aggregation(), Aggregation::kSeqMeanTokenMean);
  for (const char* line :
       {"  advantage: \"grpo(std_normalize=true, epsilon=1e-06)\"", "  kl: \"k3(coef=0.04, place=loss, target=0)\"",
        "  reference: \"start\"", "  epochs: 1", "  entropy_coef: 0"}) {
    EXPECT_TRUE(absl::StrContains(run->recipe_text, absl::StrCat("\n", line, "\n"))) << line << "\n"
                                                                                     << run->recipe_text;
  }
}

TEST(AlgorithmsTest, NumbersOfTheStageAreFilledIn) {
  const auto dr_grpo = BuildText(StageOf("dr_grpo"));
  ASSERT_TRUE(dr_grpo.ok()) << dr_grpo.status();
  EXPECT_EQ(dr_grpo->stages[0].loss->norm_length(), 16);
  EXPECT_EQ(dr_grpo->stages[0].reference.kind, ReferenceKind::kNone);
  const auto dapo = BuildText(StageOf("dapo"));
  ASSERT_TRUE(dapo.ok()) << dapo.status();
  EXPECT_EQ(dapo->stages[0].schedule.warmup_steps, 320);  // 20 rollout steps of 16 updates
  const auto two = BuildText(StageOf("dapo", "minibatches: 2 epochs: 3 "), {"stage[0].steps=7"});
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->stages[0].schedule.warmup_steps, 42);  // all 7 steps, of 2 x 3 updates
  EXPECT_EQ(two->stages[0].schedule.total_steps, 42);
}

TEST(AlgorithmsTest, TheRecipesOwnFieldsWin) {
  const auto run = BuildText(StageOf("grpo", "kl: \"none\" samples_per_prompt: 8 "), {"stage[0].advantage=rloo"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->stages[0].samples_per_prompt, 8);
  EXPECT_EQ(run->stages[0].prompts_per_step, 16);
  EXPECT_EQ(run->stages[0].kl.coef, 0);
  EXPECT_EQ(run->stages[0].reference.kind, ReferenceKind::kNone);
  EXPECT_TRUE(absl::StrContains(run->recipe_text, "  advantage: \"rloo\"\n"));
}

TEST(AlgorithmsTest, MistakesNameThePlaceAndTheAlgorithm) {
  EXPECT_EQ(LineOf(absl::StrCat(kHead, "stage { algorithm: \"gpro\" }"))
                .find("hone: r.textproto:6:9: no algorithm 'gpro'; have: "),
            0u);
  EXPECT_TRUE(absl::StrContains(LineOf(absl::StrCat(kHead, "stage { algorithm: \"gpro\" }")), "did you mean 'grpo'?"));
  EXPECT_EQ(LineOf(absl::StrCat(kHead, "stage { kind: SFT algorithm: \"grpo\" }")),
            "hone: r.textproto:6:19: algorithm 'grpo' is for stages of kind RL; this one is SFT");
  EXPECT_EQ(
      LineOf(StageOf("dapo", "prompts_per_step: 24 ")),
      "hone: r.textproto:6:9: algorithm 'dapo': 'minibatches' is 16, which does not divide 'prompts_per_step' 24; "
      "12 or 24 would do");
  EXPECT_EQ(LineOf(absl::StrCat(kHead, "stage { algorithm: \"grpo\" max_new_tokens: 16 }")),
            "hone: r.textproto:6:1: no 'steps' in stage; it is required");
}

}  // namespace
}  // namespace hone
