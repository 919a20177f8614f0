// From what a rollout brought to what the learner takes: advantages, and the groups that carry a gradient.
#pragma once

#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/types.h"
#include "trainer/advantage.h"
#include "trainer/batch.h"
#include "trainer/run_options.h"

namespace hone {

// Which groups an update takes.
enum class GroupsTaken {
  kWithAdvantage,  // with an advantage other than 0: the others have no gradient
  kWithVerdict,  // with any verdict: the loss, a KL or entropy term in it, or a value model has a gradient without advantages
};

// Fills Sample::advantages, and Sample::returns where the estimator gives them. Returns the groups taken, without samples that have no verdict. Pointers lead into `groups`. Metrics:
// group/trained, and group/zero_variance, the share of groups whose scores do not differ, where prompts have several samples.
std::vector<TrainGroup> TrainedGroups(const Advantage& advantage, GroupsTaken taken, std::vector<Group>& groups,
                                      Metrics& metrics);

// Whether any sample has an advantage other than 0.
bool HasAdvantage(const std::vector<Group>& groups);

// What an update of step `stage_step` takes, as the stage's loss wants: pairs, samples above the threshold, or samples with advantages.
// `kl_coef` is that of the KL term in force.
std::vector<TrainGroup> GroupsToTrain(const Stage& stage, int64_t stage_step, double kl_coef,
                                      std::vector<Group>& groups, Metrics& metrics);

}  // namespace hone
