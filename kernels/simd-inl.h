// Sixteen virtual lanes: one vector of AVX-512, two of AVX2. Included once per target.
#if defined(HONE_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_SIMD_INL_H_
#undef HONE_KERNELS_SIMD_INL_H_
#else
#define HONE_KERNELS_SIMD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr size_t kLanes = 16;
constexpr size_t kWidth = hn::MaxLanes(D());
constexpr size_t kVectors = kLanes / kWidth;

struct Wide {
  V part[kVectors];
};

HWY_INLINE Wide WideSet(float x) {
  Wide w;
  for (V& v : w.part) v = hn::Set(D(), x);
  return w;
}
HWY_INLINE Wide WideLoad(const float* p) {
  Wide w;
  for (size_t i = 0; i < kVectors; ++i) w.part[i] = hn::LoadU(D(), p + i * kWidth);
  return w;
}
HWY_INLINE Wide WideMulAdd(const Wide& a, const Wide& b, const Wide& c) {
  Wide w;
  for (size_t i = 0; i < kVectors; ++i) w.part[i] = hn::MulAdd(a.part[i], b.part[i], c.part[i]);
  return w;
}
HWY_INLINE Wide WideAdd(const Wide& a, const Wide& b) {
  Wide w;
  for (size_t i = 0; i < kVectors; ++i) w.part[i] = hn::Add(a.part[i], b.part[i]);
  return w;
}
HWY_INLINE Wide WideMax(const Wide& a, const Wide& b) {
  Wide w;
  for (size_t i = 0; i < kVectors; ++i) w.part[i] = hn::Max(a.part[i], b.part[i]);
  return w;
}
HWY_INLINE float WideSum(const Wide& a) {
  float lanes[kLanes];
  for (size_t i = 0; i < kVectors; ++i) hn::StoreU(a.part[i], D(), lanes + i * kWidth);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}
HWY_INLINE float WideMaximum(const Wide& a) {
  float lanes[kLanes];
  for (size_t i = 0; i < kVectors; ++i) hn::StoreU(a.part[i], D(), lanes + i * kWidth);
  return *std::max_element(lanes, lanes + kLanes);
}
HWY_INLINE V LoadFirst(const float* p, size_t count) {
  if (count >= kWidth) return hn::LoadU(D(), p);
  float lanes[kWidth] = {};
  std::copy_n(p, count, lanes);
  return hn::LoadU(D(), lanes);
}
HWY_INLINE void StoreFirst(V v, float* p, size_t count) {
  if (count >= kWidth) return hn::StoreU(v, D(), p);
  float lanes[kWidth];
  hn::StoreU(v, D(), lanes);
  std::copy_n(lanes, count, p);
}
template <class F>
HWY_INLINE void ForEachVector(int64_t begin, int64_t end, const F& f) {
  for (int64_t i = begin; i < end; i += static_cast<int64_t>(kWidth)) {
    f(i, std::min(kWidth, static_cast<size_t>(end - i)));
  }
}
HWY_INLINE float WideDot(const float* a, const float* b, int64_t count) {
  Wide sum = WideSet(0);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) sum = WideMulAdd(WideLoad(a + i), WideLoad(b + i), sum);
  if (i < count) {
    float rest_a[kLanes] = {}, rest_b[kLanes] = {};
    std::copy(a + i, a + count, rest_a);
    std::copy(b + i, b + count, rest_b);
    sum = WideMulAdd(WideLoad(rest_a), WideLoad(rest_b), sum);
  }
  return WideSum(sum);
}

}  // namespace hone::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_SIMD_INL_H_
