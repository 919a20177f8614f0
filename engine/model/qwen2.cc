// Qwen2, https://arxiv.org/abs/2407.10671, and Qwen2.5, https://arxiv.org/abs/2412.15115: Llama with biases on queries, keys and
// values, and a sliding window in some layers if asked for.
#include "engine/config_reader.h"
#include "engine/transformer.h"

namespace hone {
namespace {

void ReadQwen2(ConfigReader& reader, ModelConfig& config) { ReadLayerWindows(reader, config); }

}  // namespace

std::unique_ptr<Model> NewQwen2(const ModelConfig& config, ThreadPool* pool) {
  TransformerParts parts;
  parts.qkv = Bias::kAdded;
  return NewTransformer(config, parts, pool);
}

ModelFamily Qwen2Family() {
  return {"qwen2", "Qwen2ForCausalLM", {.positions = 32768, .kv_heads = 32}, ReadQwen2, NewQwen2};
}

}  // namespace hone
