#include "trainer/mismatched_kl.h"

#include <algorithm>

#include "engine/base/check.h"

namespace hone {

double MismatchedKl(std::span<const TrainGroup> groups, int64_t max_positions, const ScoreFunction& policy,
                    const ScoreFunction& reference) {
  if (groups.size() < 2) return 0;
  constexpr size_t kAnswers = 2;
  std::vector<std::vector<TokenId>> answers;
  for (size_t i = 0; i < groups.size(); ++i) {
    const TrainGroup& before = groups[(i + groups.size() - 1) % groups.size()];
    const auto room =
        static_cast<size_t>(max_positions) - groups[i].prompt->size();  // the group's own answers have some
    HONE_CHECK(before.samples.size() >= kAnswers);
    for (size_t j = 0; j < kAnswers; ++j) {
      const std::vector<TokenId>& tokens = *before.samples[j].tokens;
      answers.emplace_back(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(std::min(room, tokens.size())));
    }
  }
  std::vector<TrainGroup> mismatched;
  for (size_t i = 0; i < groups.size(); ++i) {
    mismatched.push_back(
        {groups[i].prompt, {{.tokens = &answers[kAnswers * i]}, {.tokens = &answers[kAnswers * i + 1]}}});
  }
  const std::vector<float> l = policy(mismatched), f = reference(mismatched);
  HONE_CHECK(l.size() == f.size());
  double sum = 0;
  for (size_t i = 0; i < l.size(); ++i) sum += double{l[i]} - double{f[i]};
  return std::max(0.0, sum / static_cast<double>(answers.size()));
}

double MismatchedKl(std::span<const TrainGroup> groups, const Model& policy, const ReferencePolicy& reference,
                    int64_t token_budget) {
  const auto by_policy = [&](std::span<const TrainGroup> scored) { return ScoreGroups(policy, scored, token_budget); };
  const auto by_reference = [&](std::span<const TrainGroup> scored) {
    std::vector<float> logprobs;
    for (const std::vector<float>& sample : reference.Score({scored.begin(), scored.end()}, token_budget))
      logprobs.insert(logprobs.end(), sample.begin(), sample.end());
    return logprobs;
  };
  return MismatchedKl(groups, policy.config().max_position_embeddings, by_policy, by_reference);
}

}  // namespace hone
