// Python's str on UTF-8 bytes: code points, white space, case, quoting. Texts are well-formed UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone::jinja {

// Bytes of the first character; `text` is not empty.
size_t CharBytes(absl::string_view text);
char32_t FirstChar(absl::string_view text);
void AppendChar(char32_t character, std::string& text);
int64_t CountChars(absl::string_view text);
// Where character number `count` begins; the end when there are fewer.
size_t CharOffset(absl::string_view text, int64_t count);
std::vector<char32_t> ToChars(absl::string_view text);

bool IsSpace(char32_t character);  // str.isspace()

enum class Side { kLeft, kRight, kBoth };
// Without the characters of `set` at its ends; without white space when there is no set.
absl::string_view Strip(absl::string_view text, std::optional<absl::string_view> set, Side side);

enum class Case { kUpper, kLower, kCapitalize, kTitle };
// str.upper() and so on. An input error for the few letters whose other case is several letters or depends on neighbours.
absl::StatusOr<std::string> Recase(absl::string_view text, Case wanted);
// The filter 'title', which looks for words where str.title() looks for letters.
absl::StatusOr<std::string> TitleWords(absl::string_view text);
bool IsUpperChar(char32_t character);
bool IsLowerChar(char32_t character);
bool IsAlphaChar(char32_t character);

// str.__repr__(): in quotes, with escapes for what does not print.
std::string QuotedText(absl::string_view text);
// In the quotes of JSON; `ascii` escapes all that is not.
std::string JsonQuoted(absl::string_view text, bool ascii);
// & < > ' " as HTML entities.
std::string EscapedMarkup(absl::string_view text);

}  // namespace hone::jinja
