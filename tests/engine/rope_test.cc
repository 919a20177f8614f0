#include "engine/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hone {
namespace {

// Every fourth frequency of a head of 64, as transformers 5.23 prints them.
void ExpectFrequencies(const RopeConfig& config, const std::vector<float>& every_fourth) {
  const std::vector<float> frequencies = RopeFrequencies(config, 64);
  ASSERT_EQ(frequencies.size(), 32);
  for (size_t i = 0; i < every_fourth.size(); ++i) EXPECT_FLOAT_EQ(frequencies[4 * i], every_fourth[i]) << i;
}

TEST(Rope, Default) {
  ExpectFrequencies({.theta = 1e6}, {1, 0.177827939, 0.0316227786, 0.00562341325, 0.00100000005, 0.00017782794,
                                     3.16227743e-05, 5.62341347e-06});
}

TEST(Rope, Linear) {
  ExpectFrequencies(
      {.type = RopeType::kLinear, .factor = 4},
      {0.25, 0.079056941, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05});
}

TEST(Rope, Llama3) {
  ExpectFrequencies(
      {.type = RopeType::kLlama3,
       .theta = 500000,
       .factor = 8,
       .original_positions = 8192,
       .low_frequency_factor = 1,
       .high_frequency_factor = 4},
      {1, 0.193922758, 0.0376060307, 0.00729266508, 0.000524846022, 3.42810235e-05, 6.64786967e-06, 1.28917316e-06});
}

TEST(Rope, Yarn) {
  ExpectFrequencies(
      {.type = RopeType::kYarn, .theta = 1e6, .factor = 4, .original_positions = 32768},
      {1, 0.177827939, 0.0316227786, 0.00515479548, 0.000583333371, 4.44569851e-05, 7.90569356e-06, 1.40585337e-06});
  ExpectFrequencies(
      {.type = RopeType::kYarn,
       .factor = 40,
       .original_positions = 4096,
       .beta_fast = 16,
       .beta_slow = 2,
       .truncate = false},
      {1, 0.316227764, 0.100000001, 0.0316227786, 0.00579010462, 0.000123952457, 2.49999994e-05, 7.90569447e-06});
}

// Rows in any order and number, one thread or two: the cosine of position * frequency, times the factor.
TEST(Rope, AnglesOfRows) {
  const RopeConfig config{
      .type = RopeType::kYarn, .theta = 1e4, .factor = 2, .original_positions = 64, .attention_factor = 1.25};
  std::vector<int32_t> positions;
  for (int32_t row = 0; row < 200; ++row) positions.push_back(row * 7919 % 100000);
  const std::vector<float> frequencies = RopeFrequencies(config, 16);
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    const RopeAngles angles = Rope(config, 16).Angles(pool, positions);
    for (size_t i = 0; i < positions.size() * 8; ++i) {
      const float angle = static_cast<float>(positions[i / 8]) * frequencies[i % 8];
      EXPECT_FLOAT_EQ(angles.cosine.const_data_ptr<float>()[i], static_cast<float>(1.25 * std::cos(double{angle})));
      EXPECT_FLOAT_EQ(angles.sine.const_data_ptr<float>()[i], static_cast<float>(1.25 * std::sin(double{angle})));
    }
  }
}

}  // namespace
}  // namespace hone
