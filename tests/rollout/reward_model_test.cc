// Small models whose scores and answers can be told by hand, and random ones for what threads may not change.
#include "rollout/reward_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "engine/base/file.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "tests/engine/tokenizer_testing.h"

namespace hone {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// Tokens: a newline, printable ASCII by character, then the special ones.
constexpr TokenId kEnd = 96, kPad = 97;
constexpr int32_t kVocabulary = 98, kPositions = 160;
constexpr char kChat[] =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}judge>{% endif %}";

TokenId TokenOf(char c) { return c == '\n' ? 0 : c - 31; }

Json Vocabulary() {
  std::vector<std::string> texts = {"\n"};
  for (char c = ' '; c <= '~'; ++c) texts.emplace_back(1, c);
  texts.insert(texts.end(), {"<|end|>", "<|pad|>"});
  Json file = TokenizerFile(texts, {});
  file["added_tokens"] = {Added(kEnd, "<|end|>"), Added(kPad, "<|pad|>")};
  return file;
}

// Embeddings are the unit vectors, and a layer adds nothing to them.
ModelConfig PlainConfig() {
  ModelConfig config;
  config.vocab_size = config.hidden_size = kVocabulary;
  config.intermediate_size = config.head_dim = 8;
  config.layers = config.heads = config.kv_heads = 1;
  config.max_position_embeddings = kPositions;
  config.end_tokens = {kEnd};
  config.rms_norm_eps = 1e-12;
  config.tie_word_embeddings = false;
  return config;
}

class RewardModelTest : public testing::Test {
 protected:
  RewardModelTest() {
    ops::UseOneTensorThread();
    std::filesystem::remove_all(folder_);
    EXPECT_TRUE(MakeFolder(folder_).ok());
    Write("tokenizer.json", Vocabulary());
  }

  void Write(const std::string& name, const Json& json) {
    ASSERT_TRUE(WriteFile(folder_ + "/" + name, json.dump()).ok());
  }
  void UseChatTemplate() { Write("tokenizer_config.json", {{"chat_template", kChat}, {"eos_token", "<|end|>"}}); }

  // A new model with `change` applied to each weight; of a classifier the head gives way to score.weight.
  template <typename Change>
  void WriteModel(const ModelConfig& config, const std::vector<float>* score, const Json& more, const Change& change) {
    ThreadPool pool(1);
    const auto model = NewModel(config, &pool).value();
    InitializeWeights(*model, 5);
    std::vector<TensorToWrite> tensors;
    for (const Parameter& parameter : model->parameters()) {
      if (score != nullptr && parameter.name == "lm_head.weight") continue;
      std::vector<float> weights = PlainWeights(parameter, parameter.value);
      change(parameter, weights);
      tensors.push_back({parameter.name, parameter.shape, [weights] { return weights; }});
    }
    Json json = Json::parse(ModelConfigText(config, StorageType::kFloat32));
    if (score != nullptr) {
      const auto labels = static_cast<int64_t>(score->size()) / config.hidden_size;
      tensors.push_back({"score.weight", {labels, config.hidden_size}, [score] { return *score; }});
      json["architectures"] = {"LlamaForSequenceClassification"};
      json["id2label"] = {{"0", "LABEL_0"}};
    }
    json.update(more);
    Write("config.json", json);
    ASSERT_TRUE(WriteSafetensors(folder_ + "/model.safetensors", tensors, StorageType::kFloat32).ok());
  }

  // The score of a text is that of its last token: token / 100.
  void WriteClassifier(const Json& more = Json::object(), int labels = 1) {
    // The final norm makes a unit vector sqrt(98) long.
    std::vector<float> score(labels * kVocabulary);
    for (int i = 0; i < kVocabulary; ++i) score[i] = static_cast<float>(i / 100.0 / std::sqrt(kVocabulary));
    WriteModel(PlainConfig(), &score, more, [](const Parameter& parameter, std::vector<float>& weights) {
      if (parameter.shape.size() == 1) return;
      std::fill(weights.begin(), weights.end(), 0.0f);
      if (parameter.name != "model.embed_tokens.weight") return;
      for (int i = 0; i < kVocabulary; ++i) weights[i * kVocabulary + i] = 1;
    });
  }

