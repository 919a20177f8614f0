// A component's name and options as users write them: "grpo(std_normalize=false)", "process(command=\"python3 v.py\", workers=2)".
// Grammar: name [ "(" [option ("," option)*] ")" ], option = (name | quoted text) "=" value, value = quoted text | number | word | a nested
// spec. Quoted names are for components whose options are names of the user's: by_domain("openai/gsm8k"=gsm8k).
// Quotes are " or ', with \n, \t and a backslash before any other character; words are ASCII without ( ) , = quotes or space.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone {

// Parsed once, then read by the component itself. Reading an option marks it as known; Finish() refuses what nobody read,
// so a component's options live in its own file and nowhere else.
//
//   absl::StatusOr<std::unique_ptr<Advantage>> NewGrpo(Spec& spec) {
//     GrpoOptions options;
//     options.std_normalize = spec.Bool("std_normalize", true);
//     HONE_RETURN_IF_ERROR(spec.Finish());
//
// The first wrong value is remembered and returned by Finish(); readers then give their default. Not thread-safe.
class Spec {
 public:
  // Errors quote the text and name the character: "'grpo(a=1': character 5: '(' is never closed".
  static absl::StatusOr<Spec> Parse(absl::string_view text);

  const std::string& name() const { return name_; }

  bool Bool(const std::string& option, bool fallback);
  // Values outside low..high are an error that names the range.
  int64_t Int(const std::string& option, int64_t fallback, int64_t low, int64_t high);
  double Double(const std::string& option, double fallback, double low, double high);  // finite values only
  std::string Text(const std::string& option, const std::string& fallback);
  // One of `choices`; anything else is an error with the nearest choice.
  std::string Choice(const std::string& option, const std::string& fallback, const std::vector<std::string>& choices);

  // For a component that holds others and so cannot know all of its options.
  // Options that are written and were not read so far, in the order of the text.
  std::vector<std::string> Unread() const;
  // What Unread() names as a spec's text of the same name, for the component inside that reads it. With that they count as read here. A
  // wrong value among those read before is returned.
  absl::StatusOr<std::string> TakeRest();
  // For an option that was read and holds a nested spec: its text with all defaults, for ToString.
  void Resolve(const std::string& option, const std::string& value);

  // "grpo: unknown option 'std_normalise'; known: std_normalize", a wrong value, or OK.
  absl::Status Finish() const;

  // name(option=value, ...) with every option that was read, in the order of reading, at its value in force: what
  // --explain and `hone list` print. Call it after the component has been built.
  std::string ToString() const;

 private:
  // The option's text, or the fallback's; from then on the option is known.
  std::string Read(const std::string& option, const std::string& fallback);
  const std::string* Find(const std::string& option) const;  // as written, or null
  void Fail(const std::string& option, const std::string& value, const std::string& wanted);

  std::string name_;
  using Options = std::vector<std::pair<std::string, std::string>>;
  Options options_;   // as written
  Options in_force_;  // as read, defaults included
  bool rest_is_taken_ = false;
  absl::Status first_error_;
};

// "; did you mean 'grpo'?" for the candidate with the smallest edit distance, or "" when none is near.
std::string DidYouMean(absl::string_view found, const std::vector<std::string>& candidates);

}  // namespace hone
