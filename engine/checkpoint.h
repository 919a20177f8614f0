// A model folder as Hugging Face lays it out: config.json, model.safetensors, tokenizer files. transformers loads what SaveModel
// writes, and LoadModel reads what transformers wrote.
#pragma once

#include <memory>
#include <string>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/model_config.h"
#include "engine/safetensors.h"
#include "engine/tokenizer.h"

namespace hone {

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& folder, ThreadPool* pool);

// Writes config.json, generation_config.json, model.safetensors and the tokenizer into an existing folder.
absl::Status SaveModel(const Model& model, const Tokenizer& tokenizer, const std::string& folder, StorageType type);

}  // namespace hone
