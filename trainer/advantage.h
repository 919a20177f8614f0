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
  std::optional<double> reward;                        // no value: no verdict
  int32_t group;                                       // samples of one prompt share a group; groups are contiguous
  int32_t tokens;                                      // length of the answer, at least 1
  std::optional<double> greedy_reward = std::nullopt;  // of the prompt's greedy answer, where the estimator needs it
  std::span<const float> values = {};                  // [tokens] of the value model, where the estimator needs it
  std::span<const float> penalties = {};  // [tokens] subtracted from the rewards of tokens (KL); empty: none
  int32_t parent = -1;  // the sample of its group, by number, whose first branch_at tokens it shares; -1: none
  int32_t branch_at = 0;

  // The reward less all penalties. Not without a reward.
  double TotalReward() const;
};

// [sample][token]. A sample without reward has zeros.
struct Estimate {
  std::vector<std::vector<float>> advantages;
  std::vector<std::vector<float>> returns = {};  // what a value model learns; empty without one
};

// What an estimator asks of a rollout beyond rewards.
enum class AdvantageNeeds {
  kGroups,   // at least two samples a prompt
  kNothing,  // one sample a prompt will do
  kGreedy,   // the reward of the prompt's greedy answer
  kValues,   // a value model
};

class Advantage {
 public:
  virtual ~Advantage() = default;
  virtual AdvantageNeeds needs() const { return AdvantageNeeds::kGroups; }
  // A sample without reward gets 0 and counts in no statistic; for estimators that need groups, so does a group with fewer than two
  // rewards. Pure.
  virtual Estimate Compute(std::span<const RewardedSample> samples) const = 0;
};

// One group's samples that have a verdict: at least two, and their rewards not all equal.
struct GroupRewards {
  std::vector<double> rewards;   // TotalReward of each
  std::vector<int32_t> lengths;  // tokens of each

  double mean() const;
};

// The same advantage for all tokens of a sample.
Estimate OnEveryToken(std::span<const RewardedSample> samples, const std::vector<double>& advantages);

// The frame of every group-relative estimator: `estimate` gives one advantage for each reward of a group. Samples without reward and
// groups with fewer than two rewards get 0; so do groups of equal rewards, exactly.
Estimate ForEachGroup(std::span<const RewardedSample> samples,
                      const std::function<std::vector<double>(const GroupRewards&)>& estimate);

// [tokens] of a sample with a reward: G_t = r_t + gamma G_t+1, the reward at the last token less each token's penalty.
std::vector<double> ReturnsToGo(const RewardedSample& sample, double gamma);

// values [sample][token] -> advantages of mean 0 and variance 1 over all of these tokens: (x - mean) / sqrt(variance + 1e-8), the variance with
// n - 1, as in verl. A sample whose list is empty counts in neither and gets zeros. Values that are all equal become 0, exactly.
Estimate Whiten(std::span<const RewardedSample> samples, const std::vector<std::vector<double>>& values);

// Factories, one per file in trainer/advantage/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Advantage>> NewGrpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewDrGrpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewRloo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewMaxRl(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewOpo(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewReward(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewRemax(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewReinforcePlusPlus(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewReinforcePlusPlusBaseline(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewGae(Spec& spec);
absl::StatusOr<std::unique_ptr<Advantage>> NewTree(Spec& spec);

}  // namespace hone
