// What Hugging Face's tokenizers know about Unicode: normal forms (https://unicode.org/reports/tr15), digits, letters. Their tables are
// of more than one version of Unicode, and so are these, because a model's tokens depend on them. The door to utf8proc.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace hone {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` is UTF-8. The tables are those of Unicode 9: later characters stay as they are, and marks do not move across them.
std::string Normalized(NormalForm form, absl::string_view text);

// Oniguruma 6.9.8 knows Unicode 14, the one in the tokenizers library Unicode 16. The text in which each character that Unicode 15 and 16
// brought gives way to an older one of the same general category and the same number of bytes, so that matches have the same places;
// nothing when there is none.
std::optional<std::string> WithStandIns(absl::string_view text);

// The character at the front of non-empty UTF-8.
char32_t FirstCharacter(absl::string_view text);
char32_t LastCharacter(absl::string_view text);

bool IsNumeric(char32_t character);  // categories Nd, Nl, No of Unicode 17
bool IsSpace(char32_t character);    // property White_Space
// Letters, marks, digits and connectors (\w of https://unicode.org/reports/tr18, annex C), as far as utf8proc knows them.
bool IsWordCharacter(char32_t character);

}  // namespace hone
