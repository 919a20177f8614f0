// The length reward of Kimi k1.5, https://arxiv.org/abs/2501.12599, section 2.3.3: within a group, short right answers earn more than long ones.
//
//   lambda = 0.5 - (length - min) / (max - min)      of the group's answers, 0 where all are as long
//   right answers earn weight lambda; wrong ones weight min(0, lambda), or nothing with correct_only, where min and max are those of the right answers
//
// Relative lengths ask a hard prompt for no fewer tokens than it needs; correct_only makes a short wrong answer worth nothing.
#include <algorithm>

#include "rewards/shaper.h"

namespace hone {
namespace {

class LengthReward : public Shaper {
 public:
  LengthReward(double weight, bool correct_only) : weight_(weight), correct_only_(correct_only) {}

  void Shape(int32_t /*max_new_tokens*/, Group& group) const override {
    size_t shortest = SIZE_MAX, longest = 0;
    for (const Sample& sample : group.samples) {
      if (!Counts(sample)) continue;
      shortest = std::min(shortest, sample.tokens.size());
      longest = std::max(longest, sample.tokens.size());
    }
    if (shortest >= longest) return;
    for (Sample& sample : group.samples) {
      if (!Counts(sample)) continue;
      const double lambda =
          0.5 - static_cast<double>(sample.tokens.size() - shortest) / static_cast<double>(longest - shortest);
      sample.shaping += weight_ * (IsCorrect(sample) ? lambda : std::min(0.0, lambda));
    }
  }

 private:
  static bool IsCorrect(const Sample& sample) { return *sample.verdict.score >= kCorrectScore; }
  bool Counts(const Sample& sample) const { return sample.verdict.score && (IsCorrect(sample) || !correct_only_); }

  const double weight_;
  const bool correct_only_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Shaper>> NewLengthRewardShaper(Spec& spec) {
  const double weight = spec.Double("weight", 1, 0, 1e9);
  const bool correct_only = spec.Bool("correct_only", true);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<LengthReward>(weight, correct_only);
}

}  // namespace hone
