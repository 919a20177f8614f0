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

// `text` on one line and in at most `max_bytes` (at least 8): control characters and bytes that are not UTF-8 become escapes such as
// \n and \xff, and what does not fit gives way to "..." in the middle, because both ends of a message carry meaning.
std::string Visible(absl::string_view text, size_t max_bytes);

}  // namespace hone
