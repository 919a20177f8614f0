// Divergence from a reference policy, estimated from the sampled tokens: http://joschu.net/blog/kl-approx.html. With x = l - f, the
// log-probability of the token under the policy less that under the reference:
//   k1 = x, k2 = x^2 / 2, k3 = exp(-x) + x - 1.
// In the loss its gradient is the derivative of the estimate itself, as in TRL and verl.
#pragma once

#include "engine/base/spec.h"
#include "engine/base/tensor_fwd.h"

namespace hone {

enum class KlEstimator { kK1, kK2, kK3 };

enum class KlPlace {
  kLoss,    // added to the loss with its gradient: GRPO
  kReward,  // subtracted from the rewards of tokens: PPO, https://arxiv.org/abs/2009.01325
};

struct KlOptions {
  KlEstimator estimator = KlEstimator::kK3;
  KlPlace place = KlPlace::kLoss;
  double coef = 0;  // 0: no penalty
  // Of the adaptive controller (kl_penalty.h): nats that a sample diverges by, all its tokens together; 0 leaves coef as it is.
  double target = 0;
  double horizon = 0;  // samples
};

// l, f [tokens] -> [tokens]. |x| is bounded by 20 inside exp.
Tensor KlPerToken(KlEstimator estimator, const Tensor& logprobs, const Tensor& reference);

// The recipe's slot `kl`: "none", or an estimator's name with its options.
absl::StatusOr<KlOptions> ReadNoKl(Spec& spec);
absl::StatusOr<KlOptions> ReadK1(Spec& spec);
absl::StatusOr<KlOptions> ReadK2(Spec& spec);
absl::StatusOr<KlOptions> ReadK3(Spec& spec);

}  // namespace hone
