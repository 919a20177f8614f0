// C++ assertions, cut in two: what the tested program computes, and what it should be. The halves are compiled into different programs and
// compared outside of both, so that the tested one never holds an expected value. What cannot be cut safely is refused.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

struct CppAssertion {
  enum class Kind {
    kSetup,  // a statement: `vector<int> v = {1, 2};`, `s.push(1);`
    kEqual,  // computed == expected
    kTruth,  // computed, as a bool, is expected ("true" or "false")
    kNear,   // |computed - expected| < tolerance (`at_most`: <=)
  };
  Kind kind = Kind::kSetup;
  std::string text;                 // as the test says it, short; the whole statement for kSetup
  std::string computed;             // an expression that names the program's functions
  std::string expected, tolerance;  // expressions of constants
  bool at_most = false;
  bool of_library = false;  // kSetup: it uses the standard library only, and belongs to both halves
};

// `text` is one expression, `assert(...);` or statement, or several of them. Accepted with CALL = a function of the program's, or of
// an object, with constants as arguments: CALL == VALUE, VALUE == CALL, CALL, !CALL, abs(CALL - VALUE) < VALUE, and several joined by &&.
// Any other comparison gives an error: its truth alone would have to cross, and a program can always say "true".
// `entry_point` may be empty.
absl::StatusOr<std::vector<CppAssertion>> ReadCppAssertions(absl::string_view text, absl::string_view entry_point);

}  // namespace hone
