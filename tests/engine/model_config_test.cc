// config.json of real models is accepted and read right; what would change the arithmetic is refused by name.
#include "engine/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/model/model.h"

namespace hone {
namespace {

using Json = nlohmann::json;
using kernels::kWholeSequence;
using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<ModelConfig> Read(const Json& config, const Json& generation = nullptr) {
  const std::string folder = "model";
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(MakeFolder(folder).ok());
  EXPECT_TRUE(WriteFile(folder + "/config.json", config.dump()).ok());
  if (!generation.is_null()) {
    EXPECT_TRUE(WriteFile(folder + "/generation_config.json", generation.dump()).ok());
  }
  return ReadModelConfig(folder);
}

Json Merge(Json base, const Json& changes) {
  base.update(changes);
  return base;
}

// A small model of a family, with what transformers 4 writes for each.
Json Small(const std::string& family) {
  return {{"model_type", family},
          {"vocab_size", 300},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 4},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"max_position_embeddings", 512},
          {"hidden_act", "silu"},
          {"initializer_range", 0.02},
          {"rms_norm_eps", 1e-5},
          {"use_cache", true},
          {"torch_dtype", "bfloat16"},
          {"attention_dropout", 0.0},
          {"transformers_version", "4.43.0"}};
}

const Json kLlama3Rope = {{"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 8192},
                          {"rope_type", "llama3"}};

// The keys and values that decide, of models that people use.
TEST(ModelConfig, RealModelsAreRead) {
  const auto llama2 = Read(Merge(Small("llama"), {{"_name_or_path", "meta-llama/Llama-2-7b-hf"},
                                                  {"architectures", {"LlamaForCausalLM"}},
                                                  {"bos_token_id", 1},
                                                  {"eos_token_id", 2},
                                                  {"num_key_value_heads", 4},
                                                  {"pad_token_id", 0},
                                                  {"pretraining_tp", 1},
                                                  {"rope_scaling", nullptr},
                                                  {"tie_word_embeddings", false}}));
  ASSERT_TRUE(llama2.ok()) << llama2.status();
  EXPECT_EQ(llama2->rope.type, RopeType::kDefault);
  EXPECT_EQ(llama2->rope.theta, 10000);
  EXPECT_EQ(llama2->head_dim, 16);
  EXPECT_FALSE(llama2->tie_word_embeddings);
  EXPECT_THAT(llama2->end_tokens, ElementsAre(2));

  const auto llama31 = Read(Merge(Small("llama"), {{"architectures", {"LlamaForCausalLM"}},
                                                   {"attention_bias", false},
                                                   {"mlp_bias", false},
                                                   {"bos_token_id", 12},
                                                   {"eos_token_id", {13, 14, 15}},
                                                   {"max_position_embeddings", 131072},
                                                   {"pretraining_tp", 1},
                                                   {"rope_scaling", kLlama3Rope},
                                                   {"rope_theta", 500000.0},
                                                   {"tie_word_embeddings", true}}));
  ASSERT_TRUE(llama31.ok()) << llama31.status();
  EXPECT_EQ(llama31->rope.type, RopeType::kLlama3);
  EXPECT_EQ(llama31->rope.original_positions, 8192);
  EXPECT_EQ(llama31->rope.theta, 500000);
  EXPECT_THAT(llama31->end_tokens, ElementsAre(13, 14, 15));

  const auto smollm2 = Read(Merge(Small("llama"), {{"is_llama_config", true},
                                                   {"rope_interleaved", false},
                                                   {"rope_scaling", nullptr},
                                                   {"rope_theta", 100000},
                                                   {"bos_token_id", 0},
                                                   {"eos_token_id", 0},
                                                   {"transformers.js_config", {{"dtype", "q4"}}},
                                                   {"tie_word_embeddings", true}}));
  ASSERT_TRUE(smollm2.ok()) << smollm2.status();
  EXPECT_EQ(smollm2->rope.theta, 100000);

  const auto mistral1 = Read(Merge(Small("mistral"), {{"sliding_window", 128}, {"rope_theta", 10000.0}}));
  ASSERT_TRUE(mistral1.ok()) << mistral1.status();
  EXPECT_THAT(mistral1->windows, ElementsAre(128, 128, 128, 128));
  const auto mistral3 = Read(Merge(Small("mistral"), {{"sliding_window", nullptr}, {"rope_theta", 1000000.0}}));
  ASSERT_TRUE(mistral3.ok()) << mistral3.status();
  EXPECT_EQ(mistral3->window(3), kWholeSequence);

  const auto qwen2 = Read(Merge(Small("qwen2"), {{"max_window_layers", 2},
                                                 {"sliding_window", 131072},
                                                 {"use_sliding_window", false},
                                                 {"use_mrope", false},
                                                 {"rope_theta", 1000000.0}}),
                          {{"eos_token_id", {21, 20}}, {"pad_token_id", 20}, {"top_p", 0.8}});
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_EQ(qwen2->window(3), kWholeSequence);
  EXPECT_EQ(qwen2->begin_token, -1);
  EXPECT_THAT(qwen2->end_tokens, ElementsAre(21, 20));

  const auto qwen3 = Read(Merge(Small("qwen3"), {{"attention_bias", false},
                                                 {"head_dim", 128},
                                                 {"max_window_layers", 36},
                                                 {"sliding_window", nullptr},
                                                 {"use_sliding_window", false},
                                                 {"rope_scaling", nullptr},
                                                 {"rope_theta", 1000000}}));
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_EQ(qwen3->head_dim, 128);
}

TEST(ModelConfig, LayersWithWindows) {
  const Json window = {{"use_sliding_window", true}, {"sliding_window", 64}, {"max_window_layers", 3}};
  EXPECT_THAT(Read(Merge(Small("qwen2"), window))->windows,
              ElementsAre(kWholeSequence, kWholeSequence, kWholeSequence, 64));
  const Json types = {{"layer_types", {"sliding_attention", "full_attention", "sliding_attention", "full_attention"}}};
  EXPECT_THAT(Read(Merge(Merge(Small("qwen3"), window), types))->windows,
              ElementsAre(64, kWholeSequence, 64, kWholeSequence));
}

// transformers 5 writes everything about rope in one object.
TEST(ModelConfig, RopeParameters) {
  const auto config = Read(Merge(Small("llama"), {{"rope_parameters", Merge(kLlama3Rope, {{"rope_theta", 5e5}})}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope.type, RopeType::kLlama3);
  EXPECT_EQ(config->rope.theta, 5e5);
  // 0.1 ln 4 + 1 = 1.1386 where nothing else is said; with mscale the quotient of two such sums.
  const Json yarn = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}};
  EXPECT_NEAR(Read(Merge(Small("qwen2"), {{"rope_scaling", yarn}}))->rope.attention_factor, 1.13862944, 1e-8);
  const Json scaled = Merge(yarn, {{"factor", 40.0}, {"mscale", 0.707}, {"mscale_all_dim", 0.5}});
  EXPECT_NEAR(Read(Merge(Small("qwen2"), {{"rope_scaling", scaled}}))->rope.attention_factor, 1.0644689, 1e-7);
  const Json given = Merge(scaled, {{"attention_factor", 0.75}});
  EXPECT_EQ(Read(Merge(Small("qwen2"), {{"rope_scaling", given}}))->rope.attention_factor, 0.75);
}

TEST(ModelConfig, WhatIsNotSupportedIsRefusedByName) {
  struct Case {
    const char* family;
    Json changes;
    const char* message;
  };
  const auto rope = [](const Json& object) { return Json{{"rope_scaling", object}}; };
  const Case cases[] = {
      {"mamba", Json::object(), "no model family 'mamba'; have: llama, mistral, qwen2, qwen3"},
      {"qwen", Json::object(), "did you mean 'qwen2'?"},
      {"llama", {{"model_type", 3}}, "'model_type' is 3, wanted a text"},
      {"llama", {{"hidden_act", "gelu"}}, "'hidden_act' is \"gelu\", wanted \"silu\", nothing else is supported"},
      {"llama", {{"architectures", {"LlamaForSequenceClassification"}}}, "wanted [\"LlamaForCausalLM\"]"},
      {"llama",
       {{"quantization_config", {{"bits", 4}}}},
       "'quantization_config' is {\"bits\":4}; this build does not know"},
      {"llama",
       {{"attn_logit_softcapping", 50.0}},
       "'attn_logit_softcapping' is 50.0; this build does not know the key"},
      {"llama", {{"rope_interleaved", true}}, "'rope_interleaved' is true, wanted false"},
      {"llama", {{"sliding_window", 64}}, "'sliding_window' is 64; this build does not know"},
      {"mistral", {{"attention_bias", true}}, "'attention_bias' is true; this build does not know"},
      {"qwen2", {{"dual_chunk_attention_config", {{"chunk_size", 9}}}}, "'dual_chunk_attention_config'"},
      {"llama", {{"partial_rotary_factor", 0.5}}, "'partial_rotary_factor' is 0.5, wanted 1.0"},
      {"llama", rope({{"rope_type", "dynamic"}, {"factor", 2.0}}),
       "'rope_scaling/rope_type' is \"dynamic\", wanted default, "
       "linear, llama3 or yarn; angles that change with a text's length would make cached keys stale"},
      {"llama", rope({{"type", "longrope"}}), "'rope_scaling/type' is \"longrope\""},
      {"llama", rope({{"type", "su"}}), "'rope_scaling/type' is \"su\""},
      {"llama", rope({{"type", "yarn"}}), "'rope_scaling/factor' is missing, wanted a positive number"},
      {"llama", rope({{"type", "linear"}}), "'rope_scaling/factor' is missing, wanted a positive number"},
      {"llama", rope({{"type", "linear"}, {"factor", 2}, {"warp", 3}}),
       "'rope_scaling/warp' is 3; this build does not"},
      {"llama", rope(Merge(kLlama3Rope, {{"low_freq_factor", 4.0}})),
       "'rope_scaling/high_freq_factor' is 4.0, wanted more"},
      {"llama", rope("yarn"), "'rope_scaling' is \"yarn\"; this build does not know"},
      {"llama", {{"rope_theta", 0}}, "'rope_theta' is 0, wanted a positive number"},
      {"mistral", {{"sliding_window", -5}}, "'sliding_window' is -5, wanted a whole number from 1"},
      {"mistral", {{"sliding_window", 0}}, "'sliding_window' is 0"},
      {"qwen2", {{"layer_types", {"full_attention"}}}, "'layer_types' is [\"full_attention\"], wanted 4 entries"},
      {"qwen2",
       {{"layer_types", {"full_attention", "full_attention", "sliding_attention", "full_attention"}}},
       "wanted full_attention, or sliding_attention with use_sliding_window"},
      {"qwen2", {{"layer_types", "full_attention"}}, "wanted a list of texts"},
      {"llama", {{"vocab_size", nullptr}}, "'vocab_size' is null, wanted a whole number from 1 to"},
      {"llama", {{"vocab_size", 0}}, "'vocab_size' is 0"},
      {"llama", {{"vocab_size", 2.5}}, "'vocab_size' is 2.5"},
      {"llama", {{"hidden_size", 1 << 30}}, "'hidden_size' is 1073741824, wanted a whole number from 1 to"},
      {"llama", {{"num_hidden_layers", uint64_t{1} << 63}}, "'num_hidden_layers' is 9223372036854775808"},
      {"llama", {{"intermediate_size", "96"}}, "'intermediate_size' is \"96\""},
      {"llama", {{"num_key_value_heads", 3}}, "'num_key_value_heads' is 3, wanted a divisor of num_attention_heads, 4"},
      {"llama", {{"head_dim", 15}}, "'head_dim' is 15, wanted an even number up to 256"},
      {"llama", {{"hidden_size", 60}}, "'head_dim' is missing, wanted an even number up to 256; if missing, it is"},
      {"llama", {{"num_attention_heads", 128}, {"num_key_value_heads", 128}}, "'head_dim' is missing"},
      {"llama", {{"rms_norm_eps", -1}}, "'rms_norm_eps' is -1, wanted a positive number"},
      {"llama", {{"tie_word_embeddings", "yes"}}, "'tie_word_embeddings' is \"yes\", wanted true or false"},
      {"llama", {{"eos_token_id", {1, "x"}}}, "'eos_token_id' is [1,\"x\"], wanted a token id or a list of them"},
      {"llama", {{"eos_token_id", 300}}, "eos_token_id 300 is outside the vocabulary of 300"},
  };
  for (const Case& each : cases) {
    const auto config = Read(Merge(Small(each.family), each.changes));
    ASSERT_FALSE(config.ok()) << each.message;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(each.message));
    EXPECT_LE(config.status().message().size(), 400);
    EXPECT_EQ(config.status().message().find('\n'), std::string::npos);
  }
}