  // Says "Score: 7" after '>', and 'b' without end after 'b'.
  void WriteJudge() {
    WriteModel(PlainConfig(), nullptr, Json::object(), [](const Parameter& parameter, std::vector<float>& weights) {
      if (parameter.shape.size() == 1) return;
      std::fill(weights.begin(), weights.end(), 0.0f);
      const bool head = parameter.name == "lm_head.weight";
      if (head) {
        const std::string chain = ">Score: 7";
        for (size_t i = 0; i + 1 < chain.size(); ++i)
          weights[TokenOf(chain[i + 1]) * kVocabulary + TokenOf(chain[i])] = 1;
        weights[kEnd * kVocabulary + TokenOf('7')] = 1;
        weights[TokenOf('b') * kVocabulary + TokenOf('b')] = 1;
      } else if (parameter.name == "model.embed_tokens.weight") {
        for (int i = 0; i < kVocabulary; ++i) weights[i * kVocabulary + i] = 1;
      }
    });
  }

  // Every weight random, so that every token of a text counts.
  void WriteRandomClassifier() {
    ModelConfig config = PlainConfig();
    config.hidden_size = 48;
    config.intermediate_size = 80;
    config.layers = 3;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 12;
    config.initializer_std = 0.3;
    std::vector<float> score(config.hidden_size);
    for (int i = 0; i < config.hidden_size; ++i) score[i] = static_cast<float>(std::sin(i + 1.0));
    WriteModel(config, &score, Json::object(), [](const Parameter&, std::vector<float>&) {});
  }

  absl::StatusOr<std::unique_ptr<Verifier>> Make(const std::string& options = "") {
    auto spec = Spec::Parse(absl::StrCat("reward_model(path=", folder_, options.empty() ? "" : ",", options, ")"));
    EXPECT_TRUE(spec.ok()) << spec.status();
    return NewRewardModelVerifier(*spec);
  }

  std::string Refusal(const std::string& options = "") {
    const absl::Status status = Make(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

  Verdict Verify(const std::string& completion, const std::string& options = "",
                 const std::string& text = "q: ", const std::string& conversation = "") {
    const auto verifier = Make(options);
    EXPECT_TRUE(verifier.ok()) << verifier.status();
    Prompt prompt;
    prompt.text = text;
    prompt.conversation = conversation;
    return (*verifier)->Verify(prompt, completion);
  }

  const std::string folder_ = "reward";
};

TEST_F(RewardModelTest, AClassifierScoresTheLastToken) {
  WriteClassifier();
  const Verdict verdict = Verify("abcA");
  // 'A' is token 34.
  ASSERT_TRUE(verdict.score.has_value()) << verdict.reason;
  EXPECT_NEAR(*verdict.score, 0.34, 1e-6);
  EXPECT_THAT(verdict.parts, ElementsAre(Pair("logit", *verdict.score)));
  EXPECT_NEAR(*Verify("").score, 0.01, 1e-6);  // the prompt's space
  EXPECT_NEAR(*Verify("abcA", "normalise=sigmoid").score, 1 / (1 + std::exp(-0.34)), 1e-6);
}

TEST_F(RewardModelTest, AClassifierReadsItsChatTemplate) {
  WriteClassifier();
  UseChatTemplate();
  EXPECT_NEAR(*Verify("abcA").score, kEnd / 100.0, 1e-6);
}

TEST_F(RewardModelTest, AConversationGoesOnWithTheCompletion) {
  WriteRandomClassifier();
  const std::string text = "[q][a][r]",
                    conversation =
                        R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"},
                                                    {"role": "user", "content": "r"}], "add_generation_prompt": true})";
  // Without a template of its own the model reads what the policy read.
  EXPECT_EQ(Verify("b", "", text, conversation).score, Verify("b", "", text).score);
  UseChatTemplate();
  // The template makes one message of this user's, up to the last mark, and two of the other.
  const double wanted = *Verify("b", "", "q<|end|>assistant: a<|end|>user: r").score;
  EXPECT_EQ(Verify("b", "", text, conversation).score, wanted);
  EXPECT_NE(Verify("c", "", text, conversation).score, wanted);
}

