// Generalized advantage estimation, https://arxiv.org/abs/1506.02438, with the values of a value model:
// delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}, beyond the last token V = A = 0. The verdict is the reward of the last
// token, penalties are negative rewards of each. The value model learns the returns A + V, from before whitening.
#include "engine/base/check.h"
#include "trainer/advantage.h"

namespace hone {
namespace {

struct GaeOptions {
  double gamma = 1;    // answers end, and the verdict comes at the end: verl, TRL, OpenRLHF
  double lam = 0.95;   // https://arxiv.org/abs/1707.06347, table 3, TRL and ROLL; verl and OpenRLHF have 1
  bool whiten = true;  // over all tokens of the batch: verl, TRL
};

class Gae : public Advantage {
 public:
  explicit Gae(GaeOptions options) : options_(options) {}

  AdvantageNeeds needs() const override { return AdvantageNeeds::kValues; }

  Estimate Compute(std::span<const RewardedSample> samples) const override {
    std::vector<std::vector<float>> returns;
    std::vector<std::vector<double>> advantages(samples.size());  // [sample][token]; none without a reward
    for (size_t i = 0; i < samples.size(); ++i) {
      returns.emplace_back(samples[i].tokens, 0.0f);
      if (samples[i].reward) advantages[i] = OfSample(samples[i], returns.back());
    }
    Estimate result = options_.whiten ? Whiten(samples, advantages) : AsTheyAre(samples, advantages);
    result.returns = std::move(returns);
    return result;
  }

 private:
  static Estimate AsTheyAre(std::span<const RewardedSample> samples, const std::vector<std::vector<double>>& values) {
    Estimate result;
    for (size_t i = 0; i < samples.size(); ++i) {
      result.advantages.emplace_back(values[i].begin(), values[i].end());
      result.advantages.back().resize(samples[i].tokens, 0);
    }
    return result;
  }

  std::vector<double> OfSample(const RewardedSample& sample, std::vector<float>& returns) const {
    const auto length = static_cast<size_t>(sample.tokens);
    HONE_CHECK(sample.values.size() == length && (sample.penalties.empty() || sample.penalties.size() == length));
    std::vector<double> advantages(length);
    double next_value = 0, next_advantage = 0, reward = *sample.reward;
    for (size_t t = length; t-- > 0; reward = 0) {
      if (!sample.penalties.empty()) reward -= sample.penalties[t];
      const double value = sample.values[t];
      const double delta = reward + options_.gamma * next_value - value;
      advantages[t] = next_advantage = delta + options_.gamma * options_.lam * next_advantage;
      returns[t] = static_cast<float>(advantages[t] + value);
      next_value = value;
    }
    return advantages;
  }

  GaeOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Advantage>> NewGae(Spec& spec) {
  GaeOptions options;
  options.gamma = spec.Double("gamma", options.gamma, 0, 1);
  options.lam = spec.Double("lam", options.lam, 0, 1);
  options.whiten = spec.Bool("whiten", options.whiten);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Gae>(options);
}

}  // namespace hone
