// Dynamic sampling of DAPO, https://arxiv.org/abs/2503.14476, section 3.2: groups whose rewards are all equal have no gradient, so others are
// sampled in their place until the batch is full. As in verl the verifier's scores decide by default: with a price on length all rewards of a solved
// group differ, and it would pass for nothing but its lengths. DLER, https://arxiv.org/abs/2510.15110, decides after truncation: rewards=shaped.
#include "rollout/gate.h"

namespace hone {
namespace {

class DynamicSampling : public Gate {
 public:
  DynamicSampling(bool by_reward, int64_t max_rounds) : by_reward_(by_reward), max_rounds_(max_rounds) {}

  bool Keeps(const Group& group) const override {
    std::optional<double> first;
    for (const Sample& sample : group.samples) {
      const std::optional<double> reward = by_reward_ ? sample.reward() : sample.verdict.score;
      if (!reward) continue;
      if (!first) first = reward;
      if (*reward != *first) return true;
    }
    return false;
  }

  int64_t max_rounds() const override { return max_rounds_; }

 private:
  const bool by_reward_;
  const int64_t max_rounds_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> NewDynamicSamplingGate(Spec& spec) {
  const bool by_reward = spec.Choice("rewards", "verified", {"verified", "shaped"}) == "shaped";
  const int64_t max_rounds = ReadMaxRounds(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<DynamicSampling>(by_reward, max_rounds);
}

}  // namespace hone
