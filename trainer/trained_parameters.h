// Parameters with their AdamW, https://arxiv.org/abs/1711.05101: for models that learn beside the policy.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/safetensors.h"
#include "trainer/run_options.h"

namespace hone {

class TrainedParameters {
 public:
  // The parameters are float32 and outlive the object; names differ. Optimizer state begins at zero.
  explicit TrainedParameters(std::vector<Parameter*> parameters);

  void ForgetGradients();
  double SquaredGradientNorm(ThreadPool& pool) const;
  // Gradients are multiplied by `gradient_scale` first.
  void Step(const AdamWOptions& adamw, double learning_rate, double gradient_scale);
  int64_t steps() const { return steps_; }

  // Weights and optimizer state. The tensors read from this object when they are written.
  std::vector<TensorToWrite> Tensors() const;
  absl::Status Load(const SafetensorsFile& file);

 private:
  std::vector<Parameter*> parameters_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;  // one per parameter, in its layout
  int64_t steps_ = 0;
};

}  // namespace hone
