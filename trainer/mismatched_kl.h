// KTO's reference point (https://arxiv.org/abs/2402.01306, section 4.1), estimated as in TRL: the divergence of policy from reference on
// answers that belong to other prompts, max(0, mean over answers of sum over tokens of l - f). A constant of the whole batch, so that the
// loss does not depend on micro-batches.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "trainer/batch.h"
#include "trainer/reference.h"

namespace hone {

// Log-probability of every token of every sample of the groups, in order.
using ScoreFunction = std::function<std::vector<float>(std::span<const TrainGroup>)>;

// Each prompt with the first pair of the group before it, in a circle; an answer too long for `max_positions` behind its new prompt is cut.
// 0 for a single group, which has no other's answers: at least two are wanted.
double MismatchedKl(std::span<const TrainGroup> groups, int64_t max_positions, const ScoreFunction& policy,
                    const ScoreFunction& reference);

double MismatchedKl(std::span<const TrainGroup> groups, const Model& policy, const ReferencePolicy& reference,
                    int64_t token_budget);

}  // namespace hone
