#include "trainer/loss_terms.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "engine/base/tensor.h"

namespace hone {
namespace {

constexpr double kMaxLogRatio = 20;

// [tokens] the number of each token's sample.
Tensor SampleOfToken(std::span<const int32_t> lengths) {
  const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  Tensor samples = at::empty({tokens}, at::kLong);
  int64_t* next = samples.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < lengths.size(); ++i) next = std::fill_n(next, lengths[i], static_cast<int64_t>(i));
  return samples;
}

}  // namespace

Tensor BoundedRatio(const Tensor& log_ratio) { return at::exp(at::clamp(log_ratio, -kMaxLogRatio, kMaxLogRatio)); }

absl::StatusOr<ClipOptions> ReadClip(Spec& spec, const ClipOptions& defaults) {
  ClipOptions options;
  options.low = spec.Double("clip_low", defaults.low, 0, 1);
  options.high = spec.Double("clip_high", defaults.high, 0, 1e6);
  options.dual = spec.Double("dual_clip", defaults.dual, 0, 1e6);
  if (options.dual == 0 || options.dual > 1) return options;
  return InputError(spec.name(), ": option 'dual_clip' is ", options.dual, ", wanted 0 (off) or more than 1");
}

void ClippedObjective(const ClipOptions& options, const Tensor& ratio, const Tensor& advantages, LossOutputs outputs) {
  const Tensor plain = -advantages * ratio;
  const Tensor clipped = -advantages * at::clamp(ratio, 1 - options.low, 1 + options.high);
  outputs.clipped = at::gt(clipped, plain);
  outputs.values = at::maximum(plain, clipped);
  if (options.dual == 0) return;
  const Tensor bounded = at::minimum(outputs.values, -advantages * options.dual);
  outputs.values = at::where(at::lt(advantages, 0), bounded, outputs.values);
}

void CorrectedPpo::Compute(const LossInputs& inputs, LossOutputs outputs) const {
  ClippedObjective(clip_, BoundedRatio(inputs.logprobs - inputs.old), inputs.advantages, outputs);
  outputs.values = outputs.values * Weights(BoundedRatio(inputs.old - inputs.rollout));
}

Tensor SumPerSample(const Tensor& values, std::span<const int32_t> lengths) {
  const Tensor zeros = at::zeros({static_cast<int64_t>(lengths.size())}, values.options());
  return at::index_add(zeros, 0, SampleOfToken(lengths), values);
}

Tensor OnEveryTokenOf(const Tensor& values, std::span<const int32_t> lengths) {
  return at::index_select(values, 0, SampleOfToken(lengths));
}

}  // namespace hone
