// SLOT: which samples form the batch: earlier ones beside this step's (replay), some of a step's and not others, or in another order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/spec.h"
#include "engine/base/types.h"
#include "trainer/batch.h"

namespace hone {

// The step that is under way.
struct ComposerStep {
  uint64_t seed = 0;
  int64_t step = 0;  // of the run, from 1
};

// Not thread-safe. Called in the order of declaration, once a step each.
class Composer {
 public:
  virtual ~Composer() = default;
  // Whether batches hold samples of earlier steps, which a loss without ratios gets wrong.
  virtual bool mixes_policies() const { return false; }
  // Whether it knows prompts again, which an endless task never asks twice.
  virtual bool remembers_prompts() const { return false; }
  // Whether it ranks whole answers, so that their tokens have to have one advantage.
  virtual bool ranks_answers() const { return false; }
  // An input error where what it holds does not fit a model of so many tokens and positions.
  virtual absl::Status Check(int32_t /*vocab_size*/, int64_t /*positions*/) const { return absl::OkStatus(); }
  // Before advantages: adds earlier samples to the step's groups, or whole groups behind them, and remembers new ones. What it adds has a verdict, and
  // the log-probabilities under the policy that sampled it, so that ratios are right.
  virtual void Blend(const ComposerStep& /*step*/, std::vector<Group>& /*groups*/, Metrics& /*metrics*/) {}
  // After: at least one batch of groups with advantages, out of the step's; samples may repeat. Each batch is trained as a step's groups would be, in the
  // stage's minibatches and epochs; a learning-rate schedule goes on with the first alone. Pointers lead into the step's groups or into the composer, where they last until the next call.
  virtual std::vector<std::vector<TrainGroup>> Compose(const ComposerStep& /*step*/, std::vector<TrainGroup> groups,
                                                       Metrics& /*metrics*/) {
    return {std::move(groups)};
  }
  virtual int64_t max_batches() const { return 1; }

  // What it remembers, as a file; nothing where it remembers nothing. Load refuses a damaged file in one line.
  virtual absl::Status Save(const std::string& /*path*/) const { return absl::OkStatus(); }
  virtual absl::Status Load(const std::string& /*path*/) { return absl::OkStatus(); }
};

// Factories, one per file in trainer/composer/; recipes/components.def is the menu. NewNoComposer gives null.
absl::StatusOr<std::unique_ptr<Composer>> NewNoComposer(Spec& spec);
absl::StatusOr<std::unique_ptr<Composer>> NewReplayComposer(Spec& spec);
absl::StatusOr<std::unique_ptr<Composer>> NewRoRecompComposer(Spec& spec);
absl::StatusOr<std::unique_ptr<Composer>> NewShuffleR1Composer(Spec& spec);

}  // namespace hone
