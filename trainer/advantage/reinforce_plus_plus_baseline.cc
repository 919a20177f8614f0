// REINFORCE++ with the group's mean as baseline, https://arxiv.org/abs/2501.03262, which is DLER's batch-wise normalisation
// (https://arxiv.org/abs/2510.15110): R_i - mean_g on every token, whitened over all tokens of the batch. One scale for the batch instead
// of GRPO's for each group, so that a group of nearly equal rewards does not count as much as one that disagrees. After whitening,
// groups of equal rewards have a small advantage too, the batch's mean being subtracted from them as well. DLER's is that of its code,
// dler_slurm.sh.
#include <map>

#include "trainer/advantage.h"

namespace hone {
namespace {

class ReinforcePlusPlusBaseline : public Advantage {
 public:
  Estimate Compute(std::span<const RewardedSample> samples) const override {
    std::map<int32_t, int> rewards;  // group -> how many it has
    for (const RewardedSample& sample : samples) rewards[sample.group] += sample.reward ? 1 : 0;
    const Estimate centred = ForEachGroup(samples, [](const GroupRewards& group) {
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back(reward - group.mean());
      return advantages;
    });
    std::vector<std::vector<double>> values(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      if (!samples[i].reward || rewards[samples[i].group] < 2) continue;
      values[i].assign(centred.advantages[i].begin(), centred.advantages[i].end());
    }
    return Whiten(samples, values);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewReinforcePlusPlusBaseline(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<ReinforcePlusPlusBaseline>();
}

}  // namespace hone
