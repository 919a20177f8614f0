// The inner loop of matrix products and of attention: a small block of C in registers, one chain of fused multiply-adds
// over k in ascending order per element. Included once per target.
#if defined(HONE_KERNELS_MICROKERNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_MICROKERNEL_INL_H_
#undef HONE_KERNELS_MICROKERNEL_INL_H_
#else
#define HONE_KERNELS_MICROKERNEL_INL_H_
#endif

#include <cstdint>
#include <utility>

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::kernels {
namespace HWY_NAMESPACE {

// Rows of C held in registers: with two vectors a row, 24 of AVX-512's 32 registers and 12 of AVX2's 16.
constexpr int kMaxRows = kLanes >= 16 ? 12 : kLanes >= 4 ? 6 : 3;

// c [rows, width] (+)= a [rows, k] * b [k, width]; b is stored as float or bfloat16, whose values are floats.
template <typename B = float>
struct Product {
  const float* a = nullptr;
  int64_t a_row = 0;     // stride between rows of a
  int64_t a_column = 1;  // stride between columns of a
  int64_t k = 0;
  const B* b = nullptr;
  int64_t b_row = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  bool accumulate = false;
  // Memory that is read later, fetched while this product is computed: next_step elements for each k and vectors of b. May be null.
  const B* next = nullptr;
  int64_t next_step = 0;
};

enum class Width { kWhole, kTail };  // kTail: of the last vector only `tail` lanes exist in b

// The first `count` floats at p and zeros; nothing past them is touched.
HWY_INLINE FloatVector LoadFirst(const float* p, int64_t count) {
  const Floats d;
  if constexpr (kLanes >= 8) {
    return hn::MaskedLoad(hn::FirstN(d, count), d, p);
  } else {
    alignas(64) float lanes[kLanes] = {};
    std::memcpy(lanes, p, count * sizeof(float));
    return hn::Load(d, lanes);
  }
}

HWY_INLINE FloatVector LoadFloats(const float* p) { return hn::LoadU(Floats(), p); }
HWY_INLINE FloatVector LoadFloats(const hwy::bfloat16_t* p) {
  return hn::PromoteTo(Floats(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, Floats>(), p));
}

template <int kRows, int kVectors, Width kWidth, typename B>
HWY_NOINLINE void Block(const Product<B>& product, int64_t tail) {
  const Floats d;
  constexpr int kLineElements = 64 / sizeof(B);
  const float* HWY_RESTRICT a = product.a;
  const B* HWY_RESTRICT b = product.b;
  const B* next = product.next != nullptr ? product.next : product.b;
  const int64_t next_step = product.next != nullptr ? product.next_step : 0;
  const int64_t a_row = product.a_row, a_column = product.a_column, b_row = product.b_row, c_row = product.c_row;
  float* HWY_RESTRICT c = product.c;
  FloatVector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  if (product.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::LoadU(d, c + r * c_row + v * kLanes);
    }
  }
  // Fetched to be written while the loop over k runs: stores to lines that are not there would stall it.
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __builtin_prefetch(c + r * c_row, 1);
    __builtin_prefetch(c + r * c_row + kVectors * kLanes - 1, 1);
  }
  for (int64_t k = product.k; k > 0; --k) {
    __builtin_prefetch(next);
    if constexpr (kVectors * kLanes > kLineElements) __builtin_prefetch(next + kLineElements);
    next += next_step;
    FloatVector column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kWidth == Width::kTail) {
        column[v] = v == kVectors - 1 ? LoadFirst(b + v * kLanes, tail) : LoadFloats(b + v * kLanes);
      } else {
        column[v] = LoadFloats(b + v * kLanes);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVector scalar = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(scalar, column[v], sum[r][v]);
    }
    a += a_column;
    b += b_row;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, c + r * c_row + v * kLanes);
  }
}

template <typename B>
using BlockFunction = void (*)(const Product<B>&, int64_t tail);

template <int kVectors, Width kWidth, typename B, int... kRows>
HWY_INLINE BlockFunction<B> BlockOfRows(int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr BlockFunction<B> kTable[] = {Block<kRows + 1, kVectors, kWidth, B>...};
  return kTable[rows - 1];
}

template <int kVectors, Width kWidth, typename B>
HWY_INLINE void RunBlock(int64_t rows, const Product<B>& product, int64_t tail) {
  BlockOfRows<kVectors, kWidth, B>(rows, std::make_integer_sequence<int, kMaxRows>())(product, tail);
}

// Splits `rows` evenly into blocks of at most kMaxRows: 13 rows are 7 + 6, not 12 + 1. f(first, count) for each.
template <class F>
HWY_INLINE void ForEachRowBlock(int64_t rows, const F& f) {
  const int64_t blocks = (rows + kMaxRows - 1) / kMaxRows;
  for (int64_t block = 0, first = 0; block < blocks; ++block) {
    const int64_t count = (rows - first) / (blocks - block);
    f(first, count);
    first += count;
  }
}

// product for any number of rows and columns; c has room for whole vectors in each row, b has not.
HWY_INLINE void Multiply(const Product<>& product, int64_t rows, int64_t width) {
  ForEachRowBlock(rows, [&](int64_t first, int64_t count) HWY_ATTR {
    Product<> part = product;
    part.a += first * product.a_row;
    part.c += first * product.c_row;
    int64_t left = width;
    if (first > 0) part.next = nullptr;  // the first block has fetched it
    while (left >= 2 * kLanes) {
      RunBlock<2, Width::kWhole>(count, part, 0);
      part.b += 2 * kLanes, part.c += 2 * kLanes, left -= 2 * kLanes;
      if (part.next != nullptr) part.next += part.k * part.next_step;
    }
    if (left == kLanes) {
      RunBlock<1, Width::kWhole>(count, part, 0);
    } else if (left > kLanes) {
      RunBlock<2, Width::kTail>(count, part, left - kLanes);
    } else if (left > 0) {
      RunBlock<1, Width::kTail>(count, part, left);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::kernels
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_MICROKERNEL_INL_H_
