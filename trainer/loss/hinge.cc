// Sequence likelihood calibration's hinge (SLiC, https://arxiv.org/abs/2305.10425) on log-ratios, as in RSO,
// https://arxiv.org/abs/2309.06657, there "hinge-norm": max(0, 1 - beta D), D = (log-ratio of the better answer) - (of the worse).
#include <ATen/ops/relu.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

struct HingeOptions {
  double beta = 0.1;  // TRL; RSO's own gamma is 0.05 according to TRL
};

class Hinge : public Loss {
 public:
  explicit Hinge(HingeOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor rewards = LogRatios(inputs) * options_.beta;
    GivePairs(at::relu(1 - (Better(rewards) - Worse(rewards))), rewards, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }
  bool needs_reference() const override { return true; }

 private:
  HingeOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewHinge(Spec& spec) {
  HingeOptions options;
  options.beta = spec.Double("beta", options.beta, 1e-9, 1e9);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Hinge>(options);
}

}  // namespace hone
