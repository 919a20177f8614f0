// Difficulty Adaptive Rollout Sampling, https://arxiv.org/abs/2508.13755, formulas and defaults as in its code, https://github.com/yangzhch6/DARS: after
// N samples a prompt of pass rate p <= 1/2 gets more, so that hard prompts weigh as much in a step as medium ones.
//
// A group's cumulative advantage, N 2 p (1 - p) without division by the deviation, is brought to a target by dN more samples, at most max_samples in all:
//   schedule=equal      target N / 2, that of p = 1/2:       dN = ceil(N (1 / (4 p (1 - p)) - 1))
//   schedule=hardness   2 (1 - p) times as much:             dN = ceil(N (1 / (2 p) - 1))
// where no sample is right, p counts as 1 / (2 N). Breadth (DARS-B) is the recipe's: many prompts, minibatches: 1, epochs: 2.
#include <algorithm>

#include "rollout/curriculum.h"

namespace hone {
namespace {

int64_t CeilOfRatio(int64_t numerator, int64_t denominator) { return (numerator + denominator - 1) / denominator; }

class Dars : public Curriculum {
 public:
  Dars(bool by_hardness, int64_t max_samples) : by_hardness_(by_hardness), max_samples_(max_samples) {}

  int32_t MoreSamples(const Group& group, int stage) const override {
    if (stage > 0) return 0;
    int64_t n = 0, right = 0;
    for (const Sample& sample : group.samples) {
      if (!sample.verdict.score) continue;
      ++n;
      right += *sample.verdict.score >= kCorrectScore ? 1 : 0;
    }
    if (n == 0 || 2 * right >= n) return 0;
    const int64_t twice =
        std::max<int64_t>(1, 2 * right);  // p = twice / 2n, in whole numbers so that a ceiling is exact
    const int64_t both = twice * (2 * n - twice);
    const int64_t more = by_hardness_ ? CeilOfRatio(n * (n - twice), twice) : CeilOfRatio(n * (n * n - both), both);
    return static_cast<int32_t>(
        std::max<int64_t>(0, std::min(more, max_samples_ - static_cast<int64_t>(group.samples.size()))));
  }

 private:
  const bool by_hardness_;
  const int64_t max_samples_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Curriculum>> NewDarsCurriculum(Spec& spec) {
  const bool by_hardness = spec.Choice("schedule", "equal", {"equal", "hardness"}) == "hardness";
  const int64_t max_samples = spec.Int("max_samples", by_hardness ? 64 : 32, 1, 1 << 16);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Dars>(by_hardness, max_samples);
}

}  // namespace hone
