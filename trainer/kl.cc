#include "trainer/kl.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>

#include "engine/base/tensor.h"

namespace hone {

// A bound that keeps a far-off token's exp finite, as in verl.
constexpr double kMaxLogRatio = 20;

Tensor KlPerToken(KlEstimator estimator, const Tensor& logprobs, const Tensor& reference) {
  const Tensor x = logprobs - reference;
  switch (estimator) {
    case KlEstimator::kK1:
      return x;
    case KlEstimator::kK2:
      return x * x / 2;
    case KlEstimator::kK3:
      return at::exp(at::clamp(-x, -kMaxLogRatio, kMaxLogRatio)) + x - 1;
  }
  return x;
}

namespace {

// Coefficient 0.001 and no controller are verl's defaults; a controller's horizon of 10,000 samples is lm-human-preferences'
// (https://arxiv.org/abs/1909.08593, section 2.2), which aims at 6 nats a sample.
absl::StatusOr<KlOptions> ReadKl(Spec& spec, KlEstimator estimator) {
  KlOptions options{estimator};
  options.coef = spec.Double("coef", 0.001, 0, 1e3);
  options.place = spec.Choice("place", "loss", {"loss", "reward"}) == "loss" ? KlPlace::kLoss : KlPlace::kReward;
  options.target = spec.Double("target", 0, 0, 1e6);
  if (options.target > 0) options.horizon = spec.Double("horizon", 10000, 1, 1e9);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.target > 0 && options.coef == 0) {
    return InputError(spec.name(), ": 'target' ", options.target,
                      " is reached by multiplying 'coef', which is 0 and stays 0; give it a start, such as coef=0.001");
  }
  return options;
}

}  // namespace

absl::StatusOr<KlOptions> ReadNoKl(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return KlOptions();
}
absl::StatusOr<KlOptions> ReadK1(Spec& spec) { return ReadKl(spec, KlEstimator::kK1); }
absl::StatusOr<KlOptions> ReadK2(Spec& spec) { return ReadKl(spec, KlEstimator::kK2); }
absl::StatusOr<KlOptions> ReadK3(Spec& spec) { return ReadKl(spec, KlEstimator::kK3); }

}  // namespace hone
