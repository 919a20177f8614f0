// Qwen3, https://arxiv.org/abs/2505.09388: Qwen2 without biases, and with RMS norm of every query and key head.
#include "engine/config_reader.h"
#include "engine/transformer.h"

namespace hone {
namespace {

void ReadQwen3(ConfigReader& reader, ModelConfig& config) {
  config.attention_bias = reader.Bool("attention_bias", false);
  ReadLayerWindows(reader, config);
}

}  // namespace

std::unique_ptr<Model> NewQwen3(const ModelConfig& config, ThreadPool* pool) {
  TransformerParts parts;
  parts.qkv = parts.output = BiasIf(config.attention_bias);
  parts.head_norms = true;
  return NewTransformer(config, parts, pool);
}

ModelFamily Qwen3Family() {
  return {"qwen3", "Qwen3ForCausalLM", {.positions = 32768, .kv_heads = 32, .head_dim = 128}, ReadQwen3, NewQwen3};
}

}  // namespace hone
