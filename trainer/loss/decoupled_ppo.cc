// Decoupled PPO, https://arxiv.org/abs/2110.00641, section 2, as AReaL trains on stale samples (https://arxiv.org/abs/2505.24298): the clip
// holds the policy near a recent one (o), and a weight corrects for the older one that sampled (q): ppo_clip times
// min(exp(o - q), cap), a constant.
#include <ATen/ops/clamp_max.h>

#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class DecoupledPpo : public CorrectedPpo {
 public:
  DecoupledPpo(const ClipOptions& clip, double cap, const AggregationOptions& options)
      : CorrectedPpo(clip, options), cap_(cap) {}

 private:
  Tensor Weights(const Tensor& ratio) const override { return at::clamp_max(ratio, cap_); }

  double cap_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewDecoupledPpo(Spec& spec) {
  // AReaL clips at 0.2 on both sides. Its recipes have 5 for the weight, beyond which it leaves a token out; here it is capped.
  HONE_ASSIGN_OR_RETURN(const ClipOptions clip, ReadClip(spec, {.low = 0.2, .high = 0.2}));
  const double cap = spec.Double("behavior_weight_cap", 5, 1, 1e6);
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<DecoupledPpo>(clip, cap, aggregation);
}

}  // namespace hone
