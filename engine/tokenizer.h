// Text to tokens and back. SentencePiece models (https://arxiv.org/abs/1808.06226), kept in a model folder as tokenizer.model and, for
// transformers, as tokenizer.json with tokenizer_config.json; and byte-pair models of Hugging Face's tokenizers, kept as tokenizer.json.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/types.h"
#include "engine/stream_decoder.h"

namespace hone {

using FilesByName = std::map<std::string, std::string>;

// Thread-safe after construction.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Tokens of `text`, with none put in front. Invalid UTF-8 is an input error that names the byte's offset. SentencePiece: special
  // tokens in a text are text, and characters outside the vocabulary become the unknown token. tokenizer.json: as
  // encode(text, add_special_tokens=False) of the tokenizers library, so that "<|im_end|>" in any text is the special token.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text) const = 0;
  // Text of `tokens`; special tokens vanish, and bytes that are no UTF-8 show as U+FFFD. Numbers from the vocabulary's end on have no
  // text, as in the tokenizers library: models have more rows than their tokenizer has tokens, and draw them. Negative ones are an
  // input error.
  virtual absl::StatusOr<std::string> Decode(const std::vector<TokenId>& tokens) const = 0;
  // For a StreamDecoder, which does the same token by token.
  virtual const TokenTexts& texts() const = 0;
  // The vocabulary's own text of a token, special ones too: "<|im_end|>", "\u0120word". Empty for numbers without a token.
  virtual absl::string_view TokenText(TokenId token) const = 0;

  virtual int32_t vocabulary_size() const = 0;  // the largest token + 1
  // -1 stands for none in all three.
  // What the tokenizer puts before every text when special tokens are asked for.
  virtual TokenId begin_token() const = 0;
  virtual TokenId end_token() const = 0;  // ends an answer: the eos_token
  virtual TokenId unknown_token() const = 0;

  // Writes the files it was read from, to the byte; one trained here writes tokenizer.model, tokenizer.json, tokenizer_config.json and
  // special_tokens_map.json, such that transformers' AutoTokenizer gives the same ids (with the begin token in front when special
  // tokens are asked for).
  absl::Status Save(const std::string& folder) const;

 protected:
  // What Save writes, by paths within the model folder.
  explicit Tokenizer(FilesByName files) : files_(std::move(files)) {}

 private:
  FilesByName files_;
};

// Reads the tokenizer of a model folder: tokenizer.json when it is a byte-level one or nothing else is there, else tokenizer.model.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder);

// "token 7 is 'a', WHOSE is 'b'" for the first token whose text differs from the other's; empty where the vocabularies are the same.
std::string TokenDifference(const Tokenizer& tokenizer, const Tokenizer& other, absl::string_view whose);

// From what the files of a model folder hold: "tokenizer.json", whose model is BPE, and where they are there "tokenizer_config.json" and
// "special_tokens_map.json"; others are kept for Save. Errors begin with `folder`. Limits on truncation and padding are not applied.
absl::StatusOr<std::unique_ptr<Tokenizer>> NewBpeTokenizer(FilesByName files, const std::string& folder);

// Trains a SentencePiece model from lines of text. Spec: "sentencepiece(model_type=char|bpe|unigram, vocabulary_size=N, whole_numbers=N)":
// the size is an upper bound; with whole_numbers=99 each of 0 .. 99 is one token wherever it stands (char and bpe). Special tokens:
// <unk> 0, <s> 1, </s> 2. Deterministic. A tab is never in the vocabulary: SentencePiece keeps that character for itself.
absl::StatusOr<std::unique_ptr<Tokenizer>> TrainTokenizer(Spec& spec, const std::vector<std::string>& lines);

}  // namespace hone
