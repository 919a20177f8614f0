// What a coding task asks and what an answer holds: the tests in a prompt's metadata, the program in a completion.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

struct InputOutputTest {
  std::string input, output;
};

struct CodeProblem {
  std::vector<InputOutputTest> tests;
  std::vector<std::string> assertions;
  std::string calls;  // JSON [[arguments, expected], ...]; empty without
  size_t call_count = 0;
  std::string entry_point;
};

// {"tests": [{"stdin", "stdout"}]}, {"inputs": [...], "outputs": [...]} (as in APPS and TACO; with "fn_name" or "entry_point" they are a
// function's arguments and values), {"assertions": [...]}, {"entry_point": "f"}. MBPP's "test_list" and HumanEval's "test" are assertions.
absl::StatusOr<CodeProblem> ReadCodeProblem(const std::string& metadata);

enum class Language { kPython, kCpp };

struct Program {
  Language language = Language::kPython;
  std::string text;
};

// The last fenced block of an allowed language, else the last one that names none, else all of the completion. A last block that is never closed
// counts. `only` nullptr: both languages, told apart by the fence, else by the look of the text.
Program ExtractProgram(absl::string_view completion, const Language* only);

// Line by line without trailing white space, and without trailing empty lines.
bool SameOutput(absl::string_view found, absl::string_view wanted);

// The first line that differs, for a reason: "line 3: found '5', wanted '7'".
std::string FirstDifference(absl::string_view found, absl::string_view wanted);

}  // namespace hone
