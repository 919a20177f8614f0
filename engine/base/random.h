// Counter-based random numbers: Philox4x32-10, "Parallel random numbers: as easy as 1, 2, 3" (Salmon et al., SC 2011).
// A number is a function of its key and counter alone, so a sample's tokens depend neither on batch, order nor threads.
#pragma once

#include <array>
#include <cstdint>

namespace hone {

// Names a random stream; every stream in the program is listed here.
enum class RandomStream : uint32_t {
  kWeights = 1,   // a model's first weights
  kSampling = 2,  // the tokens of rollouts
  kTask = 3,      // prompts and demonstrations
  kOrder = 4,     // the order of samples in a batch
};

// Four independent 32-bit numbers for a 64-bit key and a 128-bit counter.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Key of the sampling stream: one uniform number per (seed, step, prompt, sample, position).
struct SamplingKey {
  uint64_t seed = 0;
  uint64_t step = 0;    // which training step (0 outside training)
  uint64_t prompt = 0;  // Prompt::key
  uint32_t sample = 0;  // Sample::index
};

// The number in (0, 1) that draws the token at `position` of a sample's completion.
double SamplingUniform(const SamplingKey& key, uint32_t position);

// A sequence of numbers from (seed, stream, index), for everything that is not a token. Not thread-safe; cheap to make.
class RandomSequence {
 public:
  RandomSequence(uint64_t seed, RandomStream stream, uint64_t index);

  uint32_t Next();
  // Uniform in 0 .. bound-1 without bias; bound >= 1.
  uint32_t Below(uint32_t bound);
  // Uniform in (0, 1).
  double Uniform();
  // Standard normal (Box-Muller).
  double Normal();

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace hone
