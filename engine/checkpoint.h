// A model folder as Hugging Face lays it out: config.json, model.safetensors, tokenizer files; or an adapter's, as PEFT does
// (engine/peft.h). transformers and PEFT load what SaveModel writes, and LoadModel reads what they wrote.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/model_config.h"
#include "engine/safetensors.h"
#include "engine/tokenizer.h"

namespace hone {

// How matrices lie in memory. Training wants float32. bfloat16 halves the memory and its traffic; weights that were stored as bfloat16
// give the same bits either way.
enum class MatrixStorage {
  kFloat32,
  kBfloat16,  // float32 weights are rounded
  kExact,  // bfloat16 where the checkpoint has it for every matrix, else float32: the same results in the least memory
};

// Weights in float32, bfloat16 or float16, in one file or in shards, go from the mapped files straight into the model's layout. Refused by
// name: a tensor that is missing or of another shape, one the model has no place for (except rotary_emb.inv_freq), a number that is not
// finite, and an lm_head.weight that differs from the embedding that config.json ties it to. From an adapter's folder the base model
// is loaded that it names, and the adapter attached to it.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& folder, ThreadPool* pool,
                                                 MatrixStorage storage = MatrixStorage::kFloat32);

// A folder of XForSequenceClassification with one label.
struct ScoreModel {
  std::unique_ptr<Model> body;       // its head() is the embedding, and means nothing
  std::vector<float> score_weights;  // score.weight, [hidden_size]
};

// Like LoadModel. An lm_head.weight that lies in the folder is not read.
absl::StatusOr<ScoreModel> LoadScoreModel(const std::string& folder, ThreadPool* pool,
                                          MatrixStorage storage = MatrixStorage::kFloat32);

// A model whose weights are still in their files.
struct StoredModel {
  std::unique_ptr<Model> outline;  // config() and parameters() of zeros, which take no memory while nobody touches them
  SafetensorsFile weights;         // fits the outline; numbers are checked as they are read
};

// Refuses what LoadModel refuses, and an adapter's folder.
absl::StatusOr<StoredModel> OpenModel(const std::string& folder, ThreadPool* pool);

// The smallest type that holds a model's numbers, as SaveModel takes it. Only a model that Model::StoreAs stored has vectors to fit.
StorageType ExactType(const Model& model);

// Writes config.json, generation_config.json, model.safetensors and the tokenizer into an existing folder; of a model with an adapter, the
// adapter, in float32, and the tokenizer.
absl::Status SaveModel(const Model& model, const Tokenizer& tokenizer, const std::string& folder, StorageType type);

// The same folder of numbers that come when their turn does: `tensors` are the model's parameters, in their order.
absl::Status SaveTensors(const ModelConfig& config, const std::vector<TensorToWrite>& tensors,
                         const Tokenizer& tokenizer, const std::string& folder, StorageType type);

}  // namespace hone
