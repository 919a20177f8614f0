// What config.json and generation_config.json of a model folder say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/kv_cache.h"
#include "engine/rope.h"
#include "engine/safetensors.h"
#include "kernels/gemm.h"

namespace hone {

// What turns the final hidden states into a result.
enum class ModelHead {
  kVocabulary,  // XForCausalLM: logits
  kScore,       // XForSequenceClassification with one label: one number a text
};

// Sizes, in the words of Hugging Face's config.json.
struct ModelConfig {
  std::string family = "llama";
  ModelHead head = ModelHead::kVocabulary;
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t max_position_embeddings = 0;
  RopeConfig rope;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = true;
  bool attention_bias = false;  // where the family leaves it open
  bool mlp_bias = false;        // likewise
  // Each layer's sliding window, kernels::kWholeSequence for none; empty: no layer has one.
  std::vector<int32_t> windows;
  double initializer_std = 0.02;
  TokenId begin_token = -1;                                         // -1: none
  std::vector<TokenId> end_tokens;                                  // each ends an answer
  TokenId pad_token = -1;                                           // kScore: no text is judged at this one; -1: none
  kernels::WeightType weight_type = kernels::WeightType::kFloat32;  // of matrices in memory; training wants float32
  // The files as they were read, so that what is saved keeps every key; empty for a new model.
  std::string config_text, generation_text;

  int32_t window(int64_t layer) const { return windows.empty() ? kernels::kWholeSequence : windows[layer]; }
  int64_t kv_page_bytes() const { return KvCache::PageBytes(layers, kv_heads, head_dim); }
  // Weights of a model of these sizes, but for biases and the norms of heads: some thousands.
  int64_t estimated_parameters() const;
};

// Reads config.json, and from generation_config.json, where there is one, the tokens that end an answer. A key that would
// change the arithmetic and is not supported is refused by name; so is one that is not known, unless it is null or false.
// The sizes are each within bounds; whether the weights are there and fit is not known yet.
// A folder whose `architectures` have another head than the one asked for is refused. A score head reads no lm_head, so that
// the embeddings count as tied.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder, ModelHead head = ModelHead::kVocabulary);

// The head that config.json names in `architectures`; kVocabulary where it names none. What else it says is not checked.
absl::StatusOr<ModelHead> ReadModelHead(const std::string& folder);

// vocab_size of config.json, whatever else it says; -1 where there is none to be read. Rows of the embedding may be more than the
// tokenizer has tokens (padding), or fewer (tokens added later).
int32_t ReadVocabularySize(const std::string& folder);

// The text of config.json and of generation_config.json; `type` is what the weights are written as.
std::string ModelConfigText(const ModelConfig& config, StorageType type);
std::string GenerationConfigText(const ModelConfig& config);

}  // namespace hone
