// GRPO done right, https://arxiv.org/abs/2503.20783, section 3.2: A_i = R_i - mean_g, without a division that would weigh questions
// by their difficulty.
#include "trainer/advantage.h"

namespace hone {
namespace {

class DrGrpo : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    return ForEachGroup(samples, [](const GroupRewards& group) {
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back(reward - group.mean());
      return advantages;
    });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewDrGrpo(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<DrGrpo>();
}

}  // namespace hone
