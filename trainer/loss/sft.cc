// Supervised fine-tuning: the cross-entropy of the demonstration's answer, -l, averaged over answer tokens.
#include "engine/base/tensor.h"
#include "trainer/loss.h"

namespace hone {
namespace {

class Sft : public Loss {
 public:
  void Compute(const LossInputs& inputs, LossOutputs outputs) const override { outputs.values = -inputs.logprobs; }
  Aggregation aggregation() const override { return Aggregation::kTokenMean; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewSft(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Sft>();
}

}  // namespace hone
