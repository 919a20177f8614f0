// Ends a run whose gradient stays not finite: one such update is skipped, a row of them does not heal by itself.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "trainer/learner.h"

namespace hone {

class GradientGuard {
 public:
  static constexpr int64_t kMaxSkipped = 5;

  // `in_a_row` updates have been skipped so far.
  explicit GradientGuard(int64_t in_a_row = 0) : in_a_row_(in_a_row) {}

  // After each update; an error at the kMaxSkipped-th in a row that was not applied.
  absl::Status Note(const UpdateStats& stats, const std::string& stage);

  int64_t in_a_row() const { return in_a_row_; }

 private:
  int64_t in_a_row_;
};

}  // namespace hone
