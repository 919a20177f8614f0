// What config.json and generation_config.json of a model folder say.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/kv_cache.h"
#include "engine/safetensors.h"

namespace hone {

// Sizes, in the words of Hugging Face's config.json.
struct ModelConfig {
  std::string family = "llama";
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t max_position_embeddings = 0;
  double rope_theta = 10000;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = true;
  double initializer_std = 0.02;
  TokenId begin_token = 1;
  TokenId end_token = 2;

  int64_t kv_page_bytes() const { return KvCache::PageBytes(layers, kv_heads, head_dim); }
};

// Reads config.json. A key that would change the arithmetic and is not supported is refused by name.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder);

// The text of config.json and of generation_config.json; `type` is what the weights are written as.
std::string ModelConfigText(const ModelConfig& config, StorageType type);
std::string GenerationConfigText(const ModelConfig& config);

}  // namespace hone
