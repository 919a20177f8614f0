// What Hugging Face's tokenizers do to a text before the model sees it: normalizers rewrite it, pre-tokenizers cut it into words
// (https://huggingface.co/docs/tokenizers/components). The steps that byte-pair models use; others are refused by name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/tokenizer_regex.h"

namespace hone {

// A text or a regular expression to look for. Thread-safe after construction.
class TextPattern {
 public:
  virtual ~TextPattern() = default;
  // As Regex::FindAll.
  virtual absl::Status FindAll(absl::string_view text, std::vector<TextRange>& matches) const = 0;
};

// Thread-safe after construction.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual absl::Status Apply(std::string& text) const = 0;
};

// A text and the parts of it that are words, in order. Parts may leave out some of the text.
struct Words {
  std::string text;
  std::vector<TextRange> parts;  // none is empty
  bool begins_input = false;     // the first part is where the whole input begins
};

// Thread-safe after construction.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual absl::Status Apply(Words& words) const = 0;
};

// From the text of the JSON value 'normalizer' or 'pre_tokenizer'. Null for "null".
absl::StatusOr<std::unique_ptr<Normalizer>> NewNormalizer(const std::string& json);
absl::StatusOr<std::unique_ptr<PreTokenizer>> NewPreTokenizer(const std::string& json);

// From the text of a JSON value {"String": text} or {"Regex": pattern}.
absl::StatusOr<std::unique_ptr<TextPattern>> NewTextPattern(const std::string& json);

// The 256 characters that stand for bytes in the vocabulary of a byte-level model (https://github.com/openai/gpt-2): printable Latin-1
// for itself, the others U+0100 and up.
absl::string_view ByteCharacter(unsigned char byte);

}  // namespace hone
