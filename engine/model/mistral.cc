// Mistral 7B, https://arxiv.org/abs/2310.06825: Llama with a sliding window in every layer, or, since version 0.2, without.
#include "engine/config_reader.h"
#include "engine/transformer.h"

namespace hone {
namespace {

using kernels::kWholeSequence;

void ReadMistral(ConfigReader& reader, ModelConfig& config) {
  const int32_t window = reader.Int("sliding_window", 1, kWholeSequence, {.missing = 4096, .null = kWholeSequence});
  if (window != kWholeSequence) config.windows.assign(config.layers, window);
}

}  // namespace

std::unique_ptr<Model> NewMistral(const ModelConfig& config, ThreadPool* pool) {
  return NewTransformer(config, TransformerParts{}, pool);
}

ModelFamily MistralFamily() {
  return {"mistral",
          "MistralForCausalLM",
          {.positions = 131072, .kv_heads = 8, .begin_tokens = {1}, .end_tokens = {2}},
          ReadMistral,
          NewMistral};
}

}  // namespace hone
