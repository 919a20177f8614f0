#include "trainer/pairs.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

// [2 n] -> [n]: every other one.
Tensor EveryOther(const Tensor& samples, int64_t first) {
  HONE_CHECK(samples.numel() % 2 == 0);
  return samples.view({-1, 2}).select(1, first);
}

}  // namespace

Tensor SampleSums(const Tensor& tokens, std::span<const int32_t> lengths) {
  return SumPerSample(tokens.to(at::kDouble), lengths);
}

Tensor LogRatios(const LossInputs& inputs) {
  HONE_CHECK(inputs.reference.defined());
  return SampleSums(inputs.logprobs - inputs.reference, inputs.lengths);
}

Tensor SampleLengths(std::span<const int32_t> lengths) {
  Tensor tensor = at::empty({static_cast<int64_t>(lengths.size())}, at::kDouble);
  std::copy(lengths.begin(), lengths.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

Tensor Better(const Tensor& samples) { return EveryOther(samples, 0); }

Tensor Worse(const Tensor& samples) { return EveryOther(samples, 1); }

void GivePairs(const Tensor& values, const Tensor& rewards, LossOutputs outputs) {
  outputs.values = values.to(at::kFloat);
  if (outputs.rewards != nullptr) *outputs.rewards = rewards.detach();
}

void PreferenceStats::Add(const Tensor& rewards) {
  const double* values = rewards.const_data_ptr<double>();
  for (int64_t i = 0; i + 1 < rewards.numel(); i += 2) {
    ++pairs;
    chosen += values[i];
    rejected += values[i + 1];
    right += values[i] > values[i + 1] ? 1 : 0;
  }
}

void PreferenceStats::Add(const PreferenceStats& other) {
  pairs += other.pairs;
  chosen += other.chosen;
  rejected += other.rejected;
  right += other.right;
  if (other.kl) kl = other.kl;
}

void PreferenceStats::AddTo(Metrics& metrics) const {
  if (pairs == 0) return;
  const auto count = static_cast<double>(pairs);
  metrics.Set("preference/accuracy", right / count);
  metrics.Set("preference/margin", (chosen - rejected) / count);
  metrics.Set("preference/reward_chosen", chosen / count);
  metrics.Set("preference/reward_rejected", rejected / count);
  if (kl) metrics.Set("preference/kl", *kl);
}

}  // namespace hone
