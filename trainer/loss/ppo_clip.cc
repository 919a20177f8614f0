// Proximal Policy Optimization's clipped objective, https://arxiv.org/abs/1707.06347, eq. 7, with the upper bound apart from the lower as in
// DAPO (https://arxiv.org/abs/2503.14476, eq. 10) and, optionally, dual clipping (https://arxiv.org/abs/1912.09729, eq. 6):
// max(-A r, -A clip(r, 1 - low, 1 + high)); with dual_clip c and A < 0, min(that, -A c); r = exp(l - o).
#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class PpoClip : public TokenLoss {
 public:
  PpoClip(const ClipOptions& clip, const AggregationOptions& options) : TokenLoss(options), clip_(clip) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    ClippedObjective(clip_, BoundedRatio(inputs.logprobs - inputs.old), inputs.advantages, outputs);
  }

 private:
  ClipOptions clip_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewPpoClip(Spec& spec) {
  HONE_ASSIGN_OR_RETURN(const ClipOptions clip, ReadClip(spec, ClipOptions()));
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<PpoClip>(clip, aggregation);
}

}  // namespace hone
