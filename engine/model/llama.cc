// Llama, https://arxiv.org/abs/2302.13971, its successors (https://arxiv.org/abs/2307.09288, https://arxiv.org/abs/2407.21783)
// and the many models of the same form, SmolLM2 among them.
#include "engine/config_reader.h"
#include "engine/transformer.h"

namespace hone {
namespace {

void ReadLlama(ConfigReader& reader, ModelConfig& config) {
  config.attention_bias = reader.Bool("attention_bias", false);
  config.mlp_bias = reader.Bool("mlp_bias", false);
  reader.Require("rope_interleaved", "false");
}

}  // namespace

std::unique_ptr<Model> NewLlama(const ModelConfig& config, ThreadPool* pool) {
  TransformerParts parts;
  parts.qkv = parts.output = BiasIf(config.attention_bias);
  parts.mlp = BiasIf(config.mlp_bias);
  return NewTransformer(config, parts, pool);
}

ModelFamily LlamaFamily() {
  return {
      "llama", "LlamaForCausalLM", {.positions = 2048, .begin_tokens = {1}, .end_tokens = {2}}, ReadLlama, NewLlama};
}

}  // namespace hone
