// Lets interface headers name tensors without including ATen.
#pragma once

namespace at {
class Tensor;
}  // namespace at

namespace hone {
using Tensor = at::Tensor;
}  // namespace hone
