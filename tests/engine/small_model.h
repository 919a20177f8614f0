// A model of two small layers for tests of the generator.
#pragma once

#include <memory>

#include "engine/model/model.h"

namespace hone {

constexpr int32_t kSmallVocabulary = 41;

inline ModelConfig SmallConfig() {
  ModelConfig config;
  config.vocab_size = kSmallVocabulary;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 12;
  config.max_position_embeddings = 160;
  config.end_tokens = {2};
  config.initializer_std = 0.3;  // far from uniform, so that a wrong row cannot hide
  return config;
}

inline std::unique_ptr<Model> SmallModel(ThreadPool* pool, uint64_t seed = 7) {
  auto model = NewLlama(SmallConfig(), pool);
  InitializeWeights(*model, seed);
  return model;
}

}  // namespace hone
