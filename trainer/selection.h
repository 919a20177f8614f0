// Which of a rollout's samples form the batch, for losses that take no advantages: pairs that a verifier prefers one of (on-policy
// preference training), and samples above a threshold (ReST). Pointers lead into the groups.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/spec.h"
#include "engine/base/status.h"
#include "engine/base/types.h"
#include "trainer/batch.h"

namespace hone {

// "best_worst(margin=0)": of each group the first of the best and the first of the worst; "all(margin=0)": any two whose scores differ by
// more than the margin. Scores that are equal prefer nothing.
struct PairRule {
  enum class Kind { kBestWorst, kAll };
  Kind kind = Kind::kBestWorst;
  double margin = 0;
};
// The slot `pairs`.
absl::StatusOr<PairRule> ReadBestWorst(Spec& spec);
absl::StatusOr<PairRule> ReadAllPairs(Spec& spec);

// Groups with the samples of their pairs in a row, the better one first; those without a pair are left out. Fills Sample::advantages with
// the sample's win rate: the share of its group's other samples that score less, equal ones half.
// Metrics: group/trained, preference/pairs, preference/no_pair (the share of groups left out).
std::vector<TrainGroup> PairedGroups(const PairRule& rule, std::vector<Group>& groups, Metrics& metrics);

// "rising(first=0, last=0.99)": a line from the stage's first step to its last; "constant(threshold=0)".
struct KeepRule {
  double first = 0, last = 0;

  double At(int64_t step, int64_t steps) const;  // step from 0
};
// The slot `keep_above`.
absl::StatusOr<KeepRule> ReadRising(Spec& spec);
absl::StatusOr<KeepRule> ReadConstantThreshold(Spec& spec);

// The samples that score more than `threshold`; groups without any are left out. ReST, https://arxiv.org/abs/2308.08998, eq. 3.
// Metrics: group/trained, keep/threshold, keep/fraction (of samples with a verdict).
std::vector<TrainGroup> KeptGroups(double threshold, std::vector<Group>& groups, Metrics& metrics);

}  // namespace hone
