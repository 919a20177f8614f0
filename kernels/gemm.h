// Matrix products over packed weights. Batch-invariant: output (m, n) is one chain of fused multiply-adds over k in
// ascending order, starting from +0 (or from the old value when accumulating), so it does not depend on the other
// rows, on M, on the position of the row, on threads, or on the vector width.
//
// Packed layout of a matrix W [N, K] (a Linear's weight: N outputs, K inputs): panels of kPanel output columns;
// element (n, k) lies at (n / kPanel) * K * kPanel + k * kPanel + n % kPanel. Columns past N are zero.
#pragma once

#include <cstdint>

#include "kernels/thread_pool.h"

namespace hone::kernels {

inline constexpr int64_t kPanel = 32;

// Floats in the packed form of W [n, k].
constexpr int64_t PackedSize(int64_t n, int64_t k) { return (n + kPanel - 1) / kPanel * kPanel * k; }

// How a packed weight is stored. Products take bfloat16 values as the floats they are: a weight that bfloat16 holds exactly gives
// the same bits either way, at half the memory traffic.
enum class WeightType { kFloat32, kBfloat16 };

// A packed matrix to read.
struct PackedWeight {
  const void* data;
  WeightType type;

  PackedWeight(const float* floats) : data(floats), type(WeightType::kFloat32) {}  // NOLINT: a float matrix is one
  PackedWeight(const void* data, WeightType type) : data(data), type(type) {}

  // From element `offset` on.
  PackedWeight At(int64_t offset) const {
    return {static_cast<const char*>(data) + offset * (type == WeightType::kFloat32 ? 4 : 2), type};
  }
};

// A matrix read through strides: element (row, column) at data[row * row_stride + column * column_stride].
struct MatrixView {
  const float* data;
  int64_t row_stride;
  int64_t column_stride;
};

// Where C [M, N] goes: element (m, n) at data[n / kPanel * panel_stride + m * row_stride + n % kPanel].
// Row-major with leading dimension ldc: {c, ldc, kPanel}. The packed layout of W [N, K] with m standing for k (a weight's
// gradient): {c, kPanel, K * kPanel}. Columns past N are left untouched.
struct PanelOutput {
  float* data;
  int64_t row_stride;
  int64_t panel_stride;
};

enum class Accumulate { kNo, kYes };

// w [N, K] through strides -> packed [PackedSize(n, k)], padding set to zero.
void Pack(ThreadPool& pool, MatrixView w, int64_t n, int64_t k, float* packed);

// Packed W [N, K] -> packed W^T [K, N]: PackedSize(k, n) numbers, stored as W's. A gradient through y = x W^T is dx = dy W, that is Gemm
// with the transpose.
void TransposePacked(ThreadPool& pool, PackedWeight packed, int64_t n, int64_t k, void* transposed);

// packed -> w [N, K], row-major.
void Unpack(const float* packed, int64_t n, int64_t k, float* w);

// c [M, N] = a [M, K] * w^T, w packed [N, K]. Operands do not overlap.
void Gemm(ThreadPool& pool, MatrixView a, int64_t m, int64_t k, PackedWeight w, int64_t n, PanelOutput c,
          Accumulate accumulate);

}  // namespace hone::kernels
