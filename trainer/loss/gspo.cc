// Group Sequence Policy Optimization, https://arxiv.org/abs/2507.18071, eq. 5 and 7: the reward judges the whole answer, so the ratio is
// the answer's too, s = exp(mean over its tokens of l - o), and a whole answer is clipped or not: max(-A s, -A clip(s, 1 - low, 1 + high)).
// Every token of an answer has this value.
#include <ATen/ops/tensor.h>

#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class Gspo : public TokenLoss {
 public:
  Gspo(const ClipOptions& clip, const AggregationOptions& options) : TokenLoss(options), clip_(clip) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    std::vector<float> inverse;
    for (const int32_t length : inputs.lengths) inverse.push_back(length > 0 ? 1 / static_cast<float>(length) : 0);
    const Tensor sums = SumPerSample(inputs.logprobs - inputs.old, inputs.lengths);
    const Tensor ratios = BoundedRatio(sums * at::tensor(at::ArrayRef<float>(inverse), at::kFloat));
    ClippedObjective(clip_, OnEveryTokenOf(ratios, inputs.lengths), inputs.advantages, outputs);
  }

 private:
  ClipOptions clip_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewGspo(Spec& spec) {
  ClipOptions clip;
  // The paper's, section 5.1: a mean over tokens moves far less than a token's own ratio.
  clip.low = spec.Double("clip_low", 3e-4, 0, 1);
  clip.high = spec.Double("clip_high", 4e-4, 0, 1e6);
  // The paper's. Any other weighs an answer's one ratio by its length.
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec, Aggregation::kSeqMeanTokenMean));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Gspo>(clip, aggregation);
}

}  // namespace hone
