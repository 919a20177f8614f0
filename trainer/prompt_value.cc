#include "trainer/prompt_value.h"

#include "absl/memory/memory.h"
#include "engine/base/file.h"
#include "rollout/gate.h"

namespace hone {
namespace {

constexpr char kFolder[] = "/prompt_value";

// An answer of one token, whose value is told from the prompt alone; which token does not matter.
Group WithOneToken(const Prompt& prompt) {
  Group group;
  group.prompt.tokens = prompt.tokens;
  group.samples.resize(1);
  group.samples[0].tokens = {prompt.tokens.back()};
  return group;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptValue>> PromptValue::New(const Model& policy, const PredictorOptions& options,
                                                              int64_t microbatch_tokens) {
  auto value = absl::WrapUnique(new PromptValue());
  Stage& stage = value->stage_;
  stage.name = "prompt_value";
  stage.microbatch_tokens = microbatch_tokens;
  stage.schedule.peak = options.learning_rate;
  stage.value_model.trunk = ValueTrunk::kOwn;
  stage.value_model.clip = 0;
  stage.value_model.loss_coef = 1;
  HONE_ASSIGN_OR_RETURN(value->model_, ValueModel::New(policy, stage));
  return value;
}

std::vector<double> PromptValue::Predict(std::span<const Prompt> prompts) {
  std::vector<Group> groups;
  for (const Prompt& prompt : prompts) groups.push_back(WithOneToken(prompt));
  model_->Evaluate(groups);
  std::vector<double> values;
  for (const Group& group : groups) values.push_back(group.samples[0].values[0]);
  return values;
}

absl::Status PromptValue::Learn(std::span<const Group> groups, Metrics& metrics) {
  std::vector<Group> asked;
  for (const Group& group : groups) {
    const std::optional<double> rate = PassRate(group);
    if (!rate) continue;
    asked.push_back(WithOneToken(group.prompt));
    asked.back().samples[0].returns = {static_cast<float>(*rate)};
  }
  if (asked.empty()) return absl::OkStatus();
  model_->Evaluate(asked);
  std::vector<TrainGroup> trained;
  for (Group& group : asked) {
    Sample& sample = group.samples[0];
    trained.push_back(
        {&group.prompt.tokens, {{.tokens = &sample.tokens, .values = &sample.values, .returns = &sample.returns}}});
  }
  Metrics own;
  HONE_RETURN_IF_ERROR(model_->Learn(trained, own));
  for (const char* name : {"loss", "explained_variance"}) {
    if (const auto value = own.Find(absl::StrCat("value/", name)))
      metrics.Set(absl::StrCat("curriculum/value_", name), *value);
  }
  return absl::OkStatus();
}

absl::Status PromptValue::Save(const std::string& folder) const {
  HONE_RETURN_IF_ERROR(MakeFolder(folder + kFolder));
  return model_->Save(folder + kFolder);
}

absl::Status PromptValue::Load(const std::string& folder) { return model_->Load(folder + kFolder); }

}  // namespace hone
