// REINFORCE, https://doi.org/10.1007/BF00992696: -A l, the policy gradient without ratio or clipping.
#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class Reinforce : public TokenLoss {
 public:
  using TokenLoss::TokenLoss;

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    outputs.values = -inputs.advantages * inputs.logprobs;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewReinforce(Spec& spec) {
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Reinforce>(aggregation);
}

}  // namespace hone
