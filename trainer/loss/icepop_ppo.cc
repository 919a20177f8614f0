// IcePop, https://arxiv.org/abs/2510.18855: where sampler and trainer disagree too much about a token, it teaches nothing.
// ppo_clip times w where is_low <= w <= is_cap, else times 0; w = exp(o - q), a constant.
#include <ATen/ops/ge.h>
#include <ATen/ops/le.h>

#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class IcepopPpo : public CorrectedPpo {
 public:
  IcepopPpo(const ClipOptions& clip, double low, double cap, const AggregationOptions& options)
      : CorrectedPpo(clip, options), low_(low), cap_(cap) {}

 private:
  Tensor Weights(const Tensor& ratio) const override { return ratio * at::ge(ratio, low_) * at::le(ratio, cap_); }

  double low_, cap_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewIcepopPpo(Spec& spec) {
  HONE_ASSIGN_OR_RETURN(const ClipOptions clip, ReadClip(spec, ClipOptions()));
  // 0.5 and 5, the paper's alpha and beta.
  const double low = spec.Double("is_low", 0.5, 0, 1);
  const double cap = spec.Double("is_cap", 5, 1, 1e6);
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<IcepopPpo>(clip, low, cap, aggregation);
}

}  // namespace hone
