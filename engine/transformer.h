// The body that the families of engine/model/ share: a pre-norm transformer with RMS norm, rotary positions, grouped-query
// attention (https://arxiv.org/abs/2305.13245) and SwiGLU. Numbers follow Hugging Face's implementations.
#pragma once

#include <memory>

#include "engine/model/model.h"

namespace hone {

enum class Bias { kNone, kAdded };
constexpr Bias BiasIf(bool added) { return added ? Bias::kAdded : Bias::kNone; }

// What a family adds.
struct TransformerParts {
  Bias qkv = Bias::kNone;     // projections to queries, keys and values
  Bias output = Bias::kNone;  // attention's output projection
  Bias mlp = Bias::kNone;
  bool head_norms = false;  // RMS norm of each query and key head, before the rotation
};

// The keys with which a family gives some layers a sliding window: use_sliding_window, sliding_window, and either layer_types
// or max_window_layers, the first layer that has one.
void ReadLayerWindows(ConfigReader& reader, ModelConfig& config);

std::unique_ptr<Model> NewTransformer(const ModelConfig& config, const TransformerParts& parts, ThreadPool* pool);

}  // namespace hone
