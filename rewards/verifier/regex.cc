// A regular expression of RE2 (https://github.com/google/re2/wiki/Syntax), whose time is linear in the text, whatever the pattern:
// backtracking ones take exponential time on texts that a policy finds sooner or later. The score is 1 where the pattern matches and,
// with `group`, where what the group caught is the prompt's answer. Of several matches the leftmost counts; a pattern that begins with
// (?s).* takes the last.
#include <re2/re2.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;
// A pattern that needs more is refused; while matching, RE2 then turns to a slower way that needs less.
constexpr int64_t kMaxMemory = 1 << 20;
constexpr size_t kMaxLength = 1 << 20;  // bytes of a completion; the slower way takes a second for so many
constexpr int kNoGroup = -1;

class RegexVerifier : public Verifier {
 public:
  RegexVerifier(std::unique_ptr<const RE2> pattern, int group, bool full)
      : pattern_(std::move(pattern)), group_(group), anchor_(full ? RE2::ANCHOR_BOTH : RE2::UNANCHORED) {}

  // Part, where a group is compared: "format", the pattern matches.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const absl::string_view answer = absl::StripAsciiWhitespace(prompt.answer);
    const bool compares = group_ != kNoGroup;
    if (compares && answer.empty()) return {std::nullopt, "the prompt has no answer to compare the group with", {}};

    std::vector<re2::StringPiece> groups(compares ? group_ + 1 : 0);
    const bool fits = completion.size() <= kMaxLength;
    const bool matches = fits && pattern_->Match(completion, 0, completion.size(), anchor_, groups.data(),
                                                 static_cast<int>(groups.size()));
    Verdict verdict{0.0, "", {}};
    if (compares) verdict.parts = {{"format", matches ? 1 : 0}};
    if (!fits) {
      verdict.reason = absl::StrCat("completion has ", completion.size(), " bytes, at most ", kMaxLength, " are read");
    } else if (!matches) {
      verdict.reason = absl::StrCat("'", Visible(pattern_->pattern(), kShownBytes), "' does not match");
    } else if (!compares) {
      verdict = {1.0, "matches", {}};
    } else {
      const re2::StringPiece& caught = groups.back();
      const absl::string_view found = absl::StripAsciiWhitespace(absl::string_view(caught.data(), caught.size()));
      verdict.score = found == answer ? 1.0 : 0.0;
      verdict.reason = found == answer ? "correct"
                                       : absl::StrCat("found '", Visible(found, kShownBytes), "', wanted '",
                                                      Visible(answer, kShownBytes), "'");
    }
    return verdict;
  }

 private:
  const std::unique_ptr<const RE2> pattern_;
  const int group_;
  const RE2::Anchor anchor_;
};

// A group's number, or the number of the one with that name.
absl::StatusOr<int> FindGroup(const RE2& pattern, const std::string& group) {
  if (group.empty()) return kNoGroup;
  const int count = pattern.NumberOfCapturingGroups();
  int number = 0;
  if (absl::SimpleAtoi(group, &number)) {
    if (number >= 0 && number <= count) return number;
    return InputError("regex: option 'group' is ", number, ", but the pattern has groups 0 .. ", count);
  }
  std::vector<std::string> names;
  for (const auto& [name, its_number] : pattern.NamedCapturingGroups()) {
    if (name == group) return its_number;
    names.push_back(name);
  }
  const std::string have = names.empty() ? "no names; write (?P<name>...)" : absl::StrJoin(names, ", ");
  return InputError("regex: option 'group' is '", Visible(group, kShownBytes), "', but the pattern's groups have ",
                    have, DidYouMean(group, names));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewRegexVerifier(Spec& spec) {
  const std::string text = spec.Text("pattern", "");
  const std::string group = spec.Text("group", "");
  const bool full = spec.Bool("full", false);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (text.empty()) return InputError("regex: needs an option pattern=\"...\"");
  RE2::Options options;
  options.set_max_mem(kMaxMemory);
  options.set_log_errors(false);
  auto pattern = std::make_unique<const RE2>(text, options);
  if (!pattern->ok()) {
    return InputError("regex: option 'pattern' is '", Visible(text, kShownBytes),
                      "': ", Visible(pattern->error(), kShownBytes), "; the syntax is RE2's");
  }
  HONE_ASSIGN_OR_RETURN(const int number, FindGroup(*pattern, group));
  return std::make_unique<RegexVerifier>(std::move(pattern), number, full);
}

}  // namespace hone
