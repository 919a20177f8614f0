#include "rollout/gate.h"

#include "rollout/evaluation.h"

namespace hone {

int64_t ReadMaxRounds(Spec& spec) { return spec.Int("max_rounds", 10, 1, 1000); }

std::optional<double> PassRate(const Group& group) {
  double correct = 0, verdicts = 0;
  for (const Sample& sample : group.samples) {
    if (!sample.verdict.score) continue;
    ++verdicts;
    correct += *sample.verdict.score >= kCorrectScore ? 1 : 0;
  }
  return verdicts > 0 ? std::optional(correct / verdicts) : std::nullopt;
}

}  // namespace hone
