// A SentencePiece model in the form of Hugging Face's tokenizers library, so that transformers needs no SentencePiece.
#pragma once

#include <string>

#include "engine/base/status.h"
#include "engine/tokenizer_sentencepiece.h"

namespace hone {

// The three files beside tokenizer.model, as text.
struct TokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string special_tokens_map_json;
};

// Exact for models that take text as it is, as those trained here do; an input error for others.
absl::StatusOr<TokenizerFiles> ToTokenizerFiles(const SentencePiece& model);

}  // namespace hone
