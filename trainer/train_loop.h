// The training loop: DESIGN's picture as code. A stage draws prompts, collects groups, computes advantages and updates the
// policy; supervised stages learn from demonstrations. Everything a step does is a function of the recipe and the step's number.
#pragma once

#include <functional>
#include <string>

#include "engine/base/metrics.h"
#include "trainer/run_folder.h"
#include "trainer/run_options.h"

namespace hone {

// Watches a run; all calls come from the training thread.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void OnStageBegin(const Stage& stage, int64_t steps_done) = 0;
  virtual void OnStep(const Stage& stage, int64_t stage_step, const Metrics& metrics) = 0;
  virtual void OnMessage(const std::string& line) = 0;
};

// Where a run ended.
struct RunResult {
  bool interrupted = false;  // a checkpoint was written; `hone resume` goes on
  std::string checkpoint;    // the newest
};

// Runs the stages from the folder's newest checkpoint, or from the beginning when it has none. `interrupted` is asked between steps.
absl::StatusOr<RunResult> Train(const RunOptions& options, RunFolder& folder, RunObserver& observer,
                                const std::function<bool()>& interrupted);

}  // namespace hone
