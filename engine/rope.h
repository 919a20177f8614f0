// Rotary position embedding's angles (https://arxiv.org/abs/2104.09864): position * frequency[i], i in 0 .. head_dim / 2 - 1.
// Computed in float32 step by step as transformers does, since at long positions the rounding of a frequency shows.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/tensor.h"
#include "kernels/thread_pool.h"

namespace hone {

enum class RopeType {
  kDefault,  // frequency[i] = theta ^ (-2 i / head_dim)
  kLinear,   // all divided by `factor`
  kLlama3,   // the long waves divided by `factor`, the short ones kept, those between blended: Llama 3.1
  kYarn,     // the same with other bounds, and cosine and sine scaled: https://arxiv.org/abs/2309.00071
};

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;              // all but the default
  double original_positions = 0;  // Llama 3 and YaRN: positions before the context was extended
  double low_frequency_factor = 0, high_frequency_factor = 0;  // Llama 3
  double beta_fast = 32, beta_slow = 1;                        // YaRN: turns within original_positions
  bool truncate = true;                                        // YaRN: bounds are whole numbers
  double attention_factor = 1;                                 // YaRN: of cosine and sine

  bool operator==(const RopeConfig&) const = default;
};

std::vector<float> RopeFrequencies(const RopeConfig& config, int32_t head_dim);

// Cosine and sine of each row's angles, [rows, head_dim / 2] each.
struct RopeAngles {
  Tensor cosine, sine;
};

// Nothing is kept per position, so a context of a million tokens costs no memory.
class Rope {
 public:
  Rope(const RopeConfig& config, int32_t head_dim)
      : frequencies_(RopeFrequencies(config, head_dim)), scale_(static_cast<float>(config.attention_factor)) {}

  RopeAngles Angles(ThreadPool& pool, const std::vector<int32_t>& positions) const;

 private:
  std::vector<float> frequencies_;
  float scale_;
};

}  // namespace hone
