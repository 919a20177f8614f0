// Packs answers for one pass through the model, without padding: a prompt's rows once, then the rows of each of its samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/types.h"
#include "engine/model/model.h"

namespace hone {

// An answer to learn from or to score. Vectors have one number per token, null stands for none; pointers outlive the batch.
struct TrainSample {
  const std::vector<TokenId>* tokens;            // at least one
  const std::vector<float>* logprobs = nullptr;  // under the policy that sampled it; null for supervised data
  const std::vector<float>* old = nullptr;  // under the proximal policy, from which clipping measures; null: `logprobs`
  const std::vector<float>* reference = nullptr;   // log-probabilities under the reference policy
  const std::vector<float>* advantages = nullptr;  // null: all 0
  const std::vector<float>* values = nullptr;      // of the value model before the step, and what it shall learn
  const std::vector<float>* returns = nullptr;
  PolicyVersion policy_version = 0;
  bool is_correct = false;  // by its verdict
  float weight = 1;         // in distillation
};

struct TrainGroup {
  const std::vector<TokenId>* prompt;  // at least one token
  std::vector<TrainSample> samples;
};

// A micro-batch. Trained tokens lie sample after sample in the order of the groups.
struct PackedBatch {
  ModelRows rows;
  int64_t page_count = 0;
  std::vector<int64_t> target_rows;  // [targets] the row whose hidden state predicts the token
  std::vector<TokenId> targets;      // [targets]
  std::vector<const TrainSample*> samples;
  std::vector<std::vector<int32_t>> page_tables;  // rows.attention points into them
};

// Splits the groups into micro-batches of about `token_budget` rows (a unit may exceed it), in order. A unit, which is never split, is
// `samples_together` samples in a row of one group.
std::vector<PackedBatch> PackGroups(std::span<const TrainGroup> groups, int64_t token_budget,
                                    size_t samples_together = 1);

// Log-probability of every token of every sample, in order, by the trainer's forward pass.
std::vector<float> ScoreGroups(const Model& model, std::span<const TrainGroup> groups, int64_t token_budget);

}  // namespace hone
