// What a rollout says about itself before anything is trained on it: counts for metrics.jsonl, whether enough samples have a
// verdict, and why a step teaches nothing.
#pragma once

#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/status.h"
#include "rollout/collector.h"
#include "trainer/batch.h"

namespace hone {

// reward/*, verdict/none, verifier/* (troubles inside the verifier during this rollout), group/solved_*, sample/*; greedy/* where the
// rollout has greedy answers, which count in none of the others.
void AddRolloutMetrics(const Rollout& rollout, Metrics& metrics);

// drafter/*: what speculation did. Its decisions follow measured times, so these differ from run to run.
void AddDrafterMetrics(const Rollout& rollout, Metrics& metrics);

// staleness/mean and staleness/max, in optimizer steps, over the samples that a step's updates take.
void AddStaleness(const std::vector<std::vector<TrainGroup>>& batches, PolicyVersion now, Metrics& metrics);

// An error, with the most frequent reason, when a larger share of samples, greedy answers included, than `max_no_verdict` (0..1) has no
// verdict: to train on the rest would be to train on what the verifier happened to get through.
absl::Status CheckVerdicts(const std::vector<Group>& groups, double max_no_verdict);

// Why no group of a step has samples that differ in advantage.
struct NoSignal {
  std::string name;         // all_solved, none_solved, all_truncated, no_verdicts, no_greedy_verdicts, or equal_rewards
  std::string explanation;  // in words, with what helps
};
NoSignal WhyNoSignal(const std::vector<Group>& groups);

}  // namespace hone
