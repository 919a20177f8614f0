#include <algorithm>
#include <cmath>

#include "trainer/run_options.h"

namespace hone {

double Schedule::At(int64_t step) const {
  if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const auto span = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  const double progress = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
  double fraction = 1;
  if (shape == ScheduleShape::kLinear) fraction = 1 - progress;
  if (shape == ScheduleShape::kCosine) fraction = 0.5 * (1 + std::cos(3.141592653589793 * progress));
  return peak * (final_fraction + (1 - final_fraction) * fraction);
}

}  // namespace hone
