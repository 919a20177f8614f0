// Dynamic sampling of DAPO, https://arxiv.org/abs/2503.14476, section 3.2: groups whose rewards are all equal have no gradient, so others are
// sampled in their place until the batch is full.
#include "rollout/gate.h"

namespace hone {
namespace {

class DynamicSampling : public Gate {
 public:
  explicit DynamicSampling(int64_t max_rounds) : max_rounds_(max_rounds) {}

  bool Keeps(const Group& group) const override {
    std::optional<double> first;
    for (const Sample& sample : group.samples) {
      const std::optional<double> reward = sample.reward();
      if (!reward) continue;
      if (!first) first = reward;
      if (*reward != *first) return true;
    }
    return false;
  }

  int64_t max_rounds() const override { return max_rounds_; }

 private:
  const int64_t max_rounds_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gate>> NewDynamicSamplingGate(Spec& spec) {
  const int64_t max_rounds = ReadMaxRounds(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<DynamicSampling>(max_rounds);
}

}  // namespace hone
