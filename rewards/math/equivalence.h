// Whether an answer says what the gold answer says.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace hone::math {

struct Comparison {
  bool equal = false;
  std::string how;  // "equal in exact arithmetic", "not equal", "... cannot be read: ..."
};

// Both are LaTeX or plain text, without the words around them. Bounded work on any input; the same result on every call.
// What means the same: see the cases of tests/rewards/math_test.cc.
Comparison Compare(absl::string_view gold, absl::string_view answer);

}  // namespace hone::math
