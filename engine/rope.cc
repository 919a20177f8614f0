#include "engine/rope.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hone {
namespace {

// Waves longer than original_positions / low_frequency_factor are stretched, those shorter than .. / high_frequency_factor kept.
float Llama3Frequency(const RopeConfig& config, float frequency) {
  const auto original = static_cast<float>(config.original_positions), factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_frequency_factor);
  const float wave = static_cast<float>(2 * std::numbers::pi) / frequency;
  const bool is_long = wave > static_cast<float>(config.original_positions / config.low_frequency_factor);
  const bool is_short = wave < static_cast<float>(config.original_positions / config.high_frequency_factor);
  if (is_long) return frequency / factor;
  if (is_short) return frequency;
  const float smooth =
      (original / wave - low) / static_cast<float>(config.high_frequency_factor - config.low_frequency_factor);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

// Frequencies that turn more than beta_fast times within the original context are kept, those below beta_slow divided, and
// between the two indices a straight line blends.
void ApplyYarn(const RopeConfig& config, int32_t head_dim, const std::vector<float>& powers,
               std::vector<float>& frequencies) {
  const auto index_of = [&](double turns) {
    return head_dim * std::log(config.original_positions / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.theta));
  };
  double low = index_of(config.beta_fast), high = index_of(config.beta_slow);
  if (config.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, head_dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float position = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float kept = 1 - std::clamp(position, 0.0f, 1.0f);
    const float divided = 1.0f / (static_cast<float>(config.factor) * powers[i]);
    frequencies[i] = divided * (1 - kept) + frequencies[i] * kept;
  }
}

}  // namespace

std::vector<float> RopeFrequencies(const RopeConfig& config, int32_t head_dim) {
  std::vector<float> powers(head_dim / 2), frequencies(head_dim / 2);
  for (int32_t i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    powers[i] = std::pow(static_cast<float>(config.theta), exponent);
    frequencies[i] = 1.0f / powers[i];
  }
  if (config.type == RopeType::kLinear) {
    for (float& frequency : frequencies) frequency /= static_cast<float>(config.factor);
  } else if (config.type == RopeType::kLlama3) {
    for (float& frequency : frequencies) frequency = Llama3Frequency(config, frequency);
  } else if (config.type == RopeType::kYarn) {
    ApplyYarn(config, head_dim, powers, frequencies);
  }
  return frequencies;
}

RopeAngles Rope::Angles(ThreadPool& pool, const std::vector<int32_t>& positions) const {
  constexpr int64_t kTaskRows = 64;
  const auto rows = static_cast<int64_t>(positions.size()), half = static_cast<int64_t>(frequencies_.size());
  RopeAngles angles{at::empty({rows, half}, at::kFloat), at::empty({rows, half}, at::kFloat)};
  float* cosine = angles.cosine.mutable_data_ptr<float>();
  float* sine = angles.sine.mutable_data_ptr<float>();
  pool.Run((rows + kTaskRows - 1) / kTaskRows, [&](int64_t task) {
    for (int64_t row = task * kTaskRows; row < std::min(rows, (task + 1) * kTaskRows); ++row) {
      for (int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[row]) * frequencies_[i];
        cosine[row * half + i] = std::cos(angle) * scale_;
        sine[row * half + i] = std::sin(angle) * scale_;
      }
    }
  });
  return angles;
}

}  // namespace hone
