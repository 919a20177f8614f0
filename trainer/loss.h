// SLOT: what the learner minimises, a value per token whose weighted sum is the loss. Formulas in ATen, so that autograd
// gives the gradient with respect to the log-probabilities.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/tensor_fwd.h"

namespace hone {

// How token values become one number. Sequences without trained tokens count nowhere.
enum class Aggregation {
  kTokenMean,            // sum over tokens / tokens: DAPO
  kSeqMeanTokenMean,     // mean over sequences of the token mean: GRPO
  kSeqMeanTokenSum,      // mean over sequences of the token sum
  kSeqMeanTokenSumNorm,  // the same divided by a constant length: Dr. GRPO
  kSampleMean,           // the loss gives one value a sample, not one a token
  kPairMean,             // the loss gives one value for two samples in a row, the better one first
};

// The weight of every value of a batch whose sequences have `lengths` trained tokens: the loss is sum weight * value.
// Weights see the whole batch, so the loss does not depend on how it is split into micro-batches.
std::vector<float> LossWeights(Aggregation aggregation, const std::vector<int32_t>& lengths, double norm_length);

// The options `aggregation` and `norm_length` that policy losses share.
struct AggregationOptions {
  Aggregation aggregation = Aggregation::kTokenMean;
  double norm_length = 1;
};
absl::StatusOr<AggregationOptions> ReadAggregation(Spec& spec, Aggregation fallback = Aggregation::kTokenMean);

// All [tokens], of the trained tokens of a micro-batch, sample after sample; samples and pairs are never split. Only `logprobs` and
// `log_sum_exp` carry a gradient.
struct LossInputs {
  const Tensor& logprobs;     // under the policy being trained
  const Tensor& old;          // under the policy at the start of the step (proximal)
  const Tensor& rollout;      // under the policy that sampled the token (behaviour)
  const Tensor& reference;    // under the reference policy; undefined unless the loss needs it
  const Tensor& log_sum_exp;  // of the logits where the token was drawn: logprobs + log_sum_exp is the token's logit
  const Tensor& advantages;
  std::span<const int32_t> lengths;  // tokens of each sample
  double mismatched_kl = 0;          // of the whole batch (trainer/mismatched_kl.h), where the loss needs it
};

struct LossOutputs {
  Tensor& values;   // [tokens], or [samples] or [pairs] as the aggregation says
  Tensor& clipped;  // [tokens] 0 or 1: the loss lets the token go no further; undefined where it never does so
  // [samples], float64, of losses over pairs: the reward that the policy's log-probabilities stand for. May be null.
  Tensor* rewards = nullptr;
};

class Loss {
 public:
  virtual ~Loss() = default;
  virtual void Compute(const LossInputs& inputs, LossOutputs outputs) const = 0;
  virtual Aggregation aggregation() const = 0;
  virtual bool needs_reference() const { return false; }
  // The advantage has to be the reward itself (estimator `reward`), and one of 0 teaches like any other.
  virtual bool takes_rewards() const { return false; }
  virtual bool needs_mismatched_kl() const { return false; }
  // It compares with the policy that sampled, so samples of unknown origin teach it nothing.
  virtual bool compares_with_rollout() const { return false; }
  virtual double norm_length() const { return 1; }
};

// Factories, one per file in trainer/loss/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Loss>> NewPpoClip(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewDecoupledPpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewTisPpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewIcepopPpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewGspo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewCispo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewDppo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewTbrm(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewReinforce(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewSft(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewDpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewIpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewSimpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewHinge(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewKto(Spec& spec);
absl::StatusOr<std::unique_ptr<Loss>> NewDno(Spec& spec);

}  // namespace hone
