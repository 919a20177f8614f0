#include "trainer/advantage.h"

#include <algorithm>
#include <numeric>

#include "engine/base/check.h"

namespace hone {

double GroupRewards::mean() const {
  return std::accumulate(rewards.begin(), rewards.end(), 0.0) / static_cast<double>(rewards.size());
}

std::vector<double> ForEachGroup(std::span<const RewardedSample> samples,
                                 const std::function<std::vector<double>(const GroupRewards&)>& estimate) {
  std::vector<double> advantages(samples.size(), 0.0);
  for (size_t begin = 0; begin < samples.size();) {
    GroupRewards group;
    std::vector<size_t> places;
    size_t end = begin;
    for (; end < samples.size() && samples[end].group == samples[begin].group; ++end) {
      if (!samples[end].reward) continue;
      group.rewards.push_back(*samples[end].reward);
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
  return advantages;
}

}  // namespace hone
