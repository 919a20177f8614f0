// Exact match, the first metric of question answering (https://arxiv.org/abs/1606.05250): the completion is the answer, byte for byte.
// With `after`, what follows its last occurrence is compared, so that an answer may be reasoned before it is given.
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;

struct ExactOptions {
  bool strip = true;         // white-space around both
  bool ignore_case = false;  // of ASCII letters
  std::string after;         // empty: the whole completion counts
};

class ExactVerifier : public Verifier {
 public:
  explicit ExactVerifier(const ExactOptions& options) : options_(options) {}

  // Part, where `after` is given: "format", whether it is there.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const absl::string_view wanted = Strip(prompt.answer);
    if (wanted.empty()) return {std::nullopt, "the prompt has no answer to compare with", {}};

    absl::string_view found = completion;
    Verdict verdict{0.0, "", {}};
    if (!options_.after.empty()) {
      const size_t at = found.rfind(options_.after);
      const bool is_there = at != absl::string_view::npos;
      verdict.parts = {{"format", is_there ? 1 : 0}};
      if (!is_there) {
        verdict.reason = absl::StrCat("no '", Visible(options_.after, kShownBytes), "' in the completion");
        return verdict;
      }
      found.remove_prefix(at + options_.after.size());
    }
    found = Strip(found);
    const bool same = options_.ignore_case ? absl::EqualsIgnoreCase(found, wanted) : found == wanted;
    verdict.score = same ? 1.0 : 0.0;
    verdict.reason =
        same ? "correct"
             : absl::StrCat("found '", Visible(found, kShownBytes), "', wanted '", Visible(wanted, kShownBytes), "'");
    return verdict;
  }

 private:
  absl::string_view Strip(absl::string_view text) const {
    return options_.strip ? absl::StripAsciiWhitespace(text) : text;
  }

  const ExactOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewExactVerifier(Spec& spec) {
  ExactOptions options;
  options.strip = spec.Bool("strip", options.strip);
  options.ignore_case = spec.Bool("ignore_case", options.ignore_case);
  options.after = spec.Text("after", options.after);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<ExactVerifier>(options);
}

}  // namespace hone
