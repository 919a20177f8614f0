// Tells from a prompt what share of its answers will be right: the value model of Prompt Curriculum Learning, https://arxiv.org/abs/2510.01135.
// A copy of the policy with a linear head, read at the prompt's last token, regresses on pass rates.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/model/model.h"
#include "rollout/curriculum.h"
#include "trainer/value_model.h"

namespace hone {

class PromptValue : public PassRatePredictor {
 public:
  // `policy` outlives it; the copy is of its weights now.
  static absl::StatusOr<std::unique_ptr<PromptValue>> New(const Model& policy, const PredictorOptions& options,
                                                          int64_t microbatch_tokens);

  std::vector<double> Predict(std::span<const Prompt> prompts) override;
  absl::Status Learn(std::span<const Group> groups, Metrics& metrics) override;

  // In prompt_value/ of the folder.
  absl::Status Save(const std::string& folder) const;
  absl::Status Load(const std::string& folder);

 private:
  PromptValue() = default;

  Stage stage_;  // what ValueModel reads of one
  std::unique_ptr<ValueModel> model_;
};

}  // namespace hone
