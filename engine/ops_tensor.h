// What the files of engine/ops share. For them alone.
#pragma once

#include <cstdint>

#include "engine/base/tensor.h"
#include "kernels/gemm.h"
#include "kernels/thread_pool.h"

namespace hone::ops {

inline float* Data(const Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }
inline const float* ConstData(const Tensor& tensor) { return tensor.const_data_ptr<float>(); }

// A packed weight, stored as float32 or bfloat16.
inline kernels::PackedWeight Weight(const Tensor& packed) {
  const bool halves = packed.scalar_type() == at::kBFloat16;
  return {packed.const_data_ptr(), halves ? kernels::WeightType::kBfloat16 : kernels::WeightType::kFloat32};
}

// Autograd's context keeps tensors and plain values; objects that outlive the backward pass travel as addresses.
template <typename Context, typename T>
void Keep(Context* context, const char* name, T& object) {
  context->saved_data[name] = reinterpret_cast<int64_t>(&object);
}
template <typename T, typename Context>
T& Kept(Context* context, const char* name) {
  return *reinterpret_cast<T*>(context->saved_data[name].toInt());
}
template <typename Context>
ThreadPool& KeptPool(Context* context) {
  return Kept<ThreadPool>(context, "pool");
}

}  // namespace hone::ops
