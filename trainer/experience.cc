#include "trainer/experience.h"

#include <algorithm>
#include <optional>

namespace hone {
namespace {

// Scores that differ among the samples with a verdict.
bool ScoresDiffer(const Group& group) {
  std::optional<double> first;
  for (const Sample& sample : group.samples) {
    const std::optional<double> reward = sample.reward();
    if (!reward) continue;
    if (!first) first = reward;
    if (*reward != *first) return true;
  }
  return false;
}

bool IsNotZero(const std::vector<float>& advantages) {
  return std::any_of(advantages.begin(), advantages.end(), [](float value) { return value != 0; });
}

}  // namespace

std::vector<TrainGroup> TrainedGroups(const Advantage& advantage, GroupsTaken taken, std::vector<Group>& groups,
                                      Metrics& metrics) {
  std::vector<RewardedSample> rewarded;
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::optional<double> greedy = groups[i].greedy ? groups[i].greedy->reward() : std::nullopt;
    for (const Sample& sample : groups[i].samples) {
      rewarded.push_back({.reward = sample.reward(),
                          .group = static_cast<int32_t>(i),
                          .tokens = static_cast<int32_t>(sample.tokens.size()),
                          .greedy_reward = greedy,
                          .values = sample.values,
                          .penalties = sample.penalties,
                          .parent = sample.parent,
                          .branch_at = sample.branch_at});
    }
  }
  Estimate estimate = advantage.Compute(rewarded);
  const bool has_returns = !estimate.returns.empty();
  std::vector<TrainGroup> trained;
  size_t next = 0;
  double zero_variance = 0, largest = 0;
  for (Group& group : groups) {
    TrainGroup candidate{&group.prompt.tokens, {}};
    bool carries_gradient = false;
    zero_variance += ScoresDiffer(group) ? 0 : 1;
    largest = std::max(largest, static_cast<double>(group.samples.size()));
    for (Sample& sample : group.samples) {
      sample.advantages = std::move(estimate.advantages[next]);
      if (has_returns) sample.returns = std::move(estimate.returns[next]);
      ++next;
      if (!sample.verdict.score) continue;
      carries_gradient |= IsNotZero(sample.advantages);
      candidate.samples.push_back({.tokens = &sample.tokens,
                                   .logprobs = &sample.logprobs,
                                   .reference = sample.reference.empty() ? nullptr : &sample.reference,
                                   .advantages = &sample.advantages,
                                   .values = has_returns ? &sample.values : nullptr,
                                   .returns = has_returns ? &sample.returns : nullptr,
                                   .policy_version = sample.policy_version,
                                   .is_correct = *sample.verdict.score >= kCorrectScore});
    }
    if (carries_gradient || (taken == GroupsTaken::kWithVerdict && !candidate.samples.empty()))
      trained.push_back(std::move(candidate));
  }
  const auto count = static_cast<double>(std::max<size_t>(1, groups.size()));
  if (largest > 1) metrics.Set("group/zero_variance", zero_variance / count);
  metrics.Set("group/trained", static_cast<double>(trained.size()) / count);
  return trained;
}

bool HasAdvantage(const std::vector<Group>& groups) {
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) {
      if (IsNotZero(sample.advantages)) return true;
    }
  }
  return false;
}

std::vector<TrainGroup> GroupsToTrain(const Stage& stage, int64_t stage_step, double kl_coef,
                                      std::vector<Group>& groups, Metrics& metrics) {
  if (stage.pairs) return PairedGroups(*stage.pairs, groups, metrics);
  if (stage.keep_above) return KeptGroups(stage.keep_above->At(stage_step, stage.steps), groups, metrics);
  const bool moves_without_advantage = stage.loss->takes_rewards() || stage.entropy_coef != 0 ||
                                       (stage.kl.place == KlPlace::kLoss && kl_coef != 0) ||
                                       stage.value_model.trunk != ValueTrunk::kNone;
  return TrainedGroups(*stage.advantage,
                       moves_without_advantage ? GroupsTaken::kWithVerdict : GroupsTaken::kWithAdvantage, groups,
                       metrics);
}

}  // namespace hone
