// Several questions answered in one text, the reward of Cell-o1 (https://arxiv.org/abs/2506.02911, compute_score.py of
// github.com/ncbi-nlp/cell-o1): of N answers in the questions' order, between separators, c are right, and the score is (c/N + [c = N]) / 2. One
// answer too many or too few and there is no telling which belongs to which.
//
//   batch(verifier=countdown, separator="|"), metadata {"questions": [{"prompt": "2 3:5=", "metadata": {...}}, ...]}
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/questions.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 200;

struct BatchOptions {
  std::string separator = "|";
  std::string credit = "half";
  double right_from = 1;
  double malformed = 0;
  bool distinct = false;
};

class BatchVerifier : public Verifier {
 public:
  BatchVerifier(BatchOptions options, std::unique_ptr<Verifier> verifier)
      : options_(std::move(options)), verifier_(std::move(verifier)) {}

  // Parts: "correct", the share of right answers; "all", whether all are; "format", whether there are as many answers as questions.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto questions = ReadQuestions(prompt.metadata);
    if (!questions.ok()) return {std::nullopt, std::string(questions.status().message()), {}};
    const std::vector<std::string> answers = Split(completion, questions->size());
    if (answers.size() != questions->size()) {
      const bool too_many = answers.size() > questions->size();
      return Malformed(absl::StrCat(too_many ? "more than " : "", too_many ? questions->size() : answers.size(),
                                    " answers to ", questions->size(), " questions"));
    }
    if (options_.distinct && std::set<std::string>(answers.begin(), answers.end()).size() < answers.size()) {
      return Malformed("two answers are the same");
    }

    size_t right = 0;
    std::string first_wrong;
    for (size_t i = 0; i < answers.size(); ++i) {
      const Verdict verdict = verifier_->Verify((*questions)[i], answers[i]);
      const std::string reason = absl::StrCat("question ", i + 1, ": ", verdict.reason);
      if (!verdict.score) return {std::nullopt, reason, {}};
      const bool is_right = *verdict.score >= options_.right_from;
      right += is_right;
      if (!is_right && first_wrong.empty()) first_wrong = absl::StrCat("; ", Visible(reason, kShownBytes));
    }
    const double share = static_cast<double>(right) / static_cast<double>(answers.size());
    const double all = right == answers.size() ? 1 : 0;
    const double score = options_.credit == "mean" ? share : options_.credit == "all" ? all : (share + all) / 2;
    return {score,
            absl::StrCat(right, " of ", answers.size(), " right", first_wrong),
            {{"correct", share}, {"all", all}, {"format", 1}}};
  }

  int Concurrency() const override { return verifier_->Concurrency(); }
  VerifierCounters Counters() const override { return verifier_->Counters(); }

 private:
  // What stands between separators, without white-space around; empty ones do not count. At most one more than wanted.
  std::vector<std::string> Split(absl::string_view text, size_t wanted) const {
    std::vector<std::string> answers;
    while (!text.empty() && answers.size() <= wanted) {
      const size_t end = std::min(text.find(options_.separator), text.size());
      const absl::string_view answer = absl::StripAsciiWhitespace(text.substr(0, end));
      if (!answer.empty()) answers.emplace_back(answer);
      text.remove_prefix(std::min(end + options_.separator.size(), text.size()));
    }
    return answers;
  }

  Verdict Malformed(const std::string& reason) const {
    return {options_.malformed, reason, {{"correct", 0}, {"all", 0}, {"format", 0}}};
  }

  const BatchOptions options_;
  const std::unique_ptr<Verifier> verifier_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewBatchVerifier(Spec& spec, const VerifierBuilder& build) {
  BatchOptions options;
  const std::string inner = spec.Text("verifier", "");
  options.separator = spec.Text("separator", options.separator);
  // half: the paper's; mean: c/N; all: [c = N].
  options.credit = spec.Choice("credit", options.credit, {"half", "mean", "all"});
  options.right_from = spec.Double("right_from", options.right_from, -1e6, 1e6);  // score from which an answer is right
  options.malformed = spec.Double("malformed", options.malformed, -1e6, 0);       // score; -1 in the paper
  options.distinct = spec.Bool("distinct", options.distinct);  // equal answers are malformed, as in the paper
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (inner.empty()) return InputError("batch: needs the verifier of one question, like batch(verifier=countdown)");
  if (options.separator.empty()) return InputError("batch: option 'separator' is empty");
  // " | " stands for "|": what is between is stripped anyway.
  const absl::string_view bare = absl::StripAsciiWhitespace(options.separator);
  if (!bare.empty()) options.separator = std::string(bare);
  std::string resolved;
  auto verifier = build(inner, &resolved);
  if (!verifier.ok()) return InputError("batch: ", verifier.status().message());
  spec.Resolve("verifier", resolved);
  return std::make_unique<BatchVerifier>(std::move(options), *std::move(verifier));
}

}  // namespace hone
