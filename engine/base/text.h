// Text from outside: is it UTF-8, and how an error message quotes it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace hone {

// Offset of the first byte that does not belong to well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above
// U+10FFFF); nullopt when all of it is.
std::optional<size_t> FindInvalidUtf8(absl::string_view text);

// What stands at one place of a text. The bytes of a cut or wrong character are those that one U+FFFD takes the place of
// (Unicode 15, section 3.9, "maximal subpart").
struct Utf8Step {
  enum class Kind {
    kCharacter,
    kWrong,  // no text that goes on can make a character of it
    kCut,    // the text ends inside a character
  };
  Kind kind = Kind::kCharacter;
  size_t bytes = 1;
};
Utf8Step ReadUtf8(absl::string_view text, size_t at);  // at < text.size()

// `text` on one line and in at most `max_bytes` (at least 8): control characters and bytes that are not UTF-8 become escapes such as
// \n and \xff, and what does not fit gives way to "..." in the middle, because both ends of a message carry meaning.
std::string Visible(absl::string_view text, size_t max_bytes);

// Whether a JSON text has brackets more than kDeepestJson deep, as no real one has. Printing and comparing a parsed value calls itself for
// each level, so that a hostile text can end the program: ask before parsing what comes from outside.
inline constexpr int kDeepestJson = 100;
bool NestsTooDeep(absl::string_view json);

}  // namespace hone
