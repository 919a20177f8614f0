// Truncation as the length penalty: an answer that does not end in time earns nothing, DLER, https://arxiv.org/abs/2510.15110, section 3.
// Difficulty-Aware DLER (section 3.5): where at least `easy_rate` of a group's answers are right, those longer than `easy_tokens` count as cut off too.
// The paper has one threshold, 0.5, and half of the time on the easy side; which side 0.5 itself is on is our choice.
#include "rewards/shaper.h"

namespace hone {
namespace {

constexpr double kRounding = 1e-9;  // 11 of 20 are 0.55

class Truncation : public Shaper {
 public:
  Truncation(double score, int64_t easy_tokens, double easy_rate)
      : score_(score), easy_tokens_(easy_tokens), easy_rate_(easy_rate) {}

  void Shape(int32_t /*max_new_tokens*/, Group& group) const override {
    const bool is_short_of_time = easy_tokens_ > 0 && IsEasy(group);
    const auto shape = [&](Sample& sample) {
      const bool is_cut = sample.finish_reason == FinishReason::kLength ||
                          (is_short_of_time && static_cast<int64_t>(sample.tokens.size()) > easy_tokens_);
      if (is_cut && sample.reward() && *sample.reward() > score_) sample.shaping -= *sample.reward() - score_;
    };
    for (Sample& sample : group.samples) shape(sample);
    if (group.greedy) shape(*group.greedy);
  }

 private:
  bool IsEasy(const Group& group) const {
    double correct = 0, verdicts = 0;
    for (const Sample& sample : group.samples) {
      if (!sample.verdict.score) continue;
      ++verdicts;
      correct += *sample.verdict.score >= kCorrectScore ? 1 : 0;
    }
    return verdicts > 0 && correct >= easy_rate_ * verdicts - kRounding;
  }

  const double score_;
  const int64_t easy_tokens_;
  const double easy_rate_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Shaper>> NewTruncationShaper(Spec& spec) {
  const double score = spec.Double("score", 0, -1e9, 1e9);             // what a cut answer earns, at most
  const int64_t easy_tokens = spec.Int("easy_tokens", 0, 0, 1 << 22);  // 0: the limit is max_new_tokens for all
  const double easy_rate = spec.Double("easy_rate", 0.5, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Truncation>(score, easy_tokens, easy_rate);
}

}  // namespace hone
