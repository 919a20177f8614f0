// What preference losses share: sums over the answers of a batch whose samples lie in pairs, the better answer first. In float64, because
// a sum over hundreds of tokens is compared with another of nearly the same size; and a token's difference from the reference is taken
// before the sum, so that an unchanged policy has a log-ratio of exactly 0.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "engine/base/metrics.h"
#include "engine/base/tensor_fwd.h"
#include "trainer/loss.h"

namespace hone {

// [tokens] -> [samples] in float64: sums over each sample's tokens, with gradient.
Tensor SampleSums(const Tensor& tokens, std::span<const int32_t> lengths);

// [samples] in float64: sum over tokens of l - f, the log-ratio of policy and reference.
Tensor LogRatios(const LossInputs& inputs);

// [samples] in float64.
Tensor SampleLengths(std::span<const int32_t> lengths);

// [2 n] -> [n]: of each pair the better and the worse one's.
Tensor Better(const Tensor& samples);
Tensor Worse(const Tensor& samples);

// Fills the outputs from `values` [pairs] and the implicit rewards [samples], both float64.
void GivePairs(const Tensor& values, const Tensor& rewards, LossOutputs outputs);

// What a loss over pairs makes of a batch; sums over pairs, added up micro-batch by micro-batch.
struct PreferenceStats {
  int64_t pairs = 0;
  double chosen = 0, rejected = 0;  // implicit rewards
  double right = 0;                 // pairs whose better answer has the larger reward
  std::optional<double> kl;         // the last update's divergence on other prompts' answers, where the loss has one

  void Add(const Tensor& rewards);  // [samples], float64
  void Add(const PreferenceStats& other);
  // preference/accuracy, preference/margin, preference/reward_chosen, preference/reward_rejected, preference/kl: TRL's rewards/accuracies,
  // rewards/margins, rewards/chosen, rewards/rejected, kl. Without pairs none of them.
  void AddTo(Metrics& metrics) const;
};

}  // namespace hone
