#include "trainer/value_options.h"

#include <limits>

namespace hone {
namespace {

// The bound of 0.2 is that of PPO's first implementation (OpenAI baselines, ppo2), TRL and SkyRL; verl and OpenRLHF have 0.5.
void ReadCommon(Spec& spec, ValueModelOptions& options) {
  options.learning_rate = spec.Double("learning_rate", options.learning_rate, 0, 1);
  options.clip = spec.Double("clip", options.clip, 0, 1e9);
  options.loss_coef = spec.Double("loss_coef", options.loss_coef, 1e-9, 1e9);
}

}  // namespace

absl::StatusOr<ValueModelOptions> ReadNoValueModel(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return ValueModelOptions();
}

// A rate of its own is what published settings have: verl's critic learns at 1e-5 where its policy learns at 1e-6, OpenRLHF's at 9e-6. What
// suits depends on the model's size as the policy's rate does, so the default is that one.
absl::StatusOr<ValueModelOptions> ReadOwnValueModel(Spec& spec) {
  ValueModelOptions options{ValueTrunk::kOwn};
  options.layers = static_cast<int32_t>(spec.Int("layers", 0, 0, 1024));
  ReadCommon(spec, options);
  // https://arxiv.org/abs/2503.01491: a value model that knows nothing yet would lead the policy astray. verl: trainer.critic_warmup.
  options.warmup_steps = spec.Int("warmup_steps", 0, 0, std::numeric_limits<int32_t>::max());
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

absl::StatusOr<ValueModelOptions> ReadSharedValueModel(Spec& spec) {
  ValueModelOptions options{ValueTrunk::kShared};
  options.loss_coef = 0.1;  // TRL's vf_coef
  ReadCommon(spec, options);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

absl::Status CheckValueLayers(const ValueModelOptions& options, int32_t policy_layers) {
  if (options.layers <= policy_layers) return absl::OkStatus();
  return InputError("value_model own(layers=", options.layers, "): the model has ", policy_layers, "; wanted 1 to ",
                    policy_layers, ", or 0 for all");
}

}  // namespace hone
