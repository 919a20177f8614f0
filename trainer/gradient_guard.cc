#include "trainer/gradient_guard.h"

#include <cmath>

namespace hone {

absl::Status GradientGuard::Note(const UpdateStats& stats, const std::string& stage) {
  in_a_row_ = stats.applied ? 0 : in_a_row_ + 1;
  if (in_a_row_ < kMaxSkipped) return absl::OkStatus();
  return WorkError("the gradient was not finite ", in_a_row_, " times in a row; on its way back from the loss",
                   std::isfinite(stats.loss) ? "" : ", which is not finite either,", " it first went wrong at '",
                   stats.not_finite, "'; lower stage '", stage, "' learning_rate or max_grad_norm");
}

}  // namespace hone
