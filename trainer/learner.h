// The learner: forward, loss, backward, clip, AdamW over packed micro-batches. The loss and its gradient are sums with weights
// taken over the whole batch, so they do not depend on how the batch is split.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "trainer/adamw.h"
#include "trainer/batch.h"
#include "trainer/loss.h"
#include "trainer/noise_scale.h"
#include "trainer/pairs.h"
#include "trainer/run_options.h"
#include "trainer/value_model.h"

namespace hone {

// What one optimizer step did. Means are over trained tokens.
struct UpdateStats {
  double loss = 0;
  double entropy = 0;
  std::optional<double> clip_fraction;
  // Largest |log-probability here - log-probability at sampling| over samples of the current policy; no value when the batch
  // has none. Exactly 0 or a defect.
  std::optional<double> mismatch;
  std::optional<double> kl_reference;  // k3; no value without a reference
  // Where the stage measures the noise scale and there were several micro-batches.
  std::optional<GradientNorms> gradient_norms;
  PreferenceStats preference;  // of losses over pairs
  double grad_norm = 0;
  double learning_rate = 0;
  int64_t tokens = 0;           // trained tokens
  int64_t rows = 0;             // tokens through the model
  bool applied = false;         // false: the gradient was not finite, and nothing changed
  std::string not_finite = {};  // the weight where it was so first on the way back from the loss; empty when applied
};

class Learner {
 public:
  // `model` outlives the learner; its weights change in place, stored as the stage wants them. Optimizer state begins at zero.
  Learner(Model* model, const Stage& stage);

  // One optimizer step on all samples of the groups; `policy_version` is the version of the weights before it. Groups without
  // samples are fine, a batch without any is not.
  UpdateStats Update(std::span<const TrainGroup> groups, PolicyVersion policy_version);

  int64_t optimizer_steps() const { return optimizer_.steps(); }

  // Updates train its head too: its loss is added, its gradient clipped with the policy's. Null, or of a shared trunk; it outlives the
  // learner, and samples have values and returns.
  void UseValueModel(ValueModel* value_model) { value_model_ = value_model; }

  // So many of its optimizer steps do not count for the schedule.
  void set_extra_updates(int64_t extra_updates) { extra_updates_ = extra_updates; }

  // Of the KL divergence from the reference in the loss; begins at the stage's.
  void set_kl_coef(double kl_coef) { kl_coef_ = kl_coef; }

  // Of the next batch, for losses that need it (trainer/mismatched_kl.h).
  void set_mismatched_kl(double mismatched_kl) { mismatched_kl_ = mismatched_kl; }

  // The optimizer's state as a safetensors file; Load refuses a file of another model.
  absl::Status Save(const std::string& path) const { return optimizer_.Save(path); }
  absl::Status Load(const std::string& path, int64_t optimizer_steps) { return optimizer_.Load(path, optimizer_steps); }

 private:
  // Returns the number of weights that were used.
  int64_t AccumulateGradient(const PackedBatch& batch, const float* weights, PolicyVersion policy_version,
                             UpdateStats& stats);
  void AddKl(const Tensor& logprobs, const Tensor& reference, Tensor& losses, UpdateStats& stats) const;
  // Of the policy and what trains with it.
  double GradientNorm() const;

  Model* model_;
  const Stage& stage_;
  AdamW optimizer_;
  ValueModel* value_model_ = nullptr;
  double kl_coef_;
  double mismatched_kl_ = 0;
  int64_t extra_updates_ = 0;
};

}  // namespace hone
