// REINFORCE, https://doi.org/10.1007/BF00992696: -A l, the policy gradient without ratio or clipping.
#include "engine/base/tensor.h"
#include "trainer/loss.h"

namespace hone {
namespace {

class Reinforce : public Loss {
 public:
  explicit Reinforce(AggregationOptions aggregation) : aggregation_(aggregation) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    outputs.values = -inputs.advantages * inputs.logprobs;
  }

  Aggregation aggregation() const override { return aggregation_.aggregation; }
  double norm_length() const override { return aggregation_.norm_length; }

 private:
  AggregationOptions aggregation_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewReinforce(Spec& spec) {
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Reinforce>(aggregation);
}

}  // namespace hone
