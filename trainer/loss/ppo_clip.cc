// Proximal Policy Optimization's clipped objective, https://arxiv.org/abs/1707.06347, eq. 7, with the upper bound apart from the lower as in
// DAPO (https://arxiv.org/abs/2503.14476, eq. 10) and, optionally, dual clipping (https://arxiv.org/abs/1912.09729, eq. 6):
// max(-A r, -A clip(r, 1 - low, 1 + high)); with dual_clip c and A < 0, min(that, -A c); r = exp(l - o).
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/where.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"

namespace hone {
namespace {

// A ratio of e^20 is beyond any clip range; the bound keeps a far-off token's exp finite. As in verl and OpenRLHF.
constexpr double kMaxLogRatio = 20;

struct PpoClipOptions {
  double clip_low = 0.2;
  double clip_high = 0.28;  // DAPO: room for unlikely tokens to grow
  double dual_clip = 0;     // 0: off; verl uses 3
  AggregationOptions aggregation;
};

class PpoClip : public Loss {
 public:
  explicit PpoClip(PpoClipOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor& advantages = inputs.advantages;
    const Tensor ratio = at::exp(at::clamp(inputs.logprobs - inputs.old, -kMaxLogRatio, kMaxLogRatio));
    const Tensor plain = -advantages * ratio;
    const Tensor clipped = -advantages * at::clamp(ratio, 1 - options_.clip_low, 1 + options_.clip_high);
    outputs.clipped = at::gt(clipped, plain);
    outputs.values = at::maximum(plain, clipped);
    if (options_.dual_clip > 0) {
      const Tensor bounded = at::minimum(outputs.values, -advantages * options_.dual_clip);
      outputs.values = at::where(at::lt(advantages, 0), bounded, outputs.values);
    }
  }

  Aggregation aggregation() const override { return options_.aggregation.aggregation; }
  double norm_length() const override { return options_.aggregation.norm_length; }

 private:
  PpoClipOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewPpoClip(Spec& spec) {
  PpoClipOptions options;
  options.clip_low = spec.Double("clip_low", options.clip_low, 0, 1);
  options.clip_high = spec.Double("clip_high", options.clip_high, 0, 1e6);
  options.dual_clip = spec.Double("dual_clip", options.dual_clip, 0, 1e6);
  HONE_ASSIGN_OR_RETURN(options.aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.dual_clip > 0 && options.dual_clip <= 1) {
    return InputError("ppo_clip: option 'dual_clip' is ", options.dual_clip, ", wanted 0 (off) or more than 1");
  }
  return std::make_unique<PpoClip>(options);
}

}  // namespace hone
