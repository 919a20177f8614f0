#include "rollout/reward_model.h"

#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "engine/base/text.h"
#include "engine/chat_template.h"
#include "engine/checkpoint.h"
#include "engine/generator.h"
#include "engine/sequence_classifier.h"
#include "engine/tokenizer.h"
#include "kernels/thread_pool.h"
#include "rollout/judge.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;  // templates may see the order of a message's members

constexpr size_t kShownBytes = 300;  // of a judge's answer

struct RewardModelOptions {
  std::string path, mode, instructions, normalise;
  int32_t max_new_tokens = 256, max_tokens = 16384, threads = 1;
  double scale = 10;
};

// Texts to what the model of a folder reads.
class Reader {
 public:
  static absl::StatusOr<Reader> Load(const std::string& folder) {
    Reader reader;
    HONE_ASSIGN_OR_RETURN(reader.tokenizer_, LoadTokenizer(folder));
    HONE_ASSIGN_OR_RETURN(reader.chat_, ChatTemplate::LoadIfAny(folder));
    HONE_RETURN_IF_ERROR(reader.FindSpecialTokens());
    return reader;
  }

  const Tokenizer& tokenizer() const { return *tokenizer_; }

  // A text in which nothing is read as a special token.
  absl::StatusOr<std::string> WithoutSpecialTokens(const std::string& text) const {
    if (FindInvalidUtf8(text)) return InputError("the completion is not UTF-8");
    return absl::StrReplaceAll(text, special_);
  }

  // A question and the answer that was given.
  absl::StatusOr<std::vector<TokenId>> ReadExchange(const Prompt& prompt, const std::string& completion) const {
    if (!chat_) return ReadPlain(prompt.text + completion);
    Json conversation;
    if (!prompt.conversation.empty()) {
      conversation = Json::parse(prompt.conversation);
    } else {
      if (FindInvalidUtf8(prompt.text)) return InputError("the prompt is not UTF-8");
      conversation["messages"] = {{{"role", "user"}, {"content", prompt.text}}};
    }
    conversation["messages"].push_back({{"role", "assistant"}, {"content", completion}});
    conversation["add_generation_prompt"] = false;
    HONE_ASSIGN_OR_RETURN(const std::string text, chat_->Render(conversation.dump()));
    return tokenizer_->Encode(text);
  }

  // A question to be answered.
  absl::StatusOr<std::vector<TokenId>> ReadQuestion(const std::string& question) const {
    if (!chat_) return ReadPlain(question);
    HONE_ASSIGN_OR_RETURN(const std::string text, chat_->RenderPrompt(question));
    return tokenizer_->Encode(text);
  }

 private:
  absl::StatusOr<std::vector<TokenId>> ReadPlain(const std::string& text) const {
    HONE_ASSIGN_OR_RETURN(std::vector<TokenId> tokens, tokenizer_->Encode(text));
    if (tokenizer_->begin_token() >= 0) tokens.insert(tokens.begin(), tokenizer_->begin_token());
    return tokens;
  }

  // Those that vanish in a text again, and that a text can spell.
  absl::Status FindSpecialTokens() {
    for (TokenId token = 0; token < tokenizer_->vocabulary_size(); ++token) {
      const std::string text(tokenizer_->TokenText(token));
      if (text.empty()) continue;
      HONE_ASSIGN_OR_RETURN(const std::string shown, tokenizer_->Decode({token}));
      if (!shown.empty() || FindInvalidUtf8(text)) continue;
      HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> spelt, tokenizer_->Encode(text));
      const size_t first = ReadUtf8(text, 0).bytes;
      if (spelt == std::vector<TokenId>{token}) {
        special_.emplace_back(text, absl::StrCat(text.substr(0, first), " ", text.substr(first)));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
  std::vector<std::pair<std::string, std::string>> special_;  // how a text spells one, and how it is shown instead
};

// What both modes do around the model.
class RewardModel : public Verifier {
 public:
  RewardModel(RewardModelOptions options, Reader reader)
      : options_(std::move(options)), reader_(std::move(reader)), pool_(options_.threads) {}

  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    absl::StatusOr<Verdict> verdict = Judge(prompt, completion);
    if (!verdict.ok()) return {std::nullopt, std::string(verdict.status().message()), {}};
    return *std::move(verdict);
  }

  int Concurrency() const override { return options_.threads == 1 ? 0 : 1; }

  virtual absl::Status LoadWeights() = 0;

 protected:
  virtual absl::StatusOr<std::vector<TokenId>> Read(const Prompt& prompt, const std::string& completion) const = 0;
  virtual absl::StatusOr<Verdict> Run(const std::vector<TokenId>& tokens) const = 0;

  ThreadPool* pool() const { return &pool_; }

  const RewardModelOptions options_;
  const Reader reader_;

 private:
  absl::StatusOr<Verdict> Judge(const Prompt& prompt, const std::string& completion) const {
    HONE_ASSIGN_OR_RETURN(const std::string shown, reader_.WithoutSpecialTokens(completion));
    HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, Read(prompt, shown));
    if (static_cast<int64_t>(tokens.size()) > options_.max_tokens) {
      return InputError("the conversation has more tokens than max_tokens=", options_.max_tokens);
    }
    // A pool of one thread has no state and takes any number of callers.
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    if (options_.threads > 1) lock.lock();
    return Run(tokens);
  }

  mutable std::mutex mutex_;  // of pool_
  mutable ThreadPool pool_;
};

class Classifier : public RewardModel {
 public:
  using RewardModel::RewardModel;

