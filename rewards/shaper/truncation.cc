// Truncation as the length penalty: an answer that does not end in time earns nothing, DLER, https://arxiv.org/abs/2510.15110. With
// `hard_tokens` and `easy_tokens` the time depends on how hard the prompt is (its section on Difficulty-Aware DLER): the budget goes from hard_tokens
// where no answer of the group is right to easy_tokens where all are, linearly in the pass rate (our choice; the paper's tiers are not published).
#include <cmath>

#include "rewards/shaper.h"

namespace hone {
namespace {

// rollout/evaluation.h has the same number for pass rates.
constexpr double kCorrectScore = 1;

class Truncation : public Shaper {
 public:
  Truncation(double score, int64_t hard_tokens, int64_t easy_tokens)
      : score_(score), hard_tokens_(hard_tokens), easy_tokens_(easy_tokens) {}

  void Shape(int32_t max_new_tokens, Group& group) const override {
    const double budget = Budget(max_new_tokens, group);
    const auto shape = [&](Sample& sample) {
      const bool is_cut =
          sample.finish_reason == FinishReason::kLength || static_cast<double>(sample.tokens.size()) > budget;
      if (is_cut && sample.reward() && *sample.reward() > score_) sample.shaping -= *sample.reward() - score_;
    };
    for (Sample& sample : group.samples) shape(sample);
    if (group.greedy) shape(*group.greedy);
  }

 private:
  double Budget(int32_t max_new_tokens, const Group& group) const {
    const double hard = static_cast<double>(hard_tokens_ > 0 ? hard_tokens_ : max_new_tokens);
    const double easy = easy_tokens_ > 0 ? static_cast<double>(easy_tokens_) : hard;
    double correct = 0, verdicts = 0;
    for (const Sample& sample : group.samples) {
      if (!sample.verdict.score) continue;
      ++verdicts;
      correct += *sample.verdict.score >= kCorrectScore ? 1 : 0;
    }
    return verdicts > 0 ? std::lerp(hard, easy, correct / verdicts) : hard;
  }

  const double score_;
  const int64_t hard_tokens_, easy_tokens_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Shaper>> NewTruncationShaper(Spec& spec) {
  const double score = spec.Double("score", 0, -1e9, 1e9);             // what a cut answer earns, at most
  const int64_t hard_tokens = spec.Int("hard_tokens", 0, 0, 1 << 22);  // 0: max_new_tokens
  const int64_t easy_tokens = spec.Int("easy_tokens", 0, 0, 1 << 22);  // 0: as hard_tokens
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (hard_tokens > 0 && easy_tokens > hard_tokens)
    return InputError("truncation: 'easy_tokens' is ", easy_tokens, ", more than 'hard_tokens' ", hard_tokens,
                      "; easy prompts get the shorter time");
  return std::make_unique<Truncation>(score, hard_tokens, easy_tokens);
}

}  // namespace hone
