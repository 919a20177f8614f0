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

}  // namespace hone
