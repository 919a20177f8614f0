#include "trainer/new_model.h"

#include <algorithm>

namespace hone {
namespace {

// Enough to meet every character and number of a task many times.
constexpr uint64_t kTokenizerPrompts = 4000;

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> TrainTaskTokenizer(const ModelSource& source, const Task& task) {
  std::vector<std::string> lines;
  const uint64_t count = std::min(task.Size(Split::kTrain).value_or(kTokenizerPrompts), kTokenizerPrompts);
  for (uint64_t index = 0; index < count; ++index) {
    const Prompt prompt = task.At(Split::kTrain, index);
    lines.push_back(prompt.text);
    if (const auto demonstration = task.Demonstration(prompt)) lines.push_back(*demonstration);
  }
  HONE_ASSIGN_OR_RETURN(Spec spec, Spec::Parse(source.tokenizer));
  return TrainTokenizer(spec, lines);
}

ModelConfig NewModelConfig(const ModelSource& source, const Tokenizer& tokenizer) {
  ModelConfig config;
  config.family = source.family;
  config.vocab_size = tokenizer.vocabulary_size();
  config.hidden_size = source.hidden_size;
  config.intermediate_size = source.intermediate_size;
  config.layers = source.layers;
  config.heads = source.heads;
  config.kv_heads = source.kv_heads;
  config.head_dim = source.hidden_size / source.heads;
  config.max_position_embeddings = source.max_position_embeddings;
  config.rope.theta = source.rope_theta;
  config.tie_word_embeddings = source.tie_word_embeddings;
  config.initializer_std = source.initializer_std;
  config.begin_token = tokenizer.begin_token();
  config.end_tokens = {tokenizer.end_token()};
  return config;
}

}  // namespace hone
