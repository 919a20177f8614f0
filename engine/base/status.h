// The world's mistakes: a status says what was found, where, and the remedy, in one line.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace hone {

// The call or its input was wrong: exit status 2.
template <typename... Parts>
absl::Status InputError(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// The work failed although the input was right (disk full, lost file): exit status 1.
template <typename... Parts>
absl::Status WorkError(const Parts&... parts) {
  return absl::InternalError(absl::StrCat(parts...));
}

}  // namespace hone

#define HONE_CONCAT_INNER(a, b) a##b
#define HONE_CONCAT(a, b) HONE_CONCAT_INNER(a, b)

// Returns from the caller when `expression` is not OK.
#define HONE_RETURN_IF_ERROR(expression)                                                \
  do {                                                                                  \
    if (absl::Status hone_status = (expression); !hone_status.ok()) return hone_status; \
  } while (false)

// `target` (a declaration or an l-value) takes the value, or the caller returns the error.
#define HONE_ASSIGN_OR_RETURN(target, expression) \
  HONE_ASSIGN_OR_RETURN_INNER(HONE_CONCAT(result_, __LINE__), target, expression)
#define HONE_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) return result.status();                     \
  target = *std::move(result)
