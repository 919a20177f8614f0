// SLOT: which prompts next, and how many samples of each. The loop offers candidates in the task's order; a curriculum chooses among them
// and may learn from what the policy made of them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/random.h"
#include "engine/base/spec.h"
#include "engine/base/types.h"
#include "rollout/collector.h"

namespace hone {

// Tells from the prompt alone what share of its answers will be right: a value model of the trainer's (trainer/prompt_value.h). Not thread-safe.
class PassRatePredictor {
 public:
  virtual ~PassRatePredictor() = default;
  // One number for each prompt; prompts have tokens.
  virtual std::vector<double> Predict(std::span<const Prompt> prompts) = 0;
  // One update towards the groups' pass rates; those without a verdict are left out. Metrics: curriculum/value_loss, and
  // curriculum/value_explained_variance of the predictions before it. An error when gradients are not finite several times in a row.
  virtual absl::Status Learn(std::span<const Group> groups, Metrics& metrics) = 0;
};

// A step of an answer, tokens begin .. the next step's begin - 1, and how much what comes later attends to it.
struct AnswerStep {
  int32_t begin;
  double influence;
};

// Measures steps by the policy's own attention (trainer/attention_meter.h). Not thread-safe.
class AttentionMeter {
 public:
  virtual ~AttentionMeter() = default;
  // In order; the first step begins at 0. `distance` is how many steps later attention begins to count.
  virtual std::vector<AnswerStep> Measure(const Prompt& prompt, const Sample& sample, int32_t distance) = 0;
};

// Of the predictor that a curriculum asks for.
struct PredictorOptions {
  double learning_rate = 0;
};

class Curriculum {
 public:
  virtual ~Curriculum() = default;
  // Whether it knows prompts again, which an endless task never asks twice.
  virtual bool remembers_prompts() const { return false; }

  // Candidates offered for each prompt wanted, at least 1.
  virtual int64_t candidates_per_prompt() const { return 1; }
  // `count` different indexes into `candidates` (at least as many), in the order in which they are asked. `random` is this call's own.
  // Unless a curriculum chooses otherwise, the first ones.
  virtual std::vector<size_t> Choose(std::span<const Prompt> candidates, size_t count, RandomSequence& random);

  // After `stage` rounds of more samples (0: none so far), how many more the group shall get; 0 for none. Called until no group gets any.
  virtual int32_t MoreSamples(const Group& /*group*/, int /*stage*/) const { return 0; }

  // Once for each group, after that: where answers are to be continued in other ways.
  virtual std::vector<Branch> Branches(const Group& /*group*/) { return {}; }

  // A step's verified groups, in order, kept by the gate or not.
  virtual absl::Status Learn(std::span<const Group> /*groups*/, Metrics& /*metrics*/) { return absl::OkStatus(); }

  // What it wants a predictor with; no value: it needs none. UsePredictor comes before everything else.
  virtual std::optional<PredictorOptions> predictor_options() const { return std::nullopt; }
  virtual void UsePredictor(PassRatePredictor* /*predictor*/) {}
  // The same for attention.
  virtual bool wants_attention() const { return false; }
  virtual void UseAttention(AttentionMeter* /*meter*/) {}

  // What it has learnt (but for the predictor), as a file; nothing where it learns nothing. Load refuses a damaged file in one line.
  virtual absl::Status Save(const std::string& /*path*/) const { return absl::OkStatus(); }
  virtual absl::Status Load(const std::string& /*path*/) { return absl::OkStatus(); }
};

// Factories, one per file in rollout/curriculum/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Curriculum>> NewUniformCurriculum(Spec& spec);
absl::StatusOr<std::unique_ptr<Curriculum>> NewPassRateCurriculum(Spec& spec);
absl::StatusOr<std::unique_ptr<Curriculum>> NewPromptCurriculum(Spec& spec);
absl::StatusOr<std::unique_ptr<Curriculum>> NewDarsCurriculum(Spec& spec);
absl::StatusOr<std::unique_ptr<Curriculum>> NewAttentionBranchCurriculum(Spec& spec);

}  // namespace hone
