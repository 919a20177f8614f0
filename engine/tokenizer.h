// Text to tokens and back. SentencePiece models (https://arxiv.org/abs/1808.06226), kept in a model folder as
// tokenizer.model and, for transformers, as tokenizer.json with tokenizer_config.json.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

// Thread-safe after construction.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Tokens of `text` without special tokens. Invalid UTF-8 is an input error that names the byte's offset; characters
  // outside the vocabulary become the unknown token.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text) const = 0;
  // Text of `tokens`; special tokens vanish. Tokens outside the vocabulary are an input error.
  virtual absl::StatusOr<std::string> Decode(const std::vector<TokenId>& tokens) const = 0;

  virtual int32_t vocabulary_size() const = 0;
  virtual TokenId begin_token() const = 0;  // put before every prompt
  virtual TokenId end_token() const = 0;    // ends an answer
  virtual TokenId unknown_token() const = 0;

  // Writes tokenizer.model, tokenizer.json, tokenizer_config.json and special_tokens_map.json, such that transformers'
  // AutoTokenizer gives the same ids (with the begin token in front when special tokens are asked for).
  virtual absl::Status Save(const std::string& folder) const = 0;
};

// Reads tokenizer.model of a model folder.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& folder);

// Trains a SentencePiece model from lines of text. Spec: "sentencepiece(model_type=char|bpe|unigram, vocabulary_size=N, whole_numbers=N)":
// the size is an upper bound; with whole_numbers=99 each of 0 .. 99 is one token wherever it stands (char and bpe). Special tokens:
// <unk> 0, <s> 1, </s> 2. Deterministic. A tab is never in the vocabulary: SentencePiece keeps that character for itself.
absl::StatusOr<std::unique_ptr<Tokenizer>> TrainTokenizer(Spec& spec, const std::vector<std::string>& lines);

}  // namespace hone
