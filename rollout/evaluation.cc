#include "rollout/evaluation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace hone {
namespace {

bool Correct(const Sample& sample) { return sample.verdict.score && *sample.verdict.score >= kCorrectScore; }

bool MajorityCorrect(const Group& group) {
  const Sample* best = nullptr;
  int64_t best_votes = 0;
  for (const Sample& candidate : group.samples) {
    const auto votes = std::count_if(group.samples.begin(), group.samples.end(),
                                     [&](const Sample& other) { return other.text == candidate.text; });
    if (votes > best_votes) {
      best = &candidate;
      best_votes = votes;
    }
  }
  return best != nullptr && Correct(*best);
}

}  // namespace

double PassAtK(int64_t n, int64_t c, int64_t k) {
  HONE_CHECK(1 <= k && k <= n && 0 <= c && c <= n);
  double all_wrong = 1;  // product over i < k of (n - c - i) / (n - i)
  for (int64_t i = 0; i < k; ++i)
    all_wrong *= static_cast<double>(std::max<int64_t>(n - c - i, 0)) / static_cast<double>(n - i);
  return 1 - all_wrong;
}

EvaluationResult Evaluate(const std::vector<Group>& groups, const std::vector<int64_t>& ks) {
  EvaluationResult result;
  double samples = 0, scored = 0;
  for (const Group& group : groups) {
    const auto n = static_cast<int64_t>(group.samples.size());
    const auto correct = std::count_if(group.samples.begin(), group.samples.end(), Correct);
    for (const int64_t k : ks) result.pass_at[k] += PassAtK(n, correct, k);
    result.majority += MajorityCorrect(group) ? 1 : 0;
    result.samples_per_prompt = n;
    for (const Sample& sample : group.samples) {
      ++samples;
      result.mean_tokens += static_cast<double>(sample.tokens.size());
      result.truncated += sample.finish_reason == FinishReason::kLength ? 1 : 0;
      result.no_verdict += sample.verdict.score ? 0 : 1;
      result.mean_score += sample.verdict.score.value_or(0);
      scored += sample.verdict.score ? 1 : 0;
    }
  }
  const double prompts = std::max<double>(1, static_cast<double>(groups.size()));
  for (auto& [k, value] : result.pass_at) value /= prompts;
  result.majority /= prompts;
  result.mean_score /= std::max(1.0, scored);
  samples = std::max(1.0, samples);
  result.no_verdict /= samples;
  result.truncated /= samples;
  result.mean_tokens /= samples;
  return result;
}

void EvaluationResult::AddTo(Metrics& metrics, const std::string& prefix) const {
  for (const auto& [k, value] : pass_at) metrics.Set(absl::StrCat(prefix, "pass@", k), value);
  metrics.Set(absl::StrCat(prefix, "majority@", samples_per_prompt), majority);
  metrics.Set(prefix + "mean_score", mean_score);
  metrics.Set(prefix + "no_verdict", no_verdict);
  metrics.Set(prefix + "truncated", truncated);
  metrics.Set(prefix + "mean_tokens", mean_tokens);
}

}  // namespace hone
