// SimPO, https://arxiv.org/abs/2405.14734, eq. 6: -log sigmoid(beta (a_c - a_r) - gamma), a the mean log-probability of the better and the
// worse answer's tokens. There is no reference.
#include <ATen/ops/log_sigmoid.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

struct SimpoOptions {
  double beta = 2;     // the paper: 2 to 2.5. TRL's 0.1 is DPO's, for sums over tokens
  double gamma = 0.5;  // TRL; the paper: 0.5 to 1.5, its own runs 0.3 to 1.6
};

class Simpo : public Loss {
 public:
  explicit Simpo(SimpoOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor rewards = SampleSums(inputs.logprobs, inputs.lengths) / SampleLengths(inputs.lengths) * options_.beta;
    GivePairs(-at::log_sigmoid(Better(rewards) - Worse(rewards) - options_.gamma), rewards, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }

 private:
  SimpoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewSimpo(Spec& spec) {
  SimpoOptions options;
  options.beta = spec.Double("beta", options.beta, 1e-9, 1e9);
  options.gamma = spec.Double("gamma", options.gamma, 0, 1e9);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Simpo>(options);
}

}  // namespace hone
