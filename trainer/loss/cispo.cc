// Clipped importance-sampling weights, https://arxiv.org/abs/2506.13585, eq. 4 and 5: the weight is clipped, not the update, so that rare tokens
// that turn a chain of thought keep their gradient: -constant(clip(r, 1 - low, 1 + high)) A l, r = exp(l - o).
#include <ATen/ops/clamp.h>

#include <algorithm>

#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class Cispo : public TokenLoss {
 public:
  Cispo(double low, double high, const AggregationOptions& options) : TokenLoss(options), low_(low), high_(high) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor ratio = BoundedRatio(inputs.logprobs.detach() - inputs.old);
    outputs.values = -at::clamp(ratio, 1 - low_, 1 + high_) * inputs.advantages * inputs.logprobs;
  }

 private:
  double low_, high_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewCispo(Spec& spec) {
  // From 1 on there is no lower bound, as in the paper. The upper one, which it does not give, is TRL's
  // advice of at most 5 times, after https://arxiv.org/abs/2510.13786.
  const double low = spec.Double("clip_low", 1, 0, 1e6);
  const double high = spec.Double("clip_high", 4, 0, 1e6);
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  const std::vector<std::string> unread = spec.Unread();
  if (std::find(unread.begin(), unread.end(), "dual_clip") != unread.end()) {
    return InputError(
        "cispo: option 'dual_clip' bounds a loss that grows with the ratio; cispo's weight is bounded by clip_high "
        "itself, so leave it out");
  }
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Cispo>(low, high, aggregation);
}

}  // namespace hone
