// The files of a LoRA adapter as PEFT lays them out: adapter_config.json and adapter_model.safetensors.
// https://huggingface.co/docs/peft/developer_guides/checkpoint
#pragma once

#include <string>

#include "engine/base/status.h"
#include "engine/lora.h"
#include "engine/model/model.h"

namespace hone {

struct PeftConfig {
  std::string base;  // base_model_name_or_path: a folder
  LoraOptions lora;
};

// Whether the folder holds an adapter rather than a whole model.
bool IsAdapterFolder(const std::string& folder);

// A key that would change the arithmetic and is not supported is refused by name; so is one that is not known, unless it is null, false
// or empty.
absl::StatusOr<PeftConfig> ReadPeftConfig(const std::string& folder);

// The numbers of adapter_model.safetensors into the adapters of a model. Refused by name: a tensor that is missing or of another shape,
// and one that has no place.
absl::Status FillAdapter(const std::string& folder, Model& model);

// Both files into an existing folder.
absl::Status SaveAdapter(const Adapter& adapter, const std::string& folder);

}  // namespace hone