TEST(ModelConfig, NoJson) {
  ASSERT_TRUE(MakeFolder("broken").ok());
  const std::string deep(100000, '[');
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string(), "{\"rope_scaling\": " + deep,
        "{\"a\": " + deep + std::string(100000, ']') + "}", std::string("{\"a\": \"\xff\"}")}) {
    ASSERT_TRUE(WriteFile("broken/config.json", text).ok());
    EXPECT_EQ(ReadModelConfig("broken").status().code(), absl::StatusCode::kInvalidArgument) << text.substr(0, 30);
  }
}

TEST(ModelConfig, KeysThatSayNothingAreIgnored) {
  for (const Json& value : {Json(nullptr), Json(false), Json::object()}) {
    const auto config = Read(Merge(Small("llama"), {{"quantization_config", value}, {"some_future_key", value}}));
    EXPECT_TRUE(config.ok()) << config.status();
  }
}

// What is saved has every key of what was read; only the storage type is new.
TEST(ModelConfig, SavedAsItWasRead) {
  const Json original = Merge(Small("mistral"), {{"sliding_window", 64}, {"architectures", {"MistralForCausalLM"}}});
  const Json generation = {{"eos_token_id", {5, 6}}, {"repetition_penalty", 1.1}};
  const auto config = Read(original, generation);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(Json::parse(ModelConfigText(*config, StorageType::kFloat32)),
            Merge(original, {{"torch_dtype", "float32"}}));
  EXPECT_EQ(Json::parse(GenerationConfigText(*config)), generation);
}

TEST(ModelConfig, NewModelsOfEveryFamilyReadBack) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3"}) {
    ModelConfig config = *Read(Small("llama"));
    config.family = family;
    config.config_text.clear();
    config.rope.theta = 12345;
    config.begin_token = 7;
    config.end_tokens = {8};
    const auto read =
        Read(Json::parse(ModelConfigText(config, StorageType::kFloat32)), Json::parse(GenerationConfigText(config)));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->family, family);
    EXPECT_EQ(read->rope.theta, 12345);
    EXPECT_EQ(read->begin_token, 7);
    EXPECT_EQ(read->head_dim, config.head_dim);
    EXPECT_EQ(read->kv_heads, config.kv_heads);
    EXPECT_EQ(read->window(0), kWholeSequence);
    EXPECT_THAT(read->end_tokens, ElementsAre(8));
    ThreadPool pool(1);
    EXPECT_TRUE(NewModel(*read, &pool).ok());
  }
}

}  // namespace
}  // namespace hone
