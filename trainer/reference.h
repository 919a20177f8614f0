// The policy that a stage compares its own with: in a KL term, and in losses that are relative to a reference. A second set of
// weights, so it is only made for a stage in which something asks for it; or the base of a policy with an adapter, which is there anyway.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/model/model.h"
#include "trainer/batch.h"

namespace hone {

enum class ReferenceKind {
  kNone,
  kStart,  // the policy as it was when the stage began; of one with an adapter, the base without it
  kModel,  // another model of the same vocabulary
  kEma,  // follows the policy: after each optimizer step, decay * itself + (1 - decay) * policy; not for one with an adapter
};

struct ReferenceOptions {
  ReferenceKind kind = ReferenceKind::kNone;
  std::string path = "";  // kModel
  double decay = 1;       // kEma
};

// The recipe's slot `reference`.
absl::StatusOr<ReferenceOptions> ReadNoReference(Spec& spec);
absl::StatusOr<ReferenceOptions> ReadStartReference(Spec& spec);
absl::StatusOr<ReferenceOptions> ReadModelReference(Spec& spec);
absl::StatusOr<ReferenceOptions> ReadEmaReference(Spec& spec);

// OK when the model of `options` can be read and has a vocabulary of `vocab_size`; so for the other kinds.
absl::Status CheckReference(const ReferenceOptions& options, int32_t vocab_size);

// What a resumed stage needs to have the same reference as the run that was cut off.
struct StageStart {
  std::string folder;      // of the model with which the stage began; empty: a new one of `seed`
  uint64_t seed = 0;       // of a new model's weights
  std::string checkpoint;  // from which the run goes on, in the middle of the stage
};

class ReferencePolicy {
 public:
  // `start` is null where the stage begins, with `policy` as it is now. Not for kNone. A policy with an adapter outlives the reference,
  // and does nothing else while this scores.
  static absl::StatusOr<std::unique_ptr<ReferencePolicy>> New(const ReferenceOptions& options, const Model& policy,
                                                              const StageStart* start);

  // Log-probabilities of every token: one list for each sample, in order. Deterministic, and the same bits as the policy's own where
  // the weights are the same.
  std::vector<std::vector<float>> Score(const std::vector<TrainGroup>& groups, int64_t token_budget) const;

  // Fills Sample::reference of the samples with a verdict.
  void Score(std::vector<Group>& groups, int64_t token_budget) const;

  // After each optimizer step.
  void Follow(const Model& policy);

  // What a later New with StageStart::checkpoint reads; nothing for a reference that lies elsewhere.
  absl::Status Save(const std::string& checkpoint) const;

  const Model& model() const { return model_ != nullptr ? *model_ : *base_of_; }

 private:
  ReferencePolicy(std::unique_ptr<Model> model, const Model* base_of, const ReferenceOptions& options)
      : model_(std::move(model)), base_of_(base_of), options_(options) {}
  absl::Status Load(const std::string& checkpoint);

  std::unique_ptr<Model> model_;  // null: the policy's base
  const Model* base_of_;          // null: a model of its own
  ReferenceOptions options_;
};

}  // namespace hone
