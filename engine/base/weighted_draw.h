// A draw without replacement in which heavier ones come sooner: the order of E_i / w_i, E_i exponential, of which the first k are the draw
// (https://doi.org/10.1016/j.ipl.2005.11.003).
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/base/random.h"

namespace hone {

// Up to `count` different indexes into `weights`, which are above 0, in the order of the draw.
inline std::vector<size_t> DrawWithoutReplacement(const std::vector<double>& weights, size_t count,
                                                  RandomSequence& random) {
  std::vector<std::pair<double, size_t>> keys;
  for (size_t i = 0; i < weights.size(); ++i) keys.emplace_back(-std::log(random.Uniform()) / weights[i], i);
  std::sort(keys.begin(), keys.end());
  std::vector<size_t> drawn;
  for (size_t i = 0; i < std::min(count, keys.size()); ++i) drawn.push_back(keys[i].second);
  return drawn;
}

}  // namespace hone
