// What keywords of JSON Schema ask of a single number or text.
#pragma once

#include "absl/strings/string_view.h"

namespace hone {

// Whether `number` is a whole multiple of `divisor` (above 0), both JSON numbers as text of at most 19 digits before the exponent. Exact for
// the decimals as written, where a quotient of doubles calls 19.99 no multiple of 0.01.
bool IsMultiple(absl::string_view number, absl::string_view divisor);

// Whether `text` has the form of an RFC 3339 date, time or date-time, or of a uuid, ipv4 or email (something, @, something). True for
// formats of other names.
bool FitsFormat(absl::string_view format, absl::string_view text);

}  // namespace hone
