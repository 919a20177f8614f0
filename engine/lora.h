// Low-rank adaptation, https://arxiv.org/abs/2106.09685: a frozen matrix W [out, in] acts as W + scale B A, and only A [rank, in] and
// B [out, rank] learn. B begins at zero, so that the adapted model begins as its base.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/status.h"
#include "engine/model_config.h"

namespace hone {

class Model;

struct LoraOptions {
  int32_t rank = 0;
  double alpha = 0;
  bool rank_stabilized = false;      // https://arxiv.org/abs/2312.03732
  std::vector<std::string> targets;  // of LoraTargets(), in its order

  // alpha / rank, or alpha / sqrt(rank) when rank-stabilized.
  float scale() const;
};

// The projections that can be adapted, by the names they have in Hugging Face's models, in the order of a layer.
const std::vector<std::string>& LoraTargets();

// lora(rank=16, alpha=32, targets=q_proj+v_proj, rank_stabilized=false)
absl::StatusOr<LoraOptions> ReadLora(Spec& spec);

// "q_proj+v_proj" or "all-linear" in the order of LoraTargets(); an input error for other names.
absl::StatusOr<std::vector<std::string>> ParseLoraTargets(const std::string& text);

// Numbers in the adapters of a model of these sizes.
int64_t LoraParameterCount(const ModelConfig& config, const LoraOptions& options);

// Gives the model adapters: A uniform within 1 / sqrt(in) of 0, a function of the seed, and B zero, as PEFT begins. `base` is the folder
// that the model was read from.
void AttachLora(Model& model, const LoraOptions& options, const std::string& base, uint64_t seed);

// Adds scale B A to the matrices, which are float32, and drops the adapters.
void MergeLora(Model& model);

}  // namespace hone
