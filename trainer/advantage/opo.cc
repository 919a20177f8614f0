// On-Policy RL with Optimal reward baseline, https://arxiv.org/abs/2505.23585: the baseline of least variance, were a longer answer's
// gradient larger in proportion: A_i = R_i - sum(length R) / sum(length), over the group.
#include "trainer/advantage.h"

namespace hone {
namespace {

class Opo : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    return ForEachGroup(samples, [](const GroupRewards& group) {
      double weighted = 0, tokens = 0;
      for (size_t i = 0; i < group.rewards.size(); ++i) {
        weighted += group.lengths[i] * group.rewards[i];
        tokens += group.lengths[i];
      }
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back(reward - weighted / tokens);
      return advantages;
    });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewOpo(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Opo>();
}

}  // namespace hone
