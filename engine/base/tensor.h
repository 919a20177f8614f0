// The door to ATen: every file that handles tensors includes this and, per operator, <ATen/ops/NAME.h>.
// torch/torch.h would cost 23 s a file.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "engine/base/tensor_fwd.h"
