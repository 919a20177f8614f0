#include "trainer/stage_memory.h"

namespace hone {
namespace {

constexpr char kState[] = "/state";
constexpr char kPolicyAverage[] = "/state/policy_average.safetensors";
constexpr char kNoiseScale[] = "/state/noise_scale.json";

}  // namespace

absl::StatusOr<StageMemory> StageMemory::New(const Model& policy, const Stage& stage) {
  StageMemory memory;
  if (stage.value_model.trunk != ValueTrunk::kNone) {
    HONE_ASSIGN_OR_RETURN(memory.value_model, ValueModel::New(policy, stage));
  }
  if (stage.beta_prox > 0) {
    HONE_ASSIGN_OR_RETURN(memory.policy_average, PolicyAverage::New(policy, stage.beta_prox));
  }
  if (stage.noise_scale_decay) memory.noise_scale = std::make_unique<NoiseScale>(*stage.noise_scale_decay);
  return memory;
}

absl::Status StageMemory::Save(const std::string& checkpoint) const {
  if (value_model != nullptr) HONE_RETURN_IF_ERROR(value_model->Save(checkpoint + kState));
  if (policy_average != nullptr) HONE_RETURN_IF_ERROR(policy_average->Save(checkpoint + kPolicyAverage));
  if (noise_scale != nullptr) HONE_RETURN_IF_ERROR(noise_scale->Save(checkpoint + kNoiseScale));
  return absl::OkStatus();
}

absl::Status StageMemory::Load(const std::string& checkpoint) {
  if (value_model != nullptr) HONE_RETURN_IF_ERROR(value_model->Load(checkpoint + kState));
  if (policy_average != nullptr) HONE_RETURN_IF_ERROR(policy_average->Load(checkpoint + kPolicyAverage));
  if (noise_scale != nullptr) HONE_RETURN_IF_ERROR(noise_scale->Load(checkpoint + kNoiseScale));
  return absl::OkStatus();
}

}  // namespace hone
