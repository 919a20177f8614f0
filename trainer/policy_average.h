// The proximal policy of PPO-EWMA, "Batch size-invariance for policy optimization", https://arxiv.org/abs/2110.00641: an exponentially weighted
// average of the policy's weights over its optimizer steps. How far an update may go is then measured from a policy of a fixed age, whatever
// policy sampled the answers and however many steps a batch is cut into.
//
//   after update n = 1, 2, ...:   w_n = sum_k beta^(n - k) theta_k / sum_k beta^(n - k),   k = 0 .. n, theta_0 the weights at the beginning
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/model/model.h"
#include "trainer/batch.h"

namespace hone {

// The slot `policy_ewma`.
struct PolicyEwmaOptions {
  double beta_prox = 0;  // 0: no average
  double divide_batch =
      1;  // the recipe's numbers are for a batch so many times as large: ForDividedBatch is applied to them
};
absl::StatusOr<PolicyEwmaOptions> ReadNoPolicyEwma(Spec& spec);
absl::StatusOr<PolicyEwmaOptions> ReadPolicyEwma(Spec& spec);

// What the paper changes with the batch (sections 3.2 and 4), so that learning as a function of samples stays the same as long as batches
// are small beside the gradient noise scale and each sample is used in one epoch.
struct BatchSizeSettings {
  double learning_rate = 0;
  double beta1 = 0, beta2 = 0;  // Adam's
  double beta_prox = 0;
};

// Settings for a batch divided by c > 0: learning_rate / sqrt(c), beta1^(1/c), beta2^(1/c), and a beta_prox whose age in steps,
// 1 / (1 - beta_prox) - 1, is c times as large. (Adam's betas matter little, and most of the paper's experiments leave them; it takes Adam's
// epsilon for negligible, so that stays.) Where advantages are whitened, the paper also takes c times as many steps for their mean and
// deviation; Hone whitens by step, so a batch to be divided should be large enough for that.
BatchSizeSettings ForDividedBatch(const BatchSizeSettings& settings, double c);

class PolicyAverage {
 public:
  // `policy` outlives it. Costs a float32 copy of the weights.
  static absl::StatusOr<std::unique_ptr<PolicyAverage>> New(const Model& policy, double beta_prox);

  // After an optimizer step: takes in the policy's weights.
  void Add();

  // Sets TrainSample::old: log-probabilities under the average. The numbers live until the next call.
  void Score(std::vector<TrainGroup>& groups, int64_t token_budget);

  const Model& model() const { return *average_; }

  // The state as a safetensors file; Load refuses one of another model.
  absl::Status Save(const std::string& path) const;
  absl::Status Load(const std::string& path);

 private:
  PolicyAverage(const Model& policy, std::unique_ptr<Model> average, double beta_prox)
      : policy_(policy), average_(std::move(average)), beta_prox_(beta_prox) {}

  const Model& policy_;
  std::unique_ptr<Model> average_;
  double beta_prox_;
  int64_t taken_in_ = 1;                 // policies, the first included
  std::vector<std::vector<float>> old_;  // [sample][token]
};

}  // namespace hone
