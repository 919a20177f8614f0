// ReMax, https://arxiv.org/abs/2310.10505, eq. 7: the baseline is the reward of the answer that the policy finds likeliest, one a prompt
// whatever the number of samples: A_i = R_i - R(greedy). Needs no peers and no value model. Without a verdict on the greedy answer there is
// no baseline, and the prompt's samples get 0.
#include "trainer/advantage.h"

namespace hone {
namespace {

class Remax : public Advantage {
 public:
  AdvantageNeeds needs() const override { return AdvantageNeeds::kGreedy; }

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    std::vector<double> advantages;
    for (const RewardedSample& sample : samples) {
      const bool known = sample.reward && sample.greedy_reward;
      advantages.push_back(known ? sample.TotalReward() - *sample.greedy_reward : 0);
    }
    return OnEveryToken(samples, advantages);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewRemax(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Remax>();
}

}  // namespace hone
