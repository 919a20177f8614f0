#include "trainer/experience.h"

#include <algorithm>

namespace hone {

std::vector<TrainGroup> TrainedGroups(const Advantage& advantage, std::vector<Group>& groups, Metrics& metrics) {
  std::vector<RewardedSample> rewarded;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const Sample& sample : groups[i].samples) {
      rewarded.push_back({sample.verdict.score, static_cast<int32_t>(i), static_cast<int32_t>(sample.tokens.size())});
    }
  }
  Estimate estimate = advantage.Compute(rewarded);
  std::vector<TrainGroup> trained;
  size_t next = 0;
  for (Group& group : groups) {
    TrainGroup candidate{&group.prompt.tokens, {}};
    bool carries_gradient = false;
    for (Sample& sample : group.samples) {
      sample.advantages = std::move(estimate.advantages[next++]);
      if (!sample.verdict.score) continue;
      carries_gradient |=
          std::any_of(sample.advantages.begin(), sample.advantages.end(), [](float value) { return value != 0; });
      candidate.samples.push_back({.tokens = &sample.tokens,
                                   .logprobs = &sample.logprobs,
                                   .advantages = &sample.advantages,
                                   .policy_version = sample.policy_version});
    }
    if (carries_gradient) trained.push_back(std::move(candidate));
  }
  const auto count = static_cast<double>(groups.size()), kept = static_cast<double>(trained.size());
  metrics.Set("group/zero_variance", (count - kept) / count);
  metrics.Set("group/trained", kept / count);
  return trained;
}

}  // namespace hone
