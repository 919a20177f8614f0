// What the kernel tests share: noise, instruction sets, comparison of bytes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/instruction_set.h"

namespace hone::kernels {

using Vector = std::vector<float>;

inline Vector Noise(int64_t count, uint32_t seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Vector x(count);
  for (float& value : x) value = uniform(random);
  return x;
}

inline testing::AssertionResult SameBytes(const Vector& a, const Vector& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " and " << b.size() << " floats";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return testing::AssertionFailure() << "element " << i << " of " << a.size() << ": " << a[i] << " and " << b[i]
                                         << ", difference " << a[i] - b[i];
    }
  }
  return testing::AssertionSuccess();
}

// |a - b| <= tolerance * scale for every element, scale the largest magnitude in b (at least `floor`).
template <typename T>
testing::AssertionResult Close(const Vector& a, const std::vector<T>& b, double tolerance, double floor = 1e-30) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " and " << b.size() << " floats";
  double scale = floor;
  for (const T value : b) scale = std::max(scale, std::abs(static_cast<double>(value)));
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= tolerance * scale)) {
      return testing::AssertionFailure() << "element " << i << " of " << a.size() << ": " << a[i] << ", wanted " << b[i]
                                         << " to within " << tolerance * scale;
    }
  }
  return testing::AssertionSuccess();
}

inline Vector Slice(const Vector& x, int64_t begin, int64_t end) { return Vector(x.begin() + begin, x.begin() + end); }

// The kernels use one instruction set while this lives.
class OnInstructionSet {
 public:
  explicit OnInstructionSet(const InstructionSet& set) { UseInstructionSet(set.name); }
  ~OnInstructionSet() { UseInstructionSet(""); }
};

}  // namespace hone::kernels
