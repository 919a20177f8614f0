// What the kernel tests share: noise, instruction sets, comparison of bytes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "hwy/targets.h"

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

// Kernels dispatch to one instruction set while this lives.
class OnTarget {
 public:
  explicit OnTarget(int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~OnTarget() { hwy::SetSupportedTargetsForTest(0); }
};

inline std::string TargetName(int64_t target) { return hwy::TargetName(target); }

// Of this machine, those whose results must be the same bits: they fuse multiply and add.
inline std::vector<int64_t> FusedTargets() {
  std::vector<int64_t> targets;
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_NEON}) {
    if (hwy::SupportedTargets() & target) targets.push_back(target);
  }
  return targets;
}

// And those that round twice: correct, but with bits of their own.
inline std::vector<int64_t> AllTargets() {
  std::vector<int64_t> targets = FusedTargets();
#if defined(__x86_64__)
  for (const int64_t target : {HWY_SSE4, HWY_SCALAR}) {
    if (hwy::SupportedTargets() & target) targets.push_back(target);
  }
#endif
  return targets;
}

inline bool IsFused(int64_t target) { return target != HWY_SSE4 && target != HWY_SCALAR; }

}  // namespace hone::kernels
