// How logprob_cpu.cc and sample_cpu.cc take the log-sum-exp of a row: the one definition that makes the generator's and the
// trainer's log-probabilities equal.
#pragma once

#include <cstdint>
#include <limits>

namespace hone::kernels {

// Of one chunk of logits: the largest, and the sum of exp(logit - largest) over 16 lanes folded in a fixed tree (0 where
// all are -infinity).
struct ChunkSum {
  float largest;
  float sum;
};
ChunkSum SumOfChunk(const float* logits, int64_t count);

// Chunks are added in ascending order.
class LogSumExp {
 public:
  void Add(const ChunkSum& chunk);
  float value() const;
  float largest() const { return largest_; }
  double sum() const { return sum_; }  // of exp(logit - largest())

 private:
  float largest_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;
};

// weights[i] = exp((logits[i] - shift) / temperature), 0 below the smallest normal float.
void WeightsAtTemperature(const float* logits, int64_t count, float shift, float temperature, float* weights);

}  // namespace hone::kernels