TEST_F(RewardModelTest, AJudgeIsShownAConversationWithoutItsMarks) {
  WriteJudge();
  const std::string brief = "template='{completion}{prompt}',max_new_tokens=12";
  const std::string conversation = R"({"messages": [{"role": "user", "content": ">"}]})";
  EXPECT_EQ(Verify("x", brief, "<|end|>", conversation).score, 0.7);  // "x< |end|>": the judge answers after '>'
  EXPECT_EQ(Verify("x", brief, "<|end|>").score, std::nullopt);
}

TEST_F(RewardModelTest, PadTokensAtTheEndDoNotCount) {
  WriteClassifier({{"pad_token_id", TokenOf('z')}});
  EXPECT_NEAR(*Verify("aAzz").score, 0.34, 1e-6);
  EXPECT_NEAR(*Verify("zzz", "", "").score, TokenOf('z') / 100.0, 1e-6);  // nothing else is there
  UseChatTemplate();
  WriteClassifier({{"pad_token_id", kEnd}});
  EXPECT_NEAR(*Verify("aA").score, 0.34, 1e-6);
}

TEST_F(RewardModelTest, ACompletionCannotSpellSpecialTokens) {
  WriteClassifier();
  // "< |end|>" ends with '>', token 31.
  EXPECT_NEAR(*Verify("x<|end|>").score, TokenOf('>') / 100.0, 1e-6);
  EXPECT_NEAR(*Verify("x<<|end|>").score, TokenOf('>') / 100.0, 1e-6);
}

TEST_F(RewardModelTest, AJudgeSaysItsScore) {
  WriteJudge();
  UseChatTemplate();
  const Verdict verdict = Verify("an answer");
  EXPECT_EQ(verdict.score, std::nullopt);  // our question is longer than the model's positions
  const std::string brief = "template='{prompt}{completion}',max_new_tokens=12";
  const Verdict short_one = Verify("an answer", brief);
  EXPECT_EQ(short_one.score, 0.7) << short_one.reason;
  EXPECT_EQ(short_one.reason, "the judge: Score: 7");
  EXPECT_THAT(short_one.parts, ElementsAre(Pair("rating", 7)));
  EXPECT_EQ(Verify("an answer", brief + ",scale=20").score, 0.35);
  EXPECT_EQ(Verify("an answer", brief + ",scale=5").score, std::nullopt);
}

TEST_F(RewardModelTest, AJudgeWithoutNumberGivesNoVerdict) {
  WriteJudge();
  const std::string brief = "template='{prompt}{completion}',max_new_tokens=12";
  EXPECT_EQ(Verify(">", brief).score, 0.7);  // no chat template: the question as it stands
  const Verdict verdict = Verify("b", brief);
  EXPECT_EQ(verdict.score, std::nullopt);
  EXPECT_EQ(verdict.reason, "the judge gave no score before its tokens ran out: bbbbbbbbbbbb");
  EXPECT_THAT(Verify("b", "template='{answer}{completion}'").reason, HasSubstr("the prompt has no answer"));
}

TEST_F(RewardModelTest, WhatCannotBeReadHasNoVerdict) {
  WriteClassifier();
  EXPECT_NEAR(*Verify(std::string(kPositions - 3, 'A')).score, 0.34, 1e-6);
  const Verdict longer = Verify(std::string(kPositions - 2, 'A'));
  EXPECT_EQ(longer.score, std::nullopt);
  EXPECT_EQ(longer.reason, "the text has 161 tokens, the model has 160 positions");
  EXPECT_EQ(Verify("AA", "max_tokens=4").reason, "the conversation has more tokens than max_tokens=4");
  EXPECT_EQ(Verify("", "", "").reason, "the text has no tokens");
  EXPECT_EQ(Verify("a\xff").reason, "the completion is not UTF-8");
  UseChatTemplate();
  EXPECT_EQ(Verify("a", "", "\xff").reason, "the prompt is not UTF-8");
  WriteJudge();
  EXPECT_THAT(Verify(std::string(kPositions, 'A'), "template='{completion}',max_new_tokens=9").reason,
              HasSubstr("positions"));
}

