// Group Relative Policy Optimization, https://arxiv.org/abs/2402.03300, section 4.1.2:
// A_i = (R_i - mean_g) / (std_g + epsilon), the standard deviation with n - 1. Without the division it is the centred form that Dr. GRPO
// (https://arxiv.org/abs/2503.20783) argues for: dividing gives questions that are nearly always or nearly never solved more weight.
#include <cmath>

#include "trainer/advantage.h"

namespace hone {
namespace {

struct GrpoOptions {
  bool std_normalize = true;
  double epsilon = 1e-6;  // verl, slime and SkyRL; TRL has 1e-4
};

class Grpo : public Advantage {
 public:
  explicit Grpo(GrpoOptions options) : options_(options) {}

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    return ForEachGroup(samples, [this](const GroupRewards& group) {
      const double scale = options_.std_normalize ? Scale(group) : 1;
      std::vector<double> advantages;
      for (const double reward : group.rewards) advantages.push_back((reward - group.mean()) * scale);
      return advantages;
    });
  }

 private:
  // 1 / (std + epsilon); 0 for equal rewards.
  double Scale(const GroupRewards& group) const {
    double squares = 0;
    for (const double reward : group.rewards) squares += (reward - group.mean()) * (reward - group.mean());
    const double std = std::sqrt(squares / static_cast<double>(group.rewards.size() - 1));
    return std > 0 ? 1 / (std + options_.epsilon) : 0;
  }

  GrpoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewGrpo(Spec& spec) {
  GrpoOptions options;
  options.std_normalize = spec.Bool("std_normalize", options.std_normalize);
  options.epsilon = spec.Double("epsilon", options.epsilon, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Grpo>(options);
}

}  // namespace hone
