// Keeps a draft model close to the policy during a run: after each RL step it is distilled on some of the rollouts that the
// policy has just produced, weighted by their scores (ReSpec). A bounded number of tokens a step, the same whatever the
// machine's speed; the policy and its samples do not depend on it.
#pragma once

#include <memory>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/types.h"
#include "engine/drafter.h"
#include "trainer/distiller.h"

namespace hone {

class DraftUpkeep {
 public:
  // Both models outlive it; target.model is not null.
  DraftUpkeep(const DraftTarget& target, const Model& policy);

  // Sets drafter/distill_loss, drafter/distill_agreement and time/drafter_s.
  void Update(const std::vector<Group>& groups, Metrics& metrics);

 private:
  bool reward_weighted_;
  Distiller distiller_;
};

}  // namespace hone
