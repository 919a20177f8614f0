#include "engine/tokenizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/tokenizer_json.h"
#include "engine/tokenizer_sentencepiece.h"

namespace hone {
namespace {

constexpr char kModelFile[] = "tokenizer.model";
constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kSpecialTokensFile[] = "special_tokens_map.json";

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `model_bytes` are the tokenizer.model of `model`.
  SentencePieceTokenizer(std::string model_bytes, std::unique_ptr<SentencePiece> model)
      : model_bytes_(std::move(model_bytes)), model_(std::move(model)) {}

  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text) const override {
    if (const auto offset = FindInvalidUtf8(text)) {
      return InputError("text is not UTF-8: byte 0x",
                        absl::Hex(static_cast<unsigned char>(text[*offset]), absl::kZeroPad2), " at offset ", *offset);
    }
    return model_->Encode(std::string(text));
  }

  absl::StatusOr<std::string> Decode(const std::vector<TokenId>& tokens) const override {
    for (const TokenId token : tokens) {
      if (token >= 0 && token < vocabulary_size()) continue;
      return InputError("token ", token, " is outside the vocabulary, 0 to ", vocabulary_size() - 1);
    }
    return model_->Decode(tokens);
  }

  int32_t vocabulary_size() const override { return static_cast<int32_t>(model_->pieces().size()); }
  TokenId begin_token() const override { return model_->begin_token(); }
  TokenId end_token() const override { return model_->end_token(); }
  TokenId unknown_token() const override { return model_->unknown_token(); }

  absl::Status Save(const std::string& folder) const override {
    TokenizerFiles files = own_files_;
    if (files.tokenizer_json.empty()) {
      HONE_ASSIGN_OR_RETURN(files, ToTokenizerFiles(*model_));
    }
    const auto write = [&](const char* name, const std::string& content) {
      return content.empty() ? absl::OkStatus() : WriteFile(absl::StrCat(folder, "/", name), content);
    };
    HONE_RETURN_IF_ERROR(write(kModelFile, model_bytes_));
    HONE_RETURN_IF_ERROR(write(kTokenizerFile, files.tokenizer_json));
    HONE_RETURN_IF_ERROR(write(kConfigFile, files.tokenizer_config_json));
    return write(kSpecialTokensFile, files.special_tokens_map_json);
  }

  // What the model came with, so that a checkpoint of someone else's model keeps its tokenizer as it was.
  void KeepFiles(const std::string& folder) {
    const auto read = [&](const char* name) { return ReadFile(absl::StrCat(folder, "/", name)).value_or(""); };
    own_files_ = {read(kTokenizerFile), read(kConfigFile), read(kSpecialTokensFile)};
  }

 private:
  std::string model_bytes_;
  std::unique_ptr<SentencePiece> model_;
  TokenizerFiles own_files_;  // empty for a model trained here
};

absl::StatusOr<std::unique_ptr<SentencePieceTokenizer>> FromBytes(std::string bytes, const std::string& source) {
  auto model = SentencePiece::FromBytes(bytes);
  if (model == nullptr) {
    return InputError(source, ": its ", bytes.size(),
                      " bytes are no whole SentencePiece model; fetch or export the model again");
  }
  if (model->unknown_token() < 0 || model->begin_token() < 0 || model->end_token() < 0) {
    return InputError(source, ": has no ",
                      model->begin_token() < 0 ? "begin"
                      : model->end_token() < 0 ? "end"
                                               : "unknown",
                      " token; train it with bos_id, eos_id and unk_id");
  }
  for (size_t token = 0; token < model->pieces().size(); ++token) {
    if (FindInvalidUtf8(model->pieces()[token].text))
      return InputError(source, ": the text of token ", token, " is not UTF-8");
  }
  return std::make_unique<SentencePieceTokenizer>(std::move(bytes), std::move(model));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kModelFile);
  HONE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  HONE_ASSIGN_OR_RETURN(auto tokenizer, FromBytes(std::move(bytes), path));
  tokenizer->KeepFiles(folder);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> TrainTokenizer(Spec& spec, const std::vector<std::string>& lines) {
  SentencePieceTraining training;
  training.model_type = spec.Choice("model_type", "char", {"char", "bpe", "unigram"});
  training.vocabulary_size = static_cast<int32_t>(spec.Int("vocabulary_size", 8000, 4, 1'000'000));
  // Numbers from 0 to this are one token each, so that a model need not learn to spell them; 0: none, 9 or more.
  const auto whole_numbers = static_cast<int>(spec.Int("whole_numbers", 0, 0, 9999));
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (training.model_type == "unigram" && whole_numbers > 0) {
    return InputError(
        "sentencepiece: whole_numbers works with model_type=char or bpe; unigram weighs pieces against each other");
  }
  if (whole_numbers > 0 && whole_numbers < 9) {
    return InputError("sentencepiece: option 'whole_numbers' is ", whole_numbers, ", wanted 0 (none) or 9 and more");
  }
  for (int number = 0; number <= whole_numbers && whole_numbers > 0; ++number)
    training.symbols.push_back(absl::StrCat(number));

  bool empty = true;
  for (size_t line = 0; line < lines.size(); ++line) {
    if (FindInvalidUtf8(lines[line]))
      return InputError("tokenizer: line ", line + 1, " of its training text is not UTF-8");
    empty &= lines[line].empty();
  }
  if (empty) return InputError("tokenizer: there is no text to train it on");
  training.lines = &lines;

  std::string error;
  std::string bytes = TrainSentencePiece(training, error);
  if (!error.empty()) return InputError("tokenizer: SentencePiece cannot be trained: ", Visible(error, 200));
  return FromBytes(std::move(bytes), "the trained tokenizer");
}

}  // namespace hone
