// A memory of how right each prompt's answers were: prompts are drawn with a chance that follows from their last pass rates p.
//
//   prefer=intermediate   p (1 - p), the variance of the reward, where a group teaches most: https://arxiv.org/abs/2502.12272
//   prefer=hard           1 - p, Kimi k1.5's prioritized sampling: https://arxiv.org/abs/2501.12599
//
// A prompt that was never asked counts as one of 1/2; `floor` is added, so that none is lost for ever: the policy moves.
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/weighted_draw.h"
#include "rollout/curriculum.h"
#include "rollout/gate.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr double kUnknown = 0.5;

class PassRateMemory : public Curriculum {
 public:
  PassRateMemory(bool prefers_hard, int64_t candidates, double decay, double floor)
      : prefers_hard_(prefers_hard), candidates_(candidates), decay_(decay), floor_(floor) {}

  bool remembers_prompts() const override { return true; }
  int64_t candidates_per_prompt() const override { return candidates_; }

  std::vector<size_t> Choose(std::span<const Prompt> candidates, size_t count, RandomSequence& random) override {
    std::vector<double> weights;
    for (const Prompt& candidate : candidates) {
      const auto known = rates_.find(candidate.key);
      const double rate = known != rates_.end() ? known->second : kUnknown;
      weights.push_back(floor_ + (prefers_hard_ ? 1 - rate : rate * (1 - rate)));
    }
    return DrawWithoutReplacement(weights, count, random);
  }

  absl::Status Learn(std::span<const Group> groups, Metrics& metrics) override {
    double error = 0, known = 0;
    for (const Group& group : groups) {
      const std::optional<double> rate = PassRate(group);
      if (!rate) continue;
      const auto [place, is_new] = rates_.try_emplace(group.prompt.key, *rate);
      if (is_new) continue;
      error += std::abs(place->second - *rate);
      ++known;
      place->second += (1 - decay_) * (*rate - place->second);
    }
    metrics.Set("curriculum/prompts_known", static_cast<double>(rates_.size()));
    if (known > 0) metrics.Set("curriculum/error_mean", error / known);
    return absl::OkStatus();
  }

  absl::Status Save(const std::string& path) const override {
    Json rates = Json::array();
    for (const auto& [key, rate] : rates_) rates.push_back({key, rate});
    return WriteFile(path, Json{{"pass_rates", rates}}.dump() + "\n");
  }

  absl::Status Load(const std::string& path) override {
    HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    std::map<uint64_t, double> rates;
    bool is_whole = json.is_object() && json.contains("pass_rates") && json["pass_rates"].is_array();
    if (is_whole) {
      for (const Json& pair : json["pass_rates"]) {
        is_whole = pair.is_array() && pair.size() == 2 && pair[0].is_number_unsigned() && pair[1].is_number();
        if (!is_whole) break;
        rates[pair[0]] = pair[1];
      }
    }
    if (!is_whole)
      return InputError(path, ": no list of [prompt, pass rate]; damaged; go on from an earlier checkpoint");
    rates_ = std::move(rates);
    return absl::OkStatus();
  }

 private:
  const bool prefers_hard_;
  const int64_t candidates_;
  const double decay_, floor_;
  std::map<uint64_t, double> rates_;  // by Prompt::key
};

}  // namespace

absl::StatusOr<std::unique_ptr<Curriculum>> NewPassRateCurriculum(Spec& spec) {
  const bool prefers_hard = spec.Choice("prefer", "intermediate", {"intermediate", "hard"}) == "hard";
  const int64_t candidates = spec.Int("candidates", 4, 1, 1024);  // for each prompt wanted
  const double decay = spec.Double("decay", 0.5, 0, 0.999);       // of what was known, at each new pass rate
  const double floor = spec.Double("floor", 0.02, 1e-6, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<PassRateMemory>(prefers_hard, candidates, decay, floor);
}

}  // namespace hone
