// Truncated importance sampling, https://fengyao.notion.site/off-policy-rl: a token that the sampler found likelier or less likely than the
// trainer does counts by that ratio, up to a cap. ppo_clip times min(w, is_cap), w = exp(o - q), a constant.
#include <ATen/ops/clamp_max.h>

#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

class TisPpo : public CorrectedPpo {
 public:
  TisPpo(const ClipOptions& clip, double cap, const AggregationOptions& options)
      : CorrectedPpo(clip, options), cap_(cap) {}

 private:
  Tensor Weights(const Tensor& ratio) const override { return at::clamp_max(ratio, cap_); }

  double cap_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewTisPpo(Spec& spec) {
  HONE_ASSIGN_OR_RETURN(const ClipOptions clip, ReadClip(spec, ClipOptions()));
  const double cap = spec.Double("is_cap", 2, 0, 1e6);  // verl, slime, SkyRL and open-instruct
  HONE_ASSIGN_OR_RETURN(const AggregationOptions aggregation, ReadAggregation(spec));
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<TisPpo>(clip, cap, aggregation);
}

}  // namespace hone
