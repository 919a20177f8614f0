// From what a rollout brought to what the learner takes: advantages, and the groups that carry a gradient.
#pragma once

#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/types.h"
#include "trainer/advantage.h"
#include "trainer/batch.h"

namespace hone {

// Fills Sample::advantages. Returns the groups with an advantage other than 0, without samples that have no verdict; the others teach
// nothing and are left out. Pointers lead into `groups`. Metrics: group/zero_variance, group/trained.
std::vector<TrainGroup> TrainedGroups(const Advantage& advantage, std::vector<Group>& groups, Metrics& metrics);

}  // namespace hone
