// SLOT: how much better a sample is than its peers. Plain floats; formulas and edge cases as in the field's systems.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/spec.h"

namespace hone {

// One sample as an estimator sees it.
struct RewardedSample {
  std::optional<double> reward;  // no value: no verdict
  int32_t group;                 // samples of one prompt share a group; groups are contiguous
  int32_t tokens;                // length of the answer, at least 1
};

class Advantage {
 public:
  virtual ~Advantage() = default;
  // One advantage a sample, the same for each of its tokens. A sample without reward gets 0 and counts in no statistic; a group
  // with fewer than two rewards gets 0. Pure.
  virtual std::vector<double> Compute(std::span<const RewardedSample> samples) const = 0;
};

// The rewards of one group's samples that have a verdict: at least two, and not all equal.
struct GroupRewards {
  std::vector<double> rewards;

  double mean() const;
};

// The frame of every group-relative estimator: `estimate` gives one advantage for each reward of a group. Samples without reward and
// groups with fewer than two rewards get 0; so do groups of equal rewards, exactly.
std::vector<double> ForEachGroup(std::span<const RewardedSample> samples,
                                 const std::function<std::vector<double>(const GroupRewards&)>& estimate);

// Factories, one per file in trainer/advantage/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Advantage>> NewGrpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewDrGrpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewRloo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewMaxRl(Spec& spec);

}  // namespace hone
