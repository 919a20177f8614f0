// AdamW, https://arxiv.org/abs/1711.05101, over a list of parameters: the step, its state, and what a training loop asks of the gradients.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/safetensors.h"

namespace hone {

// Defaults: beta2 0.95 and no weight decay are what RL fine-tuning of language models settles on; see recipes/build.cc.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

// A parameter's gradient is value.grad(); one without is left as it is. Not thread-safe.
class AdamW {
 public:
  // The parameters and the pool outlive it; averages begin at zero.
  AdamW(ThreadPool* pool, std::vector<Parameter*> parameters);

  // For parameters that Model::StoreAs is about to round: from here on steps are taken by float32 copies, which begin as the exact
  // numbers, and the parameters are these rounded. Rounding alone would lose what is smaller than 1/256 of a weight.
  void KeepMasters();

  void ClearGradients();
  // Instead: gradients of zero, in memory that they keep from step to step. Otherwise each takes memory as it comes, in the middle of what
  // the backward pass needs for a moment only: where that is computed layer by layer, the holes between add up.
  void ZeroGradients();
  // Over all gradients together; not finite when one number of them is not.
  double SquaredGradientNorm() const;
  double GradientNorm() const;
  // The parameter where a number that is not finite came up first: the backward pass goes from the last parameter to the first, and
  // hands it on to all before. Null when all are finite.
  const Parameter* FirstNotFinite() const;

  // One step along gradient_scale times the gradients; element by element in one pass over weights and averages.
  void Step(const AdamWOptions& options, double learning_rate, double gradient_scale);
  int64_t steps() const { return steps_; }

  // The averages and the masters as a safetensors file; Load refuses a file of other parameters.
  absl::Status Save(const std::string& path) const;
  absl::Status Load(const std::string& path, int64_t steps);
  // The same, as a part of a file. What is written is read from this object then.
  std::vector<TensorToWrite> State() const;
  absl::Status Load(const SafetensorsFile& file, int64_t steps);

 private:
  struct Averages {
    Tensor gradient, square;  // in the parameter's layout
  };

  ThreadPool* pool_;
  std::vector<Parameter*> parameters_;
  std::vector<Averages> averages_;  // one per parameter
  std::vector<Tensor> masters_;     // one per parameter; empty where these learn themselves
  int64_t steps_ = 0;
};

}  // namespace hone
