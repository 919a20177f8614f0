// Direct Preference Optimization, https://arxiv.org/abs/2305.18290, eq. 7, with label smoothing as in conservative DPO
// (https://ericmitchell.ai/cdpo.pdf): D = (log-ratio of the better answer) - (of the worse), e the share of labels thought to be wrong;
// -(1 - e) log sigmoid(beta D) - e log sigmoid(-beta D).
#include <ATen/ops/log_sigmoid.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

struct DpoOptions {
  double beta = 0.1;           // TRL, OpenRLHF; NeMo-RL 0.05
  double label_smoothing = 0;  // off everywhere
};

class Dpo : public Loss {
 public:
  explicit Dpo(DpoOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor rewards = LogRatios(inputs) * options_.beta;
    const Tensor margin = Better(rewards) - Worse(rewards);
    Tensor values = at::log_sigmoid(margin) * (options_.label_smoothing - 1);
    if (options_.label_smoothing > 0) values = values - at::log_sigmoid(-margin) * options_.label_smoothing;
    GivePairs(values, rewards, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }
  bool needs_reference() const override { return true; }

 private:
  DpoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewDpo(Spec& spec) {
  DpoOptions options;
  options.beta = spec.Double("beta", options.beta, 1e-9, 1e9);
  // At 1/2 a label says nothing.
  options.label_smoothing = spec.Double("label_smoothing", options.label_smoothing, 0, 0.499);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Dpo>(options);
}

}  // namespace hone
