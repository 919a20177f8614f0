// REINFORCE++, https://arxiv.org/abs/2501.03262 (version 2, eq. 10): no baseline but the whole batch. Each token's return-to-go, whitened
// over all tokens of the batch.
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
      if (samples[i].reward) returns[i] = ReturnsToGo(samples[i], gamma_);
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
