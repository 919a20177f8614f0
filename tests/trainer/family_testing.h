// Small models of every family, with all that is particular about each.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "engine/model/model.h"

namespace hone {

// Two layers whose sizes are no whole panels. Weights are far from uniform, so that a wrong row cannot hide.
inline ModelConfig TwoLayerConfig(bool tied = true) {
  ModelConfig config;
  config.vocab_size = 23;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 64;
  config.initializer_std = 0.3;
  config.tie_word_embeddings = tied;
  return config;
}

// Twice as wide, and ends its answers.
inline ModelConfig WideConfig() {
  ModelConfig config = TwoLayerConfig();
  config.vocab_size = 37;
  config.hidden_size = 48;
  config.intermediate_size = 72;
  config.head_dim = 12;
  config.max_position_embeddings = 128;
  config.end_tokens = {2};
  return config;
}

// `config` turned into each family's: (name, sizes).
inline std::vector<std::pair<std::string, ModelConfig>> EveryFamily(const ModelConfig& config) {
  ModelConfig llama = config, biased = config, mistral = config, qwen2 = config, qwen3 = config;
  biased.attention_bias = biased.mlp_bias = true;
  biased.rope = {.type = RopeType::kLlama3,
                 .factor = 4,
                 .original_positions = 16,
                 .low_frequency_factor = 1,
                 .high_frequency_factor = 4};
  mistral.family = "mistral";
  mistral.windows.assign(config.layers, 11);
  qwen2.family = "qwen2";
  qwen2.windows.assign(config.layers, kernels::kWholeSequence);
  qwen2.windows.back() = 17;
  qwen2.rope = {.type = RopeType::kYarn, .factor = 4, .original_positions = 16, .attention_factor = 1.14};
  qwen3.family = "qwen3";
  qwen3.head_dim += 2;  // no longer hidden_size / heads
  return {{"Llama", llama}, {"LlamaWithBiases", biased}, {"Mistral", mistral}, {"Qwen2", qwen2}, {"Qwen3", qwen3}};
}

// Norms and biases are random too, so that a forgotten one shows.
inline std::unique_ptr<Model> RandomModel(const ModelConfig& config, ThreadPool* pool, uint64_t seed) {
  std::unique_ptr<Model> model = std::move(NewModel(config, pool)).value();
  InitializeWeights(*model, seed);
  uint64_t index = 0;
  for (Parameter& parameter : model->parameters()) {
    RandomSequence random(seed, RandomStream::kTask, index++);
    if (parameter.layout != WeightLayout::kPlain) continue;
    std::vector<float> plain = PlainWeights(parameter, parameter.value);
    for (float& weight : plain) weight += static_cast<float>(0.3 * random.Normal());
    AssignPlainWeights(parameter, plain.data(), parameter.value);
  }
  return model;
}

}  // namespace hone
