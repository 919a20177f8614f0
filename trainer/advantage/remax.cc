// ReMax, https://arxiv.org/abs/2310.10505: the baseline is the reward of the answer that the policy finds likeliest, one a prompt
// whatever the number of samples: A_i = R_i - R(greedy). Needs no peers and no value model. Penalties of tokens count from each token on,
// as in verl; in the authors' code a token bears its own alone, and the reward is discounted by 0.99 a token. Without a verdict on the
// greedy answer there is no baseline, and the prompt's samples get 0.
#include "trainer/advantage.h"

namespace hone {
namespace {

class Remax : public Advantage {
 public:
  AdvantageNeeds needs() const override { return AdvantageNeeds::kGreedy; }

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    Estimate result;
    for (const RewardedSample& sample : samples) {
      std::vector<float>& advantages = result.advantages.emplace_back(sample.tokens, 0.0f);
      if (!sample.reward || !sample.greedy_reward) continue;
      const std::vector<double> returns = ReturnsToGo(sample, 1);
      for (size_t t = 0; t < advantages.size(); ++t)
        advantages[t] = static_cast<float>(returns[t] - *sample.greedy_reward);
    }
    return result;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewRemax(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Remax>();
}

}  // namespace hone
