// Parameters with their optimizer, both in one file: for models that learn beside the policy.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/safetensors.h"
#include "trainer/adamw.h"

namespace hone {

class TrainedParameters {
 public:
  // The parameters are float32 and outlive the object, as the pool does; names differ. Optimizer state begins at zero.
  TrainedParameters(ThreadPool* pool, std::vector<Parameter*> parameters)
      : parameters_(parameters), optimizer_(pool, std::move(parameters)) {}

  AdamW& optimizer() { return optimizer_; }
  const AdamW& optimizer() const { return optimizer_; }

  // Weights and optimizer state. The tensors read from this object when they are written.
  std::vector<TensorToWrite> Tensors() const;
  absl::Status Load(const SafetensorsFile& file);

 private:
  std::vector<Parameter*> parameters_;
  AdamW optimizer_;
};

}  // namespace hone
