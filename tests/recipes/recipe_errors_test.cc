// Wrong recipes and overrides, each with its whole line.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "recipes/build.h"
#include "tools/arguments.h"

namespace hone {
namespace {

constexpr char kGood[] = R"txt(task: "countdown"
model {
  tokenizer: "sentencepiece(model_type=char)"
  hidden_size: 96
  intermediate_size: 256
  layers: 3
  heads: 4
  kv_heads: 2
  max_position_embeddings: 64
}
stage {
  kind: SFT
  steps: 100
  learning_rate: 4e-3
  schedule: "cosine(warmup_steps=10)"
  batch_size: 64
}
stage {
  kind: RL
  steps: 20
  learning_rate: 3e-4
  prompts_per_step: 32
  samples_per_prompt: 16
  max_new_tokens: 16
  advantage: "grpo(std_normalize=false)"
  minibatches: 2
}
)txt";

// What `hone train` would print.
std::string LineOf(const std::string& text, const std::vector<std::string>& sets) {
  const auto loaded = ParseRecipe(text, "r.textproto", sets);
  if (!loaded.ok()) {
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
    return ReportLine(loaded.status());
  }
  const auto options = BuildRun(*loaded);
  if (options.ok()) return "OK";
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  return ReportLine(options.status());
}

// kGood with one text in place of another.
struct Edit {
  const char* from;
  const char* to;
  const char* line;
};

void CheckEdits(const std::vector<Edit>& edits) {
  for (const Edit& edit : edits) {
    const std::string text = absl::StrReplaceAll(kGood, {{edit.from, edit.to}});
    ASSERT_NE(text, kGood) << edit.from;
    EXPECT_EQ(LineOf(text, {}), std::string("hone: ") + edit.line);
  }
}

TEST(RecipeErrorsTest, TheRecipeItselfIsFine) { EXPECT_EQ(LineOf(kGood, {}), "OK"); }

TEST(RecipeErrorsTest, Syntax) {
  CheckEdits({
      {"steps: 20", "stpes: 20", "r.textproto:20:3: no field 'stpes' in stage; did you mean 'steps'?"},
      {"task:", "tasks:", "r.textproto:1:1: no field 'tasks' in recipe; did you mean 'task'?"},
      {"layers: 3", "depth: 3",
       "r.textproto:6:3: no field 'depth' in model; have: path, family, tokenizer, hidden_size, intermediate_size, "
       "layers, heads, "
       "kv_heads, max_position_embeddings, rope_theta, tie_word_embeddings, initializer_std, lora"},
      {"kind: SFT", "kind: SFFT", "r.textproto:12:9: no kind 'SFFT'; have: SFT, RL, PREFERENCE; did you mean 'SFT'?"},
      {"kind: SFT", "kind: sft", "r.textproto:12:9: no kind 'sft'; have: SFT, RL, PREFERENCE; did you mean 'SFT'?"},
      {"kind: SFT", "kind: \"SFT\"", "r.textproto:12:9: 'kind' wants one of SFT, RL, PREFERENCE, not \"SFT\""},
      {"layers: 3", "layers: three",
       "r.textproto:6:11: 'layers' wants a whole number of at most 2147483647, not three"},
      {"layers: 3", "layers: 3.5", "r.textproto:6:11: 'layers' wants a whole number of at most 2147483647, not 3.5"},
      {"layers: 3", "layers: 3000000000",
       "r.textproto:6:11: 'layers' wants a whole number of at most 2147483647, not 3000000000"},
      {"learning_rate: 3e-4", "learning_rate: \"3e-4\"",
       "r.textproto:21:18: 'learning_rate' wants a number, not \"3e-4\""},
      {"\"countdown\"", "countdown",
       "r.textproto:1:7: 'task' wants text in quotes, not countdown; write \"countdown\""},
      {"layers: 3", "layers: 3 layers: 4", "r.textproto:6:13: 'layers' is given twice"},
      {"layers: 3", "layers 3", "r.textproto:6:10: wanted ':' after 'layers', found 3"},
      {"layers: 3", "\t\tlayers: 3 layer: 3", "r.textproto:6:15: no field 'layer' in model; did you mean 'layers'?"},
      {"model {", "model: 5 # {", "r.textproto:2:8: 'model' wants fields in braces, model { ... }, not 5"},
      {"minibatches: 2\n}", "minibatches: 2\n",
       "r.textproto:28:1: wanted a field's name or '}', found the end of the file"},
      {"minibatches: 2\n}", "minibatches: 2\n}\n}", "r.textproto:28:1: wanted a field's name, found }"},
      {"\"countdown\"", "\"countdown", "r.textproto:1:17: the quote is not closed on its line"},
      {"\"countdown\"", "\"\\377\"", "r.textproto:1:1: 'task' is '\\xff', not UTF-8 text"},
      {"\"countdown\"", "\"größe\" # \xff", "r.textproto:1:17: \\xff is no UTF-8 text; a recipe is a text file"},
      {"layers: 3", "layers: 3 \x01", "r.textproto:6:13: \\x01 is no UTF-8 text; a recipe is a text file"},
  });
  EXPECT_EQ(LineOf("", {}), "hone: r.textproto: is empty; a recipe has a model, a task and at least one stage");
  EXPECT_EQ(LineOf(" \n\t", {}), "hone: r.textproto: is empty; a recipe has a model, a task and at least one stage");
  EXPECT_EQ(LineOf(std::string(2 << 20, ' '), {}),
            "hone: r.textproto: has more than 1048576 bytes; a recipe is a short text");
}

TEST(RecipeErrorsTest, PartsThatDoNotGoTogether) {
  CheckEdits({
      {"minibatches: 2", "loss: \"tbrm\"",
       "r.textproto:25:3: loss 'tbrm' learns from rewards as they are, advantage 'grpo' changes them; use advantage: "
       "\"reward\""},
  });
  const std::string wrong = LineOf(kGood, {"stage[1].loss=ppo"});
  EXPECT_TRUE(absl::StartsWith(wrong, "hone: --set stage[1].loss: no loss 'ppo'; have: ")) << wrong;
  EXPECT_LE(wrong.size(), 400u);
  const std::string near = LineOf(kGood, {"stage[1].advantage=gpro"});
  EXPECT_TRUE(absl::StrContains(near, "no advantage 'gpro'; have: ") && absl::EndsWith(near, "did you mean 'grpo'?"))
      << near;
  // One answer a prompt will do for those that do not compare answers.
  for (const char* advantage : {"remax", "reward", "reinforce_plus_plus"}) {
    EXPECT_EQ(LineOf(kGood, {absl::StrCat("stage[1].advantage=", advantage), "stage[1].samples_per_prompt=1"}), "OK");
  }
  EXPECT_EQ(LineOf(kGood, {"stage[1].loss=gspo"}), "OK");
}

TEST(RecipeErrorsTest, MissingAndMisplacedFields) {
  CheckEdits({
      {"task: \"countdown\"", "#",
       "r.textproto: no 'task' in recipe, such as task: \"countdown\"; hone list task shows all"},
      {"  layers: 3\n", "",
       "r.textproto:2:1: no 'layers' in model; a new model needs all its sizes, an existing one its 'path'"},
      {"tokenizer: \"sentencepiece(model_type=char)\"", "",
       "r.textproto:2:1: no 'tokenizer' in model, such as tokenizer: \"sentencepiece(model_type=char)\""},
      {"kind: RL", "", "r.textproto:18:1: no 'kind' in stage; write kind: SFT, RL or PREFERENCE"},
      {"  steps: 20\n", "", "r.textproto:18:1: no 'steps' in stage; it is required"},
      {"  learning_rate: 3e-4\n", "", "r.textproto:18:1: no 'learning_rate' in stage; it is required"},
      {"  batch_size: 64\n", "", "r.textproto:11:1: no 'batch_size' in stage; it is required"},
      {"  max_new_tokens: 16\n", "", "r.textproto:18:1: no 'max_new_tokens' in stage; it is required"},
      {"batch_size: 64", "batch_size: 64 advantage: \"grpo\"",
       "r.textproto:16:18: 'advantage' is for stages of kind RL; this one is SFT"},
      {"minibatches: 2", "batch_size: 64",
       "r.textproto:26:3: 'batch_size' is for stages of kind SFT; this one is RL and takes prompts_per_step and "
       "samples_per_prompt"},
      {"layers: 3", "layers: 3 path: \"m\"",
       "r.textproto:3:3: 'tokenizer' does not go with 'path': the folder's config.json and tokenizer say it; leave out "
       "one of the two"},
      {"kind: RL", "kind: RL name: \"sft\"",
       "r.textproto:19:12: two stages are named 'sft'; give each its own name: \"...\""},
      {"kind: RL", "kind: RL name: \"a/b\"",
       "r.textproto:19:12: 'name' is 'a/b', wanted 1 .. 64 letters, digits and _ - . without a dot in front"},
  });
  EXPECT_EQ(LineOf("task: \"countdown\"", {}),
            "hone: r.textproto: no 'model' in recipe; write model { ... } with a path or sizes");
  EXPECT_EQ(LineOf("task: \"countdown\" model { path: \"m\" }", {}),
            "hone: r.textproto: no 'stage' in recipe; write stage { kind: RL ... }");
  EXPECT_EQ(LineOf("task: \"countdown\" model { path: \"\" }", {}),
            "hone: r.textproto:1:27: 'path' is empty, wanted the folder of a model");
}

TEST(RecipeErrorsTest, Ranges) {
  CheckEdits({
      {"hidden_size: 96", "hidden_size: -96",
       "r.textproto:4:3: 'hidden_size' is -96, wanted a whole number in 1 .. 65536"},
      {"layers: 3", "layers: 0", "r.textproto:6:3: 'layers' is 0, wanted a whole number in 1 .. 1024"},
      {"steps: 20", "steps: 0", "r.textproto:20:3: 'steps' is 0, wanted a whole number in 1 .. 1000000000"},
      {"batch_size: 64", "batch_size: -1",
       "r.textproto:16:3: 'batch_size' is -1, wanted a whole number in 1 .. 1048576"},
      {"learning_rate: 3e-4", "learning_rate: 0",
       "r.textproto:21:3: 'learning_rate' is 0, wanted a number above 0, at most 1"},
      {"learning_rate: 3e-4", "learning_rate: -3e-4",
       "r.textproto:21:3: 'learning_rate' is -3e-04, wanted a number above 0, at most 1"},
      {"learning_rate: 3e-4", "learning_rate: nan",
       "r.textproto:21:3: 'learning_rate' is nan, wanted a number above 0, at most 1"},
      {"learning_rate: 3e-4", "learning_rate: inf",
       "r.textproto:21:3: 'learning_rate' is inf, wanted a number above 0, at most 1"},
      {"minibatches: 2", "temperature: 0", "r.textproto:26:3: 'temperature' is 0, wanted a number in 0.01 .. 100"},
      {"minibatches: 2", "max_grad_norm: -1",
       "r.textproto:26:3: 'max_grad_norm' is -1, wanted a number in 0 .. 1000000000"},
      {"samples_per_prompt: 16", "samples_per_prompt: 0",
       "r.textproto:23:3: 'samples_per_prompt' is 0, wanted a whole number in 1 .. 1048576"},
      {"samples_per_prompt: 16", "samples_per_prompt: 1",
       "r.textproto:23:3: 'samples_per_prompt' is 1, wanted at least 2: advantage 'grpo' compares the answers to one "
       "prompt with each other; remax, reinforce_plus_plus and reward need only 1"},
      {"samples_per_prompt: 16", "samples_per_prompt: 40000",
       "r.textproto:23:3: prompts_per_step 32 x samples_per_prompt 40000 is more than 1048576 samples a step"},
      {"heads: 4", "heads: 5",
       "r.textproto:7:3: 'heads' is 5, which does not divide 'hidden_size' 96; 4 or 6 would do"},
      {"heads: 4", "heads: 32",
       "r.textproto:7:3: 'heads' is 32, which leaves an odd number of dimensions, which rotary positions cannot pair, "
       "of 'hidden_size' 96; "
       "24 or 48 would do"},
      {"hidden_size: 96", "hidden_size: 4096",
       "r.textproto:7:3: 'heads' is 4, which leaves heads of more than 256 dimensions, of 'hidden_size' 4096; 16 would "
       "do"},
      {"kv_heads: 2", "kv_heads: 3",
       "r.textproto:8:3: 'kv_heads' is 3, which does not divide 'heads' 4; 2 or 4 would do"},
      {"minibatches: 2", "minibatches: 3",
       "r.textproto:26:3: 'minibatches' is 3, which does not divide 'prompts_per_step' 32; 2 or 4 would do"},
      {"minibatches: 2", "minibatches: 64",
       "r.textproto:26:3: 'minibatches' is 64, which does not divide 'prompts_per_step' 32; 32 would do"},
      {"max_new_tokens: 16", "max_new_tokens: 63",
       "r.textproto:24:3: 'max_new_tokens' is 63, which with a prompt does not fit into model.max_position_embeddings "
       "64"},
      {"task:", "evaluation { max_new_tokens: 64 } task:",
       "r.textproto:1:14: 'max_new_tokens' is 64, which with a prompt does not fit into model.max_position_embeddings "
       "64"},
      {"task:", "evaluation { prompts: -1 } task:",
       "r.textproto:1:14: 'prompts' is -1, wanted a whole number in 0 .. 1048576"},
      {"task:", "threads: -2 task:", "r.textproto:1:1: 'threads' is -2, wanted a whole number in 0 .. 1024"},
  });
}

TEST(RecipeErrorsTest, Components) {
  CheckEdits({
      {"grpo(std_normalize=false)", "grpo(std_normalise=false)",
       "r.textproto:25:3: grpo: unknown option 'std_normalise'; known: std_normalize, epsilon; did you mean "
       "'std_normalize'?"},
      {"grpo(std_normalize=false)", "grpo(epsilon=abc)",
       "r.textproto:25:3: grpo: option 'epsilon' is 'abc', wanted a number in 0 .. 1"},
      {"grpo(std_normalize=false)", "grpo(",
       "r.textproto:25:3: 'grpo(': character 6: wanted an option's name, found the end"},
      {"grpo(std_normalize=false)", "", "r.textproto:25:3: '': character 1: wanted a name, found the end"},
      {"\"countdown\"", "\"countdwn\"",
       "r.textproto:1:1: no task 'countdwn'; have: arithmetic, batched, countdown, jsonl, sudoku; did you mean "
       "'countdown'?"},
      {"task:", "verifier: \"countdown(x=1)\" task:", "r.textproto:1:1: countdown: unknown option 'x'; known: after"},
      {"task:", "verifier: \"sum(countdown=1, style=format(tag=a))\" task:",
       "r.textproto:1:1: sum: style: format: unknown option 'tag'; known: tags, prefilled; did you mean 'tags'?"},
      {"minibatches: 2", "loss: \"cispo(dual_clip=3)\"",
       "r.textproto:26:3: cispo: option 'dual_clip' bounds a loss that grows with the ratio; cispo's weight is bounded "
       "by clip_high itself, so leave it out"},
      {"minibatches: 2", "loss: \"sft\"",
       "r.textproto:26:3: loss 'sft' ignores rewards, so an RL stage must say from which samples it learns; write "
       "keep_above: \"rising(first=0, last=0.99)\", or use ppo_clip or reinforce"},
      {"batch_size: 64", "batch_size: 64 loss: \"reinforce\"",
       "r.textproto:16:18: loss 'reinforce' learns from rewards, an SFT stage "
       "has none; use sft"},
      {"layers: 3", "layers: 3 family: \"lama\"",
       "r.textproto:6:13: no model 'lama'; have: llama; did you mean 'llama'?"},
      {"model_type=char", "model_type=chr",
       "r.textproto:3:3: sentencepiece: option 'model_type' is 'chr', wanted one of char, bpe, unigram; did you mean "
       "'char'?"},
      {"sentencepiece", "sentencepeice",
       "r.textproto:3:3: no tokenizer 'sentencepeice'; have: sentencepiece; did you mean 'sentencepiece'?"},
      {"cosine(", "cosin(",
       "r.textproto:15:3: no schedule 'cosin'; have: constant, cosine, linear; did you mean 'cosine'?"},
      {"warmup_steps=10", "warmup=10", "r.textproto:15:3: cosine: unknown option 'warmup'; known: warmup_steps, final"},
      {"warmup_steps=10", "warmup_steps=101",
       "r.textproto:15:3: 'warmup_steps' is 101, but the stage has 100 optimizer steps"},
      {"minibatches: 2", "optimizer: \"adam\"",
       "r.textproto:26:3: no optimizer 'adam'; have: adamw; did you mean 'adamw'?"},
      {"minibatches: 2", "optimizer: \"adamw(beta2=1)\"",
       "r.textproto:26:3: adamw: option 'beta2' is '1', wanted a number in 0 .. 0.9999999"},
  });
}

TEST(RecipeErrorsTest, Overrides) {
  const std::pair<const char*, const char*> cases[] = {
      {"seed", "--set seed: wanted PATH=VALUE, such as seed=3 or stage[1].steps=10"},
      {"=3", "--set =3: wanted PATH=VALUE, such as seed=3 or stage[1].steps=10"},
      {"sed=3", "--set sed: no field 'sed' in recipe; did you mean 'seed'?"},
      {"seed=-3", "--set seed: 'seed' wants a whole number in 0 .. 18446744073709551615, not '-3'"},
      {"seed=", "--set seed: 'seed' wants a whole number in 0 .. 18446744073709551615, not ''"},
      {"model.layers=two", "--set model.layers: 'layers' wants a whole number of at most 2147483647, not 'two'"},
      {"model.layer=2", "--set model.layer: no field 'layer' in model; did you mean 'layers'?"},
      {"model.tie_word_embeddings=yes",
       "--set model.tie_word_embeddings: 'tie_word_embeddings' wants true or false, not 'yes'"},
      {"model=llama", "--set model: 'model' holds fields; name one of them, such as model.path"},
      {"model.layers.x=2", "--set model.layers.x: 'layers' is a single value, without fields of its own"},
      {"model[0].layers=2", "--set model[0].layers: 'model' is no list; leave out [...]"},
      {"stage.steps=2", "--set stage.steps: 'stage' is a list; write stage[0] or the name in brackets"},
      {"stage[2].steps=2", "--set stage[2].steps: no stage 2; the recipe has 2 stages, counted from 0"},
      {"stage[-1].steps=2", "--set stage[-1].steps: no stage -1; the recipe has 2 stages, counted from 0"},
      {"stage[rll].steps=2", "--set stage[rll].steps: no stage 'rll'; have: sft, rl; did you mean 'rl'?"},
      {"stage[1=2", "--set stage[1: '[' is never closed"},
      {"stage[1]steps=2", "--set stage[1]steps: wanted '.' after ']'"},
      {"stage[1]..steps=2", "--set stage[1]..steps: an empty name in the path"},
      {"stage[1].kind=RLL", "--set stage[1].kind: no kind 'RLL'; have: SFT, RL, PREFERENCE; did you mean 'RL'?"},
      {"stage[1].learning_rate=fast", "--set stage[1].learning_rate: 'learning_rate' wants a number, not 'fast'"},
      // Semantic mistakes carry the path as it was typed.
      {"stage[0].schedule=cosin",
       "--set stage[0].schedule: no schedule 'cosin'; have: constant, cosine, linear; did you mean 'cosine'?"},
      {"stage[rl].steps=0", "--set stage[rl].steps: 'steps' is 0, wanted a whole number in 1 .. 1000000000"},
      {"stage[0].temperature=1", "--set stage[0].temperature: 'temperature' is for stages of kind RL; this one is SFT"},
      {"model.heads=7", "--set model.heads: 'heads' is 7, which does not divide 'hidden_size' 96; 6 or 8 would do"},
      {"evaluation.samples=0", "--set evaluation.samples: 'samples' is 0, wanted a whole number in 1 .. 16384"},
      {"name=\xff", "--set name: not UTF-8"},
  };
  for (const auto& [set, line] : cases) EXPECT_EQ(LineOf(kGood, {set}), std::string("hone: ") + line);
  const std::string twins = "stage { kind: RL } stage { kind: RL }";
  EXPECT_EQ(LineOf(twins, {"stage[rl].steps=1"}),
            "hone: --set stage[rl].steps: 2 stages are named 'rl'; give the number, from 0");
}

TEST(RecipeErrorsTest, Files) {
  std::filesystem::create_directories("recipes/folder");
  std::ofstream("recipes/quickstart.textproto") << kGood;
  std::ofstream("recipes/large.textproto") << std::string((1 << 20) + 1, '#');
  std::ofstream("recipes/binary.textproto") << std::string(
      "\x7F"
      "ELF\x02\x01\0\0",
      8);
  const auto line_of = [](const std::string& path) {
    const auto loaded = ReadRecipe(path, {});
    return loaded.ok() ? "OK" : ReportLine(loaded.status());
  };
  EXPECT_EQ(line_of("recipes/quickstart.textproto"), "OK");
  EXPECT_EQ(line_of("recipes/quickstat.textproto"),
            "hone: recipes/quickstat.textproto: no such recipe; did you mean 'quickstart.textproto'?");
  EXPECT_EQ(line_of("nowhere/r.textproto"), "hone: nowhere/r.textproto: no such recipe");
  EXPECT_EQ(
      line_of("recipes/folder"),
      "hone: recipes/folder: is a folder, a recipe is a file; a run is continued with hone resume recipes/folder");
  EXPECT_EQ(line_of("recipes/large.textproto"),
            "hone: recipes/large.textproto: is no recipe, but a device or more than 1048576 bytes");
  EXPECT_EQ(line_of("/dev/zero"), "hone: /dev/zero: is no recipe, but a device or more than 1048576 bytes");
  EXPECT_EQ(line_of("recipes/binary.textproto"),
            "hone: recipes/binary.textproto:1:1: \\x7f is no UTF-8 text; a recipe is a text file");
}

// Every cut and every changed byte of a recipe is an error in words, or fine; never a crash.
TEST(RecipeErrorsTest, DamagedRecipesEndInOneLine) {
  const std::string good = kGood;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    for (const std::string& text : {good.substr(0, at), damaged}) {
      const std::string line = LineOf(text, {});
      EXPECT_LE(line.size(), 400u);
      EXPECT_TRUE(line == "OK" || line.rfind("hone: r.textproto", 0) == 0) << line;
      EXPECT_EQ(line.find("proto."), std::string::npos) << line;  // Protobuf's own names
    }
  }
}

