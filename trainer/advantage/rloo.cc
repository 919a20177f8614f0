// REINFORCE leave-one-out, https://arxiv.org/abs/2402.14740, section 3.1: the baseline of a sample is the mean of its peers,
// A_i = R_i - mean of the others = (R_i - mean_g) n / (n - 1).
#include "trainer/advantage.h"

namespace hone {
namespace {

class Rloo : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    return ForEachGroup(samples, [](const GroupRewards& group) {
      const auto n = static_cast<double>(group.rewards.size());
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back((reward - group.mean()) * n / (n - 1));
      return advantages;
    });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewRloo(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Rloo>();
}

}  // namespace hone
