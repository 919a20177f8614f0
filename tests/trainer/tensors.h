// Between lists of numbers and tensors.
#pragma once

#include <ATen/ops/tensor.h>

#include <vector>

#include "engine/base/tensor.h"

namespace hone {

inline Tensor ToTensor(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

inline std::vector<float> ToVector(const Tensor& tensor) {
  const Tensor floats = tensor.detach().to(at::kFloat).contiguous();
  return {floats.const_data_ptr<float>(), floats.const_data_ptr<float>() + floats.numel()};
}

}  // namespace hone