  absl::Status LoadWeights() override {
    HONE_ASSIGN_OR_RETURN(model_, SequenceClassifier::Load(options_.path, pool()));
    return absl::OkStatus();
  }

 protected:
  absl::StatusOr<std::vector<TokenId>> Read(const Prompt& prompt, const std::string& completion) const override {
    return reader_.ReadExchange(prompt, completion);
  }

  absl::StatusOr<Verdict> Run(const std::vector<TokenId>& tokens) const override {
    HONE_ASSIGN_OR_RETURN(const double logit, model_->Score(tokens));
    if (!std::isfinite(logit)) return InputError("the reward model's logit is not finite");
    const double score = options_.normalise == "sigmoid" ? 1 / (1 + std::exp(-logit)) : logit;
    return Verdict{score, absl::StrFormat("logit %.6g", logit), {{"logit", logit}}};
  }

 private:
  std::unique_ptr<SequenceClassifier> model_;
};

class GenerativeJudge : public RewardModel {
 public:
  using RewardModel::RewardModel;

  absl::Status LoadWeights() override {
    HONE_ASSIGN_OR_RETURN(model_, LoadModel(options_.path, pool(), MatrixStorage::kExact));
    return absl::OkStatus();
  }

 protected:
  absl::StatusOr<std::vector<TokenId>> Read(const Prompt& prompt, const std::string& completion) const override {
    Prompt shown = prompt;
    if (!prompt.conversation.empty()) {  // its text is in the policy's template, whose marks may be the judge's too
      HONE_ASSIGN_OR_RETURN(shown.text, reader_.WithoutSpecialTokens(prompt.text));
    }
    HONE_ASSIGN_OR_RETURN(const std::string question,
                          JudgeQuestion(options_.instructions, shown, completion, options_.scale));
    return reader_.ReadQuestion(question);
  }

  absl::StatusOr<Verdict> Run(const std::vector<TokenId>& tokens) const override {
    GenerationOptions generation;
    generation.max_new_tokens = options_.max_new_tokens;
    generation.temperature = 0;
    GeneratorLimits limits;
    limits.sequences = 1;
    limits.kv_bytes = int64_t{1} << 50;  // what one sequence needs, which max_tokens bounds
    Prompt question;
    question.tokens = tokens;
    const GenerationRequest request{&question, 1};
    Sample answer;
    HONE_RETURN_IF_ERROR(
        Generator(model_.get(), &reader_.tokenizer(), limits)
            .Run({&request, 1}, generation, [&](size_t, Sample sample) { answer = std::move(sample); }));
    HONE_ASSIGN_OR_RETURN(const std::string text, reader_.tokenizer().Decode(answer.tokens));
    const absl::StatusOr<double> rating = ReadJudgeScore(text, answer.finish_reason, options_.scale);
    if (!rating.ok()) return InputError(rating.status().message(), ": ", Visible(text, kShownBytes));
    return Verdict{
        *rating / options_.scale, absl::StrCat("the judge: ", Visible(text, kShownBytes)), {{"rating", *rating}}};
  }

 private:
  std::unique_ptr<Model> model_;
};

// The mode in force, and whether the options belong to it.
absl::StatusOr<std::string> ChooseMode(const RewardModelOptions& options) {
  std::string mode = options.mode;
  if (mode == "auto") {
    HONE_ASSIGN_OR_RETURN(const ModelHead head, ReadModelHead(options.path));
    mode = head == ModelHead::kScore ? "classifier" : "judge";
  }
  if (mode == "classifier" && !options.instructions.empty()) {
    return InputError("reward_model: 'template' is for a judge, and ", options.path, " is a classifier; leave it out");
  }
  if (mode == "judge" && options.normalise != "none") {
    return InputError("reward_model: 'normalise' is for a classifier, and ", options.path,
                      " is a judge, whose scores lie in 0 .. 1 already; leave it out");
  }
  return mode;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewRewardModelVerifier(Spec& spec) {
  RewardModelOptions options;
  options.path = spec.Text("path", "");
  options.mode = spec.Choice("mode", "auto", {"auto", "classifier", "judge"});
  options.normalise = spec.Choice("normalise", "none", {"none", "sigmoid"});
  options.instructions = spec.Text("template", "");
  options.max_new_tokens = static_cast<int32_t>(spec.Int("max_new_tokens", options.max_new_tokens, 1, 1 << 20));
  options.scale = spec.Double("scale", options.scale, 1e-6, 1e6);
  options.max_tokens = static_cast<int32_t>(spec.Int("max_tokens", options.max_tokens, 1, 1 << 20));
  options.threads = static_cast<int32_t>(spec.Int("threads", options.threads, 1, 1024));
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.path.empty()) {
    return InputError("reward_model: no option 'path'; name the folder of a model: reward_model(path=DIR)");
  }
  if (!options.instructions.empty() && !absl::StrContains(options.instructions, "{completion}")) {
    return InputError("reward_model: 'template' has no {completion}, so that every answer would get the same score");
  }
  HONE_ASSIGN_OR_RETURN(const std::string mode, ChooseMode(options));
  HONE_ASSIGN_OR_RETURN(Reader reader, Reader::Load(options.path));
  std::unique_ptr<RewardModel> model;
  if (mode == "classifier") {
    model = std::make_unique<Classifier>(std::move(options), std::move(reader));
  } else {
    model = std::make_unique<GenerativeJudge>(std::move(options), std::move(reader));
  }
  HONE_RETURN_IF_ERROR(model->LoadWeights());
  return std::unique_ptr<Verifier>(std::move(model));
}

}  // namespace hone
