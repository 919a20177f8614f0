// What several losses share: probability ratios, PPO's clipped objective, and sums over samples. Differentiable like the losses.
// SumPerSample has one order of addition, so a sample's sum does not depend on what stands beside it.
#pragma once

#include <cstdint>
#include <span>

#include "engine/base/spec.h"
#include "engine/base/tensor_fwd.h"
#include "trainer/loss.h"

namespace hone {

// exp(log_ratio), the exponent within -20 .. 20: e^20 is beyond any clip range, and a far-off token's ratio stays finite. As in verl and
// OpenRLHF.
Tensor BoundedRatio(const Tensor& log_ratio);

// The ratio may move to 1 - low .. 1 + high.
struct ClipOptions {
  double low = 0.2;
  double high = 0.28;  // DAPO: room for unlikely tokens to grow
  double dual = 0;     // 0: off; verl uses 3
};

// Reads clip_low, clip_high and dual_clip; what is not written is as in `defaults`.
absl::StatusOr<ClipOptions> ReadClip(Spec& spec, const ClipOptions& defaults);

// ratio, advantages [tokens] -> values max(-A r, -A clip(r, 1 - low, 1 + high)), with `dual` c and A < 0 min(that, -A c); and where the clipped
// term is the larger.
void ClippedObjective(const ClipOptions& options, const Tensor& ratio, const Tensor& advantages, LossOutputs outputs);

// A loss of one value a token, aggregated as the recipe says.
class TokenLoss : public Loss {
 public:
  explicit TokenLoss(const AggregationOptions& options) : options_(options) {}
  Aggregation aggregation() const final { return options_.aggregation; }
  double norm_length() const final { return options_.norm_length; }

 private:
  AggregationOptions options_;
};

// PPO's clipped objective times a constant that corrects for the policy that sampled, Weights(exp(o - q)).
class CorrectedPpo : public TokenLoss {
 public:
  CorrectedPpo(const ClipOptions& clip, const AggregationOptions& options) : TokenLoss(options), clip_(clip) {}
  void Compute(const LossInputs& inputs, LossOutputs outputs) const final;

 private:
  // ratio [tokens] -> [tokens]
  virtual Tensor Weights(const Tensor& ratio) const = 0;

  ClipOptions clip_;
};

// values [tokens] -> [samples], added in the order of the tokens; 0 for a sample without tokens.
Tensor SumPerSample(const Tensor& values, std::span<const int32_t> lengths);
// values [samples] -> [tokens]
Tensor OnEveryTokenOf(const Tensor& values, std::span<const int32_t> lengths);

}  // namespace hone
