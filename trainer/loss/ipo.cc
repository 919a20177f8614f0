// Identity Preference Optimization, https://arxiv.org/abs/2310.12036, eq. 17: (d_c / n_c - d_r / n_r - 1 / (2 beta))^2, d the log-ratio of
// the better and the worse answer, n their tokens. Per token as in TRL (whose authors asked the paper's) and AReaL; OpenRLHF and ROLL take
// sums, whose target then depends on the length.
#include <ATen/ops/square.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

struct IpoOptions {
  double beta = 0.1;  // the paper's tau; TRL
};

class Ipo : public Loss {
 public:
  explicit Ipo(IpoOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor ratios = LogRatios(inputs);
    const Tensor mean_ratios = ratios / SampleLengths(inputs.lengths);
    const Tensor distance = Better(mean_ratios) - Worse(mean_ratios) - 1 / (2 * options_.beta);
    GivePairs(at::square(distance), ratios * options_.beta, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }
  bool needs_reference() const override { return true; }

 private:
  IpoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewIpo(Spec& spec) {
  IpoOptions options;
  options.beta = spec.Double("beta", options.beta, 1e-9, 1e9);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Ipo>(options);
}

}  // namespace hone
