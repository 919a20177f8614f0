// Kahneman-Tversky Optimization, https://arxiv.org/abs/2402.01306, eq. 8 (7 in earlier versions): an answer is better or worse than what
// the reference point, the divergence from the reference, makes one expect. Mean over the answers of all pairs of
//   1 - sigmoid(beta (d - kl)) for a better one, 1 - sigmoid(beta (kl - d)) for a worse one, d its log-ratio.
// kl=mismatched estimates the divergence from other prompts' answers, as TRL does (trainer/mismatched_kl.h); a number fixes it.
#include <ATen/ops/sigmoid.h>

#include <cmath>
#include <optional>

#include "absl/strings/numbers.h"
#include "engine/base/tensor.h"
#include "engine/base/text.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

constexpr char kMismatched[] = "mismatched";
constexpr size_t kShownBytes = 60;

struct KtoOptions {
  double beta = 0.1;              // the paper, TRL
  double better_weight = 1;       // TRL's desirable_weight
  double worse_weight = 1;        // TRL's undesirable_weight
  std::optional<double> kl = {};  // none: estimated
};

class Kto : public Loss {
 public:
  explicit Kto(KtoOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor ratios = LogRatios(inputs);
    const double kl = options_.kl.value_or(inputs.mismatched_kl);
    const Tensor better = 1 - at::sigmoid((Better(ratios) - kl) * options_.beta);
    const Tensor worse = 1 - at::sigmoid((kl - Worse(ratios)) * options_.beta);
    GivePairs((better * options_.better_weight + worse * options_.worse_weight) / 2, ratios * options_.beta, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }
  bool needs_reference() const override { return true; }
  bool needs_mismatched_kl() const override { return !options_.kl; }

 private:
  KtoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewKto(Spec& spec) {
  KtoOptions options;
  options.beta = spec.Double("beta", options.beta, 1e-9, 1e9);
  options.better_weight = spec.Double("better_weight", options.better_weight, 0, 1e6);
  options.worse_weight = spec.Double("worse_weight", options.worse_weight, 0, 1e6);
  const std::string kl = spec.Text("kl", kMismatched);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (kl != kMismatched) {
    double fixed = 0;
    if (!absl::SimpleAtod(kl, &fixed) || !std::isfinite(fixed) || fixed < 0) {
      return InputError("kto: option 'kl' is '", Visible(kl, kShownBytes), "', wanted ", kMismatched,
                        " or a number from 0 on");
    }
    options.kl = fixed;
  }
  return std::make_unique<Kto>(options);
}

}  // namespace hone
