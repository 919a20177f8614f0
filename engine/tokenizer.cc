#include "engine/tokenizer.h"

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/tokenizer_decoder.h"
#include "engine/tokenizer_json.h"
#include "engine/tokenizer_sentencepiece.h"

namespace hone {
namespace {

constexpr char kModelFile[] = "tokenizer.model";
constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kSpecialTokensFile[] = "special_tokens_map.json";
// What else belongs to a tokenizer and is kept with a checkpoint.
constexpr const char* kOtherFiles[] = {"added_tokens.json",   "additional_chat_templates/tool_use.jinja",
                                       "chat_template.jinja", "chat_template.json",
                                       "merges.txt",          "vocab.json"};

// What each token shows as, by the rules of SentencePiece's own Decode.
TokenTexts TextsOf(const SentencePiece& model) {
  TokenTexts texts;
  texts.bytes = TokenTexts::Bytes::kEach;
  const SentencePieceTraits& traits = model.traits();
  if (traits.add_dummy_prefix || traits.remove_extra_whitespaces) {
    texts.leading_spaces = traits.remove_extra_whitespaces ? std::numeric_limits<int>::max() : 1;
    texts.leading_spaces_per_token = 1;
  }
  for (const Piece& piece : model.pieces()) {
    std::string text = absl::StrReplaceAll(piece.text, {{"\u2581", " "}});
    TokenTexts::Kind kind = TokenTexts::Kind::kText;
    switch (piece.kind) {
      case PieceKind::kUnknown:
        text = model.Decode({model.unknown_token()});
        kind = TokenTexts::Kind::kVerbatim;
        break;
      case PieceKind::kControl:
        text.clear();
        kind = TokenTexts::Kind::kVerbatim;
        break;
      case PieceKind::kByte:  // "<0x0A>"
        text = static_cast<char>(std::strtol(piece.text.c_str() + 3, nullptr, 16));
        kind = TokenTexts::Kind::kByte;
        break;
      case PieceKind::kNormal:
      case PieceKind::kUserDefined:
      case PieceKind::kUnused:
        break;
    }
    texts.texts.Append(text);
    texts.kinds.push_back(kind);
  }
  return texts;
}

// Those of a model folder's files that belong to its tokenizer. One that is there and cannot be read is an error: every checkpoint would
// lack it.
absl::StatusOr<FilesByName> ReadTokenizerFiles(const std::string& folder) {
  std::vector<std::string> names = {kModelFile, kTokenizerFile, kConfigFile, kSpecialTokensFile};
  names.insert(names.end(), std::begin(kOtherFiles), std::end(kOtherFiles));
  FilesByName files;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    HONE_ASSIGN_OR_RETURN(files[name], ReadFile(path));
  }
  return files;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<SentencePiece> model, FilesByName files)
      : Tokenizer(std::move(files)), model_(std::move(model)), texts_(TextsOf(*model_)) {}

  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text) const override {
    if (const auto offset = FindInvalidUtf8(text)) {
      return InputError("text is not UTF-8: byte 0x",
                        absl::Hex(static_cast<unsigned char>(text[*offset]), absl::kZeroPad2), " at offset ", *offset);
    }
    return model_->Encode(std::string(text));
  }

  absl::StatusOr<std::string> Decode(const std::vector<TokenId>& tokens) const override {
    std::vector<TokenId> known;
    for (const TokenId token : tokens) {
      if (token < 0) return InputError("token ", token, " is negative");
      if (token < vocabulary_size()) known.push_back(token);
    }
    return model_->Decode(known);
  }

  const TokenTexts& texts() const override { return texts_; }

  absl::string_view TokenText(TokenId token) const override {
    return token >= 0 && token < vocabulary_size() ? absl::string_view(model_->pieces()[token].text)
                                                   : absl::string_view();
  }

  int32_t vocabulary_size() const override { return static_cast<int32_t>(model_->pieces().size()); }
  TokenId begin_token() const override { return model_->begin_token(); }
  TokenId end_token() const override { return model_->end_token(); }
  TokenId unknown_token() const override { return model_->unknown_token(); }

 private:
  std::unique_ptr<SentencePiece> model_;
  TokenTexts texts_;
};

absl::StatusOr<std::unique_ptr<SentencePiece>> FromBytes(const std::string& bytes, const std::string& source) {
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
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(FilesByName files, ReadTokenizerFiles(folder));
  const bool has_model = files.count(kModelFile) > 0;
  const auto json = files.find(kTokenizerFile);
  if (json != files.end() && (!has_model || IsByteLevel(json->second)))
    return NewBpeTokenizer(std::move(files), folder);
  if (!has_model) {
    const auto status = ReadFile(absl::StrCat(folder, "/", kModelFile)).status();
    return files.empty() ? status
                         : InputError(folder,
                                      ": has neither tokenizer.json nor tokenizer.model; write one with transformers' "
                                      "AutoTokenizer.from_pretrained(...).save_pretrained(...)");
  }
  const std::string path = absl::StrCat(folder, "/", kModelFile);
  HONE_ASSIGN_OR_RETURN(auto model, FromBytes(files[kModelFile], path));
  return std::make_unique<SentencePieceTokenizer>(std::move(model), std::move(files));
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
  HONE_ASSIGN_OR_RETURN(auto model, FromBytes(bytes, "the trained tokenizer"));
  HONE_ASSIGN_OR_RETURN(TokenizerFiles made, ToTokenizerFiles(*model));
  FilesByName files = {{kModelFile, std::move(bytes)},
                       {kTokenizerFile, std::move(made.tokenizer_json)},
                       {kConfigFile, std::move(made.tokenizer_config_json)},
                       {kSpecialTokensFile, std::move(made.special_tokens_map_json)}};
  return std::make_unique<SentencePieceTokenizer>(std::move(model), std::move(files));
}

}  // namespace hone
