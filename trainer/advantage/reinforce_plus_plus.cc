// REINFORCE++, https://arxiv.org/abs/2501.03262, section 3: no baseline but the whole batch. Each token's return-to-go,
// G_t = r_t + gamma G_t+1 with the reward at the last token and penalties at their own, whitened over all tokens of the batch.
#include "trainer/advantage.h"

namespace hone {
namespace {

class ReinforcePlusPlus : public Advantage {
 public:
  explicit ReinforcePlusPlus(double gamma) : gamma_(gamma) {}

  AdvantageNeeds needs() const override { return AdvantageNeeds::kNothing; }

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    std::vector<std::vector<double>> returns(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      const RewardedSample& sample = samples[i];
      if (!sample.reward) continue;
      returns[i].resize(sample.tokens);
      double after = 0;
      for (int32_t t = sample.tokens - 1; t >= 0; --t) {
        const double reward = t + 1 == sample.tokens ? *sample.reward : 0;
        const double penalty = sample.penalties.empty() ? 0 : sample.penalties[t];
        after = returns[i][t] = reward - penalty + gamma_ * after;
      }
    }
    return Whiten(samples, returns);
  }

 private:
  double gamma_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewReinforcePlusPlus(Spec& spec) {
  const double gamma = spec.Double("gamma", 1, 0, 1);  // verl, OpenRLHF and slime
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<ReinforcePlusPlus>(gamma);
}

}  // namespace hone
