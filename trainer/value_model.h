// The value model of PPO, https://arxiv.org/abs/1707.06347: what reward an answer will get, told at each of its tokens from the tokens before it. A
// linear head, zero at first, on the final hidden states of a trunk: the policy's own, or a copy of the policy that learns by itself.
//
//   loss = loss_coef / tokens * sum_t 0.5 max((v - R)^2, (clip(v, o - c, o + c) - R)^2)
//
// v the value, o that of before the step, R the return (advantage + o): the clipped value loss of OpenAI's ppo2, as verl has it. Values are as
// independent of batch and split as log-probabilities are.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/types.h"
#include "engine/model/model.h"
#include "trainer/adamw.h"
#include "trainer/batch.h"
#include "trainer/run_options.h"

namespace hone {

// values, old, returns [tokens] -> [tokens] 0.5 max(...), and in `clipped` 1 where the clipped term is the larger; undefined for clip 0, which
// bounds nothing.
Tensor ValueLoss(const Tensor& values, const Tensor& old, const Tensor& returns, double clip, Tensor& clipped);

// 1 - var(returns - values) / var(returns) over all tokens of the samples: 1 is foreknowledge, 0 no better than a constant. No value where all
// returns are equal.
std::optional<double> ExplainedVariance(std::span<const TrainGroup> groups);

class ValueModel {
 public:
  // Policy and stage outlive it. A trunk of its own begins as a copy of the policy as it is now. Stage::value_model is not kNone.
  static absl::StatusOr<std::unique_ptr<ValueModel>> New(const Model& policy, const Stage& stage);

  // Fills Sample::values, without gradient.
  void Evaluate(std::vector<Group>& groups);

  // Of the stage's steps done, whether the next is for the value model alone.
  bool IsWarmup(int64_t stage_step) const { return stage_step < options_.warmup_steps; }

  // An own trunk's optimizer steps on samples with values and returns, one for each of the stage's minibatches in each epoch; for a
  // shared one, nothing: the learner's update trains it. Metrics of the step, time/value_s with Evaluate's: value/loss, value/explained_variance, value/clip_fraction,
  // value/grad_norm. An error when gradients are not finite several times in a row.
  absl::Status Learn(std::span<const TrainGroup> groups, Metrics& metrics);

  // For the learner, on a shared trunk: the loss of a micro-batch whose targets' hidden states [targets, hidden_size] these are, of an update
  // with `tokens` tokens in all.
  bool shared() const { return trunk_ == nullptr; }
  Tensor Loss(const Tensor& hidden, const PackedBatch& batch, int64_t tokens);
  void ForgetGradients() { optimizer_->ClearGradients(); }
  double GradientNorm() const { return optimizer_->GradientNorm(); }
  void Step(double gradient_scale);

  // Weights and optimizer state, value_model.safetensors and value_optimizer.safetensors in a folder; Load refuses those of another model.
  absl::Status Save(const std::string& folder) const;
  absl::Status Load(const std::string& folder);

 private:
  ValueModel(const Model& policy, const Stage& stage, std::unique_ptr<Model> trunk);

  const Model& body() const { return trunk_ != nullptr ? *trunk_ : policy_; }
  Tensor Values(const Tensor& hidden) const;
  absl::Status Update(std::span<const TrainGroup> groups);

  const Model& policy_;
  const Stage& stage_;
  const ValueModelOptions& options_;
  std::unique_ptr<Model> trunk_;        // null: shared
  std::vector<Parameter> head_;         // weight and bias
  std::vector<Parameter*> parameters_;  // the head's and the trunk's
  std::unique_ptr<AdamW> optimizer_;
  int skipped_ = 0;  // updates in a row

  // Of the step that is under way.
  double loss_ = 0, clipped_ = 0, grad_norm_ = 0, seconds_ = 0;
  int64_t tokens_ = 0, updates_ = 0;
};

}  // namespace hone
