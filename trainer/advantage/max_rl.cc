// MaxRL, maximum-likelihood reinforcement learning, https://arxiv.org/abs/2602.02710: A_i = (R_i - mean_g) / mean_g. With rewards of 0 and 1 its
// expectation is the gradient of log(pass rate), where plain policy gradient has the pass rate's own: hard questions weigh more.
#include "trainer/advantage.h"

namespace hone {
namespace {

class MaxRl : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    return ForEachGroup(samples, [](const GroupRewards& group) {
      const double mean = group.mean();
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back(mean > 0 ? (reward - mean) / mean : 0);
      return advantages;
    });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewMaxRl(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<MaxRl>();
}

}  // namespace hone
