// No estimate at all: A_i = R_i, as in REINFORCE without a baseline (https://doi.org/10.1007/BF00992696), and for losses that are written
// in terms of rewards.
#include "trainer/advantage.h"

namespace hone {
namespace {

class Reward : public Advantage {
 public:
  AdvantageNeeds needs() const override { return AdvantageNeeds::kNothing; }

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    std::vector<double> advantages;
    for (const RewardedSample& sample : samples) advantages.push_back(sample.reward ? sample.TotalReward() : 0);
    return OnEveryToken(samples, advantages);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewReward(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Reward>();
}

}  // namespace hone