TEST(RecipeErrorsTest, WhatTheLearnerHolds) {
  EXPECT_EQ(LineOf(kGood, {"stage[0].parameters=bf16"}),
            "hone: --set stage[0].parameters: 'parameters' is 'bf16', wanted float32 or bfloat16");
  EXPECT_EQ(LineOf(kGood, {"model.lora=lora"}),
            "hone: --set model.lora: 'lora' freezes a model that has learnt already, and a "
            "new one has not; give its 'path'");
  const std::string lora = R"txt(task: "countdown" model { path: "base" lora: "lora" }
      stage { kind: RL steps: 1 learning_rate: 1e-3 prompts_per_step: 2 samples_per_prompt: 2 max_new_tokens: 4 kl: "k3" })txt";
  EXPECT_EQ(LineOf(lora, {}), "OK");
  EXPECT_EQ(LineOf(lora, {"stage[0].reference=ema"}),
            "hone: --set stage[0].reference: 'ema' does not go with model.lora; use reference: \"start\", the model "
            "without the "
            "adapter");
  EXPECT_EQ(
      LineOf(lora, {"stage[0].loss=decoupled_ppo", "stage[0].policy_ewma=ewma"}),
      "hone: --set stage[0].policy_ewma: an average of the policy does not go with model.lora, whose weights do not "
      "move; leave one of the two out");
  std::filesystem::create_directories("adapted");
  std::ofstream("adapted/adapter_config.json") << "{}";
  const std::string text = R"(task: "countdown" model { path: "adapted" }
      stage { kind: SFT steps: 1 learning_rate: 1e-3 batch_size: 2 })";
  EXPECT_EQ(LineOf(text, {}),
            "hone: r.textproto:1:27: 'adapted' holds a LoRA adapter, not a model; 'hone export --run RUN --output "
            "DIR' merges it");
}

}  // namespace
}  // namespace hone
