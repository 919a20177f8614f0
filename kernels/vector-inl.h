// What the vectorised kernels share: loops over elements, sums over 16 virtual lanes, exp. Included once per target.
// Every routine does the same arithmetic per element or per virtual lane whatever the vector width.
#if defined(HONE_KERNELS_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_VECTOR_INL_H_
#undef HONE_KERNELS_VECTOR_INL_H_
#else
#define HONE_KERNELS_VECTOR_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums over a row use this many lanes: one vector of AVX-512, two of AVX2.
constexpr int64_t kVirtualLanes = 16;

using Floats = hn::CappedTag<float, kVirtualLanes>;
using FloatVector = hn::Vec<Floats>;
constexpr int64_t kLanes = hn::MaxLanes(Floats());
constexpr int64_t kVectorsPerRow = kVirtualLanes / kLanes;

HWY_INLINE int64_t RoundUpToLanes(int64_t count) { return (count + kVirtualLanes - 1) / kVirtualLanes * kVirtualLanes; }

// Calls f(tag, i) for consecutive runs of elements that cover 0 .. count-1; a run is as long as the tag has lanes.
template <class F>
HWY_INLINE void ForEach(int64_t count, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) f(Floats(), i);
  if constexpr (kLanes > 4) {
    const hn::CappedTag<float, 4> four;
    for (; i + 4 <= count; i += 4) f(four, i);
  }
  if constexpr (kLanes > 1) {
    const hn::CappedTag<float, 1> one;
    for (; i < count; ++i) f(one, i);
  }
}

// lanes[j % 16] = f(tag, j, lanes[j % 16]) for j ascending in 0 .. count-1, vectors at a time.
template <class F>
HWY_INLINE void ReduceToLanes(int64_t count, float* HWY_RESTRICT lanes, const F& f) {
  const Floats d;
  int64_t j = 0;
  if constexpr (kVectorsPerRow == 1) {  // g++ 12 cannot compile the loop below with one vector at -O1
    FloatVector vector = hn::Load(d, lanes);
    for (; j + kVirtualLanes <= count; j += kVirtualLanes) vector = f(d, j, vector);
    hn::Store(vector, d, lanes);
  } else {
    FloatVector vectors[kVectorsPerRow];
    for (int64_t v = 0; v < kVectorsPerRow; ++v) vectors[v] = hn::Load(d, lanes + v * kLanes);
    for (; j + kVirtualLanes <= count; j += kVirtualLanes) {
      for (int64_t v = 0; v < kVectorsPerRow; ++v) vectors[v] = f(d, j + v * kLanes, vectors[v]);
    }
    for (int64_t v = 0; v < kVectorsPerRow; ++v) hn::Store(vectors[v], d, lanes + v * kLanes);
  }
  ForEach(count - j,
          [&](auto tag, int64_t i) HWY_ATTR { hn::StoreU(f(tag, j + i, hn::LoadU(tag, lanes + i)), tag, lanes + i); });
}

// The fixed tree.
template <typename T>
HWY_INLINE T FoldSum(T* lanes) {
  for (int64_t half = kVirtualLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// Sum over j of what f(tag, j, accumulator) adds.
template <class F>
HWY_INLINE float SumLanes(int64_t count, const F& f) {
  alignas(64) float lanes[kVirtualLanes] = {};
  ReduceToLanes(count, lanes, f);
  return FoldSum(lanes);
}

// The largest of x[0 .. count-1]; -infinity where count is 0. A NaN may or may not show.
HWY_INLINE float MaxOf(const float* HWY_RESTRICT x, int64_t count) {
  alignas(64) float lanes[kVirtualLanes];
  std::fill(lanes, lanes + kVirtualLanes, -std::numeric_limits<float>::infinity());
  ReduceToLanes(count, lanes, [x](auto d, int64_t j, auto m) HWY_ATTR { return hn::Max(m, hn::LoadU(d, x + j)); });
  float largest = lanes[0];
  for (int64_t i = 1; i < kVirtualLanes; ++i) largest = std::max(largest, lanes[i]);
  return largest;
}

// e^x with an error of about one unit in the last place: 2^n times a polynomial in the rest (coefficients of Cephes' expf).
// 0 below -87.33 (where floats become denormal), infinity above 88.4, NaN for NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  // NaN as the second operand survives Min.
  const V y = hn::Min(hn::Set(d, 89.0f), x);
  const V n = hn::Round(hn::Mul(y, hn::Set(d, 1.44269504088896341f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), y);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127));
  const V scale = hn::BitCast(d, hn::ShiftLeft<23>(exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.33f)), hn::Mul(p, scale));
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_VECTOR_INL_H_
