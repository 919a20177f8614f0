#include "trainer/stage_memory.h"

#include "rollout/group_store.h"
#include "trainer/attention_meter.h"

namespace hone {
namespace {

constexpr char kState[] = "/state";
constexpr char kPolicyAverage[] = "/state/policy_average.safetensors";
constexpr char kNoiseScale[] = "/state/noise_scale.json";
constexpr char kCurriculum[] = "/state/curriculum.json";
constexpr char kComposer[] = "/state/composer.groups";
constexpr char kWaiting[] = "/state/waiting.groups";

}  // namespace

absl::Status CheckFits(const Stage& stage, const ModelConfig& model) {
  HONE_RETURN_IF_ERROR(CheckValueLayers(stage.value_model, model.layers));
  HONE_RETURN_IF_ERROR(CheckReference(stage.reference, model.vocab_size));
  return stage.composer != nullptr ? stage.composer->Check(model.vocab_size, model.max_position_embeddings)
                                   : absl::OkStatus();
}

absl::StatusOr<StageMemory> StageMemory::New(Model& policy, const Tokenizer& tokenizer, const Stage& stage) {
  StageMemory memory;
  memory.stage_ = &stage;
  if (stage.value_model.trunk != ValueTrunk::kNone) {
    HONE_ASSIGN_OR_RETURN(memory.value_model, ValueModel::New(policy, stage));
  }
  if (stage.beta_prox > 0) {
    HONE_ASSIGN_OR_RETURN(memory.policy_average, PolicyAverage::New(policy, stage.beta_prox));
  }
  if (stage.noise_scale_decay) memory.noise_scale = std::make_unique<NoiseScale>(*stage.noise_scale_decay);
  if (stage.curriculum == nullptr) return memory;
  if (const auto options = stage.curriculum->predictor_options()) {
    HONE_ASSIGN_OR_RETURN(memory.prompt_value, PromptValue::New(policy, *options, stage.microbatch_tokens));
    stage.curriculum->UsePredictor(memory.prompt_value.get());
  }
  if (stage.curriculum->wants_attention()) {
    memory.attention_meter = NewAttentionMeter(&policy, &tokenizer);
    stage.curriculum->UseAttention(memory.attention_meter.get());
  }
  return memory;
}

absl::Status StageMemory::Save(const std::string& checkpoint) const {
  if (value_model != nullptr) HONE_RETURN_IF_ERROR(value_model->Save(checkpoint + kState));
  if (policy_average != nullptr) HONE_RETURN_IF_ERROR(policy_average->Save(checkpoint + kPolicyAverage));
  if (noise_scale != nullptr) HONE_RETURN_IF_ERROR(noise_scale->Save(checkpoint + kNoiseScale));
  if (prompt_value != nullptr) HONE_RETURN_IF_ERROR(prompt_value->Save(checkpoint + kState));
  if (stage_->curriculum != nullptr) HONE_RETURN_IF_ERROR(stage_->curriculum->Save(checkpoint + kCurriculum));
  if (stage_->composer != nullptr) HONE_RETURN_IF_ERROR(stage_->composer->Save(checkpoint + kComposer));
  if (stage_->max_staleness > 0) HONE_RETURN_IF_ERROR(WriteGroups(checkpoint + kWaiting, waiting));
  return absl::OkStatus();
}

absl::Status StageMemory::Load(const std::string& checkpoint) {
  if (value_model != nullptr) HONE_RETURN_IF_ERROR(value_model->Load(checkpoint + kState));
  if (policy_average != nullptr) HONE_RETURN_IF_ERROR(policy_average->Load(checkpoint + kPolicyAverage));
  if (noise_scale != nullptr) HONE_RETURN_IF_ERROR(noise_scale->Load(checkpoint + kNoiseScale));
  if (prompt_value != nullptr) HONE_RETURN_IF_ERROR(prompt_value->Load(checkpoint + kState));
  if (stage_->curriculum != nullptr) HONE_RETURN_IF_ERROR(stage_->curriculum->Load(checkpoint + kCurriculum));
  if (stage_->composer != nullptr) HONE_RETURN_IF_ERROR(stage_->composer->Load(checkpoint + kComposer));
  if (stage_->max_staleness > 0) {
    HONE_ASSIGN_OR_RETURN(waiting, ReadGroups(checkpoint + kWaiting));
  }
  return absl::OkStatus();
}

}  // namespace hone
