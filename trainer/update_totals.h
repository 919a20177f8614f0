// What a step's optimizer updates did together, for metrics.jsonl.
#pragma once

#include <optional>

#include "engine/base/metrics.h"
#include "trainer/learner.h"

namespace hone {

class UpdateTotals {
 public:
  void Add(const UpdateStats& stats);
  // policy/*, preference/*, mismatch/logprob_abs_max, throughput/train_tokens_per_s; time/train_s and policy/skipped_updates. Means over updates.
  void AddTo(double train_s, Metrics& metrics) const;

 private:
  UpdateStats sum_;  // but for mismatch, the largest, and learning_rate, the last
  int64_t updates_ = 0, skipped_ = 0;
};

}  // namespace hone
