// Balanced online difficulty filtering, https://arxiv.org/abs/2504.03380: groups whose pass rate lies in low .. high train, others are sampled in the place
// of the rest until the batch is full. The variance of the reward, which bounds how far a step can move the policy, is largest in the middle.
#include "rollout/gate.h"

namespace hone {
namespace {

// Three of ten is 0.3, whatever the division makes of it.
constexpr double kRounding = 1e-9;

class Difficulty : public Gate {
 public:
  Difficulty(double low, double high, int64_t max_rounds) : low_(low), high_(high), max_rounds_(max_rounds) {}

  bool Keeps(const Group& group) const override {
    const std::optional<double> rate = PassRate(group);
    return rate && *rate > low_ - kRounding && *rate < high_ + kRounding;
  }

  int64_t max_rounds() const override { return max_rounds_; }

 private:
  const double low_, high_;
  const int64_t max_rounds_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> NewDifficultyGate(Spec& spec) {
  // Both inclusive. The band that did best in the paper's comparison.
  const double low = spec.Double("low", 0.3, 0, 1);
  const double high = spec.Double("high", 0.7, 0, 1);
  const int64_t max_rounds = ReadMaxRounds(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (low > high) return InputError("difficulty: 'low' is ", low, " and 'high' ", high, "; exchange them");
  return std::make_unique<Difficulty>(low, high, max_rounds);
}

}  // namespace hone
