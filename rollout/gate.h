// SLOT: does a group train? Where a gate leaves fewer groups than a step wants, the loop asks for more prompts, up to max_rounds times.
#pragma once

#include <memory>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

class Gate {
 public:
  virtual ~Gate() = default;
  // Pure. Rewards are shaped; verdicts are the verifier's.
  virtual bool Keeps(const Group& group) const = 0;
  // Rollouts of a step at most, the first included. After them the step trains on the groups that it has.
  virtual int64_t max_rounds() const = 0;
};

// Option `max_rounds` of every gate. 10 as in verl (filter_groups.max_num_gen_batches of the DAPO recipe).
int64_t ReadMaxRounds(Spec& spec);

// Share of a group's samples with a verdict that are correct; no value without verdicts.
std::optional<double> PassRate(const Group& group);

// Factories, one per file in rollout/gate/; recipes/components.def is the menu. NewNoGate gives null.
absl::StatusOr<std::unique_ptr<Gate>> NewNoGate(Spec& spec);
absl::StatusOr<std::unique_ptr<Gate>> NewDifficultyGate(Spec& spec);
absl::StatusOr<std::unique_ptr<Gate>> NewDynamicSamplingGate(Spec& spec);

}  // namespace hone
