// How a stage's value model is made: the options of the slot `value_model`.
#pragma once

#include <cstdint>

#include "engine/base/spec.h"

namespace hone {

enum class ValueTrunk {
  kNone,    // no value model
  kOwn,     // a copy of the policy's layers, with weights and an optimizer of its own
  kShared,  // the policy's own final hidden states, through which the loss flows
};

struct ValueModelOptions {
  ValueTrunk trunk = ValueTrunk::kNone;
  int32_t layers = 0;        // own: the policy's first ones; 0: all
  double learning_rate = 0;  // the peak, along the stage's schedule; shared: of the head alone; 0: the stage's
  double clip = 0.2;         // how far a value may move from that before the step; 0: not bounded
  double loss_coef = 1;
  int64_t warmup_steps = 0;  // own: the stage's first steps train the value model alone
};

absl::StatusOr<ValueModelOptions> ReadNoValueModel(Spec& spec);
absl::StatusOr<ValueModelOptions> ReadOwnValueModel(Spec& spec);
absl::StatusOr<ValueModelOptions> ReadSharedValueModel(Spec& spec);

// OK when a policy of `policy_layers` layers has such a trunk.
absl::Status CheckValueLayers(const ValueModelOptions& options, int32_t policy_layers);

}  // namespace hone