TEST_F(RewardModelTest, ThreadsAndCallsAtATimeChangeNothing) {
  WriteRandomClassifier();
  UseChatTemplate();
  std::vector<std::string> texts;
  for (int i = 0; i < 24; ++i) texts.push_back(std::string(1 + i * 5, static_cast<char>('a' + i)) + " and so on");
  std::vector<double> wanted;
  for (const std::string& text : texts) wanted.push_back(*Verify(text).score);
  for (size_t i = 1; i < wanted.size(); ++i) EXPECT_NE(wanted[i], wanted[0]);
  for (const char* options : {"threads=1", "threads=3"}) {
    const auto verifier = Make(options).value();
    EXPECT_EQ(verifier->Concurrency(), options[8] == '1' ? 0 : 1);
    std::vector<std::thread> callers;
    std::vector<std::vector<double>> scores(4);
    for (std::vector<double>& own : scores) {
      callers.emplace_back([&] {
        Prompt prompt;
        prompt.text = "q: ";
        for (const std::string& text : texts) own.push_back(verifier->Verify(prompt, text).score.value_or(NAN));
      });
    }
    for (std::thread& caller : callers) caller.join();
    for (const std::vector<double>& own : scores) EXPECT_EQ(own, wanted) << options;
  }
}

TEST_F(RewardModelTest, WrongOptions) {
  Spec bare = Spec::Parse("reward_model").value();
  EXPECT_THAT(std::string(NewRewardModelVerifier(bare).status().message()), HasSubstr("no option 'path'"));
  Spec nowhere = Spec::Parse("reward_model(path=nowhere)").value();
  EXPECT_THAT(std::string(NewRewardModelVerifier(nowhere).status().message()), HasSubstr("nowhere/config.json"));
  WriteClassifier();
  EXPECT_THAT(Refusal("mode=jugde"), HasSubstr("judge"));
  EXPECT_THAT(Refusal("mode=judge"), HasSubstr("'architectures' is [\"LlamaForSequenceClassification\"]"));
  EXPECT_THAT(Refusal("template='{completion}'"), HasSubstr("'template' is for a judge"));
  EXPECT_THAT(Refusal("template='{prompt}'"), HasSubstr("has no {completion}"));
  WriteJudge();
  EXPECT_THAT(Refusal("mode=classifier"), HasSubstr("wanted [\"LlamaForSequenceClassification\"]"));
  EXPECT_THAT(Refusal("normalise=sigmoid"), HasSubstr("'normalise' is for a classifier"));
}

TEST_F(RewardModelTest, FoldersThatAreNoRewardModels) {
  const Json three = {{"0", "a"}, {"1", "b"}, {"2", "c"}};
  WriteClassifier({{"id2label", three}}, 3);
  EXPECT_THAT(Refusal(), HasSubstr("'id2label' is {\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}, wanted one with 1 member"));
  WriteClassifier({{"id2label", nullptr}, {"num_labels", 3}}, 3);
  EXPECT_THAT(Refusal(), HasSubstr("'num_labels' is 3, wanted 1"));
  WriteClassifier({{"id2label", nullptr}}, 3);
  EXPECT_THAT(Refusal(), HasSubstr("'score.weight' is [3, 98], the model wants [1, 98]"));
  WriteClassifier({{"architectures", {"LlamaForTokenClassification"}}});
  EXPECT_THAT(Refusal(), HasSubstr("LlamaForTokenClassification"));
  WriteClassifier({{"architectures", {"BertForSequenceClassification"}}, {"model_type", "bert"}});
  EXPECT_THAT(Refusal(), HasSubstr("no model family 'bert'"));
  WriteJudge();
  Json config = Json::parse(ReadFile(folder_ + "/config.json").value());
  config["architectures"] = {"LlamaForSequenceClassification"};
  Write("config.json", config);
  EXPECT_THAT(Refusal(), HasSubstr("'score.weight' is missing"));
}

}  // namespace
}  // namespace hone
