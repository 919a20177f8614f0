// How good a policy is on held-out prompts: pass@k, majority vote, lengths.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/types.h"

namespace hone {

// Chance that at least one of k samples drawn without replacement from n, c of them correct, is correct:
// 1 - C(n - c, k) / C(n, k), https://arxiv.org/abs/2107.03374, eq. 1. 1 <= k <= n, 0 <= c <= n.
double PassAtK(int64_t n, int64_t c, int64_t k);

struct EvaluationResult {
  std::map<int64_t, double> pass_at;  // k -> mean over prompts
  double majority = 0;                // share of prompts whose most frequent answer is correct (first seen on ties)
  double mean_score = 0;              // over samples with a verdict
  double no_verdict = 0;              // share of samples
  double truncated = 0;               // share of samples that the token budget ended
  double mean_tokens = 0;
  int64_t samples_per_prompt = 0;

  // pass@k, majority@n, mean_score, no_verdict, truncated, mean_tokens, each behind `prefix`.
  void AddTo(Metrics& metrics, const std::string& prefix) const;
};

// Statistics of groups of equal size n >= every k. A sample without verdict counts as not correct in pass@k, and is reported.
EvaluationResult Evaluate(const std::vector<Group>& groups, const std::vector<int64_t>& ks);

}  // namespace hone
