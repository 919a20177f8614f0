#include "trainer/advantage.h"

#include <algorithm>
#include <numeric>

#include "engine/base/check.h"

namespace hone {

double GroupRewards::mean() const {
  return std::accumulate(rewards.begin(), rewards.end(), 0.0) / static_cast<double>(rewards.size());
}

double RewardedSample::TotalReward() const {
  return std::accumulate(penalties.begin(), penalties.end(), reward.value(),
                         [](double rest, float penalty) { return rest - penalty; });
}

Estimate OnEveryToken(std::span<const RewardedSample> samples, const std::vector<double>& advantages) {
  HONE_CHECK(samples.size() == advantages.size());
  Estimate result;
  for (size_t i = 0; i < samples.size(); ++i)
    result.advantages.emplace_back(samples[i].tokens, static_cast<float>(advantages[i]));
  return result;
}

Estimate ForEachGroup(std::span<const RewardedSample> samples,
                      const std::function<std::vector<double>(const GroupRewards&)>& estimate) {
  std::vector<double> advantages(samples.size(), 0.0);
  for (size_t begin = 0; begin < samples.size();) {
    GroupRewards group;
    std::vector<size_t> places;
    size_t end = begin;
    for (; end < samples.size() && samples[end].group == samples[begin].group; ++end) {
      if (!samples[end].reward) continue;
      group.rewards.push_back(samples[end].TotalReward());
      group.lengths.push_back(samples[end].tokens);
      places.push_back(end);
    }
    begin = end;
    // The mean of equal numbers may round to another one, so equality is asked of the rewards themselves.
    const auto differs = [&](double reward) { return reward != group.rewards[0]; };
    if (std::none_of(group.rewards.begin(), group.rewards.end(), differs)) continue;
    const std::vector<double> estimated = estimate(group);
    HONE_CHECK(estimated.size() == places.size());
    for (size_t i = 0; i < places.size(); ++i) advantages[places[i]] = estimated[i];
  }
  return OnEveryToken(samples, advantages);
}

}  // namespace hone
