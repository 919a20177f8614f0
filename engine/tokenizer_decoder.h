// How Hugging Face's tokenizers make text of tokens, and what they put in front of one.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/stream_decoder.h"

namespace hone {

struct VocabularyEntry {
  absl::string_view text;  // empty: no token has this id
  bool special = false;
};

// `json` is the text of the JSON value 'decoder', `vocabulary` goes by id.
absl::StatusOr<TokenTexts> NewTokenTexts(const std::string& json, const std::vector<VocabularyEntry>& vocabulary);

// The one token that the JSON value 'post_processor' puts in front of a single text, -1 for none. An input error when it does more.
absl::StatusOr<TokenId> ReadBeginToken(const std::string& json);

// Whether the text of a tokenizer.json is of a byte-level model; false too when it is damaged.
bool IsByteLevel(const std::string& tokenizer_json);

}  // namespace hone
