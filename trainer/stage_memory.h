// What a stage carries from step to step beside the policy and its optimizer. A new stage begins with none of it.
#pragma once

#include <memory>
#include <string>

#include "engine/base/status.h"
#include "engine/tokenizer.h"
#include "trainer/noise_scale.h"
#include "trainer/policy_average.h"
#include "trainer/prompt_value.h"
#include "trainer/run_options.h"
#include "trainer/value_model.h"

namespace hone {

// An input error where the stage does not fit this model: before the first step of any stage.
absl::Status CheckFits(const Stage& stage, const ModelConfig& model);

struct StageMemory {
  // Null where the stage has none.
  std::unique_ptr<ValueModel> value_model;
  std::unique_ptr<PolicyAverage> policy_average;
  std::unique_ptr<NoiseScale> noise_scale;
  std::unique_ptr<PromptValue> prompt_value;  // the curriculum's predictor
  std::unique_ptr<AttentionMeter> attention_meter;
  std::vector<Group> waiting;  // groups that a gate kept beyond what a step trains

  // All outlive it. What the stage's curriculum and composer remember is theirs; it is saved here with the rest.
  static absl::StatusOr<StageMemory> New(Model& policy, const Tokenizer& tokenizer, const Stage& stage);

  // Files in the checkpoint's state/ folder.
  absl::Status Save(const std::string& checkpoint) const;
  absl::Status Load(const std::string& checkpoint);

 private:
  const Stage* stage_ = nullptr;
};

}  // namespace hone
