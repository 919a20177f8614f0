#include "trainer/draft_upkeep.h"

#include <algorithm>
#include <chrono>

namespace hone {
namespace {

// Of answers distilled in a step: a few percent of what the step itself trains and generates.
constexpr size_t kTokensPerStep = 2048;
// The draft model has to follow the policy within few steps, so its rate is that of a fresh distillation.
constexpr double kLearningRate = 1e-3;

}  // namespace

DraftUpkeep::DraftUpkeep(const DraftTarget& target, const Model& policy)
    : reward_weighted_(target.reward_weighted),
      distiller_(target.model, &policy,
                 {.learning_rate = kLearningRate,
                  .head_tokens = {target.head_tokens.begin(), target.head_tokens.end()},
                  .parts = target.head_tokens.empty() ? DistilledParts::kEverything : DistilledParts::kLayers}) {}

void DraftUpkeep::Update(const std::vector<Group>& groups, Metrics& metrics) {
  const auto start = std::chrono::steady_clock::now();
  size_t total = 0, taken = 0;
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) total += sample.tokens.size();
  }
  std::vector<TrainGroup> chosen;
  size_t seen = 0;
  for (const Group& group : groups) {  // spread evenly over the step's groups
    size_t tokens = 0;
    TrainGroup weighted{&group.prompt.tokens, {}};
    for (const Sample& sample : group.samples) {
      tokens += sample.tokens.size();
      const double weight = reward_weighted_ ? std::max(0.0, sample.verdict.score.value_or(0)) : 1;
      if (weight > 0) weighted.samples.push_back({.tokens = &sample.tokens, .weight = static_cast<float>(weight)});
    }
    seen += tokens;
    if (weighted.samples.empty() || static_cast<double>(taken) * static_cast<double>(total) >
                                        static_cast<double>(kTokensPerStep) * static_cast<double>(seen)) {
      continue;
    }
    for (const TrainSample& sample : weighted.samples) taken += sample.tokens->size();
    chosen.push_back(std::move(weighted));
  }
  const DistillStats stats = distiller_.Update(chosen);
  if (stats.tokens > 0) {
    metrics.Set("drafter/distill_loss", stats.loss);
    metrics.Set("drafter/distill_agreement", stats.agreement);
  }
  metrics.Set("time/drafter_s", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace hone
