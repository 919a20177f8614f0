// The strength of a stage's KL term, and the term itself where it is taken out of the rewards. A fixed coefficient, or the
// controller of https://arxiv.org/abs/1909.08593, section 2.2: with KL the mean over the step's n samples of sum l - f,
//   coef <- coef * (1 + clip(KL / target - 1, -0.2, 0.2) * n / horizon).
#pragma once

#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/status.h"
#include "engine/base/types.h"
#include "trainer/kl.h"

namespace hone {

class KlPenalty {
 public:
  explicit KlPenalty(const KlOptions& options) : options_(options), coef_(options.coef) {}

  double coef() const { return coef_; }
  bool is_adaptive() const { return options_.target > 0; }

  // Fills Sample::penalties from Sample::reference where the stage has the term in the reward. Metrics: policy/kl_coef when adaptive.
  void Penalize(std::vector<Group>& groups, Metrics& metrics) const;

  // Moves the coefficient by what the step's samples diverge; for the next step. Those without Sample::reference do not count.
  void Adapt(const std::vector<Group>& groups);

  // state/kl.json, of an adaptive coefficient.
  absl::Status Save(const std::string& checkpoint) const;
  absl::Status Load(const std::string& checkpoint);

 private:
  KlOptions options_;
  double coef_;
};

}  // namespace hone
