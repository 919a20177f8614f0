// A gradient against the loss itself: moved along a random direction by a step to both sides.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/tensor.h"
#include "engine/model/model.h"

namespace hone {

struct DirectionalSlope {
  double measured, expected;
  double h;     // the step of each weight
  double size;  // of the losses, which are float32: measured is good to about 1e-7 size / h
};

// `gradient` of `parameter`'s weights as `loss` has it; these are moved and put back. The direction has one step's length in all, `step`.
inline DirectionalSlope SlopeAlong(Parameter& parameter, const std::vector<float>& gradient, double step,
                                   RandomSequence& random, const std::function<double()>& loss) {
  const std::vector<float> weights = PlainWeights(parameter, parameter.value);
  std::vector<float> direction(weights.size());
  double expected = 0;
  for (size_t i = 0; i < direction.size(); ++i) {
    direction[i] = random.Below(2) == 0 ? -1 : 1;
    expected += double{gradient[i]} * direction[i];
  }
  const double h = step / std::sqrt(static_cast<double>(direction.size()));
  double sides[2];
  Tensor value = parameter.value.detach();
  for (const int side : {0, 1}) {
    std::vector<float> moved = weights;
    for (size_t i = 0; i < moved.size(); ++i) moved[i] += static_cast<float>((side == 0 ? -h : h) * direction[i]);
    AssignPlainWeights(parameter, moved.data(), value);
    sides[side] = loss();
  }
  AssignPlainWeights(parameter, weights.data(), value);
  return {(sides[1] - sides[0]) / (2 * h), expected, h, std::max(std::abs(sides[0]), std::abs(sides[1]))};
}

}  // namespace hone
