// Draws tokens from hidden states. A draw is a function of its hidden state, its key and its position alone.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/tensor_fwd.h"
#include "engine/base/types.h"
#include "engine/model/model.h"
#include "kernels/logprob.h"

namespace hone {

struct Draw {
  int64_t row;  // of the hidden states; draws of one row stand together
  SamplingKey key;
  uint32_t position;  // among the sample's own tokens
  float temperature;  // instead of the filter's
};

class Sampler {
 public:
  // `model` outlives the sampler.
  Sampler(const Model& model, const kernels::SamplingFilter& filter) : model_(model), filter_(filter) {}

  // hidden [rows, hidden_size] -> tokens and logprobs, one per draw. Holds kLogitBytes of logits at most, whatever the
  // batch.
  void Sample(const Tensor& hidden, const std::vector<Draw>& draws, std::vector<TokenId>& tokens,
              std::vector<float>& logprobs);

 private:
  const Model& model_;
  const kernels::SamplingFilter filter_;
  std::vector<kernels::SamplingFilter> filters_;  // one for each draw
  std::vector<double> uniform_;
};

}  // namespace hone
