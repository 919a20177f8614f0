// Distils a policy into the draft model of speculative decoding, over the policy's own answers, each weighted by its
// reward: ReSpec, https://arxiv.org/abs/2510.26475. The loss is the forward KL divergence at every answer position, whose
// student part is the cross-entropy
//
//   loss = sum_t w_t * -sum_v p(v | t) log q(v | t) / sum_t w_t,     p teacher, q student, temperature 1,
//
// w_t the weight of the token's sample. With head tokens, p and q are distributions over these alone.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/base/types.h"
#include "engine/model/model.h"
#include "trainer/adamw.h"
#include "trainer/batch.h"

namespace hone {

enum class DistilledParts {
  kLayers,      // the transformer layers and the final norm; embedding and head stay the teacher's
  kEverything,  // not with head tokens, whose rows alone would learn
};

struct DistillOptions {
  double learning_rate = 1e-3;
  double beta2 = 0.95;
  double max_grad_norm = 1;  // 0 does not clip
  // Rows of logits that are held at a time: a bound on memory.
  int64_t microbatch_tokens = 256;
  // What the draft model may propose, each token once; empty: the whole vocabulary.
  std::vector<TokenId> head_tokens = {};
  DistilledParts parts = DistilledParts::kLayers;
  // Memory for final hidden states of a teacher that does not change: an answer that comes back then costs the student alone. The
  // answers stay where they are as long as the distiller lives.
  int64_t kept_teacher_bytes = 0;
};

// Over the answer tokens of samples with a weight above 0.
struct DistillStats {
  double loss = 0;       // in nats a token, as above
  double agreement = 0;  // share of positions where the student's likeliest token is the teacher's
  double grad_norm = 0;  // before clipping; not finite: nothing changed
  int64_t tokens = 0;    // 0: nothing to learn from, nothing changed
};

// Deterministic: the same models, options and groups give the same bytes. Not thread-safe.
class Distiller {
 public:
  // Both models outlive the distiller. The student is float32, its weights change in place; what is frozen takes no
  // gradient until the distiller ends. The teacher is of the same vocabulary, may hold bfloat16, and may change between
  // calls. Optimizer state begins at zero.
  Distiller(Model* student, const Model* teacher, DistillOptions options);
  ~Distiller();
  Distiller(const Distiller&) = delete;
  Distiller& operator=(const Distiller&) = delete;

  // One optimizer step. TrainSample::weight is the sample's weight, 0 or more; samples of weight 0 are left out before
  // anything is computed. `agreement` compares with the teacher's likeliest head token.
  DistillStats Update(std::span<const TrainGroup> groups);

  // The same measures without a step; `agreement` compares with the teacher's likeliest token of the whole vocabulary, as
  // the verification of a draft does.
  DistillStats Measure(std::span<const TrainGroup> groups) const;

  // For schedules.
  void set_learning_rate(double learning_rate) { options_.learning_rate = learning_rate; }

 private:
  // Packed [size, hidden_size] each.
  struct Heads {
    Tensor student, teacher;
    int64_t size;
  };

  Heads GatherHeads() const;
  // The teacher's final hidden states at the batch's targets, [targets, hidden_size].
  Tensor TeacherStates(const PackedBatch& batch);

  Model* student_;
  const Model* teacher_;
  DistillOptions options_;
  std::vector<Parameter*> frozen_;                                // the student's
  AdamW optimizer_;                                               // of the others
  std::unordered_map<const std::vector<TokenId>*, Tensor> kept_;  // by answer: the teacher's states
  int64_t kept_bytes_ = 0;
};

}  // namespace hone
