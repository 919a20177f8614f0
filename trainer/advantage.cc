#include "trainer/advantage.h"

#include <algorithm>
#include <cmath>
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

std::vector<double> ReturnsToGo(const RewardedSample& sample, double gamma) {
  std::vector<double> returns(sample.tokens);
  double next = 0;
  for (int32_t t = sample.tokens - 1; t >= 0; --t) {
    const double reward = t + 1 == sample.tokens ? sample.reward.value() : 0;
    const double penalty = sample.penalties.empty() ? 0 : sample.penalties[t];
    next = returns[t] = reward - penalty + gamma * next;
  }
  return returns;
}

Estimate Whiten(std::span<const RewardedSample> samples, const std::vector<std::vector<double>>& values) {
  HONE_CHECK(samples.size() == values.size());
  constexpr double kEpsilon = 1e-8;
  double count = 0, sum = 0, squares = 0, first = 0;
  bool all_equal = true;
  for (const std::vector<double>& list : values) {
    for (const double value : list) {
      if (count == 0) first = value;
      all_equal &= value == first;
      ++count;
      sum += value;
    }
  }
  const double mean = sum / std::max(count, 1.0);
  for (const std::vector<double>& list : values) {
    for (const double value : list) squares += (value - mean) * (value - mean);
  }
  const double scale = all_equal ? 0 : 1 / std::sqrt(squares / (count - 1) + kEpsilon);
  Estimate result;
  for (size_t i = 0; i < samples.size(); ++i) {
    std::vector<float>& advantages = result.advantages.emplace_back(samples[i].tokens, 0.0f);
    HONE_CHECK(values[i].empty() || values[i].size() == advantages.size());
    for (size_t t = 0; t < values[i].size(); ++t) advantages[t] = static_cast<float>((values[i][t] - mean) * scale);
  }
  return result;
}

}  // namespace hone
