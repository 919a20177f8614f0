// What the tokenizer knows by name: LaTeX commands, words, and characters beyond ASCII.
#pragma once

#include "absl/strings/string_view.h"
#include "rewards/math/tokens.h"

namespace hone::math {

// What becomes of a name.
struct Meaning {
  enum class Kind : uint8_t { kUnknown, kNothing, kSpace, kToken, kText, kComma };
  Kind kind = Kind::kUnknown;
  TokenKind token = TokenKind::kSymbol;
  char code = 0;
  absl::string_view text = {};
};

// A LaTeX command without its backslash. kText takes its argument as text.
Meaning MeaningOfCommand(absl::string_view name);
// A run of letters in plain text.
Meaning MeaningOfWord(absl::string_view word);
// The character at text[at] beyond ASCII, and how many bytes it has. Superscript digits are kToken with the code '^' and the digit.
Meaning MeaningOfCharacter(absl::string_view text, size_t at, size_t& bytes);

}  // namespace hone::math
