// The folder of a run: recipe.textproto, metrics.jsonl, samples/, log.txt, checkpoints/step_N/. A crash at any moment leaves a
// folder that a resumed run continues to the same bytes.
#pragma once

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/metrics.h"
#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// Where a run stands; kept in every checkpoint. Counters only: every random number is a function of seed and counters.
struct RunState {
  int64_t step = 0;             // steps done, over all stages
  int64_t stage = 0;            // index of the stage that goes on
  int64_t stage_step = 0;       // steps done in that stage
  int64_t optimizer_steps = 0;  // of that stage
  PolicyVersion policy_version = 0;
  uint64_t next_prompt = 0;     // index of the next training prompt of the task
  int64_t skipped_updates = 0;  // in a row, the last ones
  int64_t extra_updates = 0;    // of optimizer_steps, those that the learning-rate schedule does not count
  bool finished = false;
};

// Holds a lock on the folder while it lives, so that two processes never write one run.
class RunFolder {
 public:
  // A new run; input error when the folder holds one already.
  static absl::StatusOr<RunFolder> Create(const std::string& path, const std::string& recipe_text);
  // An existing run; input error when there is none.
  static absl::StatusOr<RunFolder> Open(const std::string& path);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  static std::string RecipePath(const std::string& path) { return path + "/recipe.textproto"; }
  std::string CheckpointPath(int64_t step) const;

  // Forgets everything after `step`: metrics and samples that a crashed run wrote past its newest checkpoint.
  absl::Status TruncateAfter(int64_t step);

  absl::Status AppendMetrics(const Metrics& metrics);
  // samples/step_N.jsonl: every sample of a step, with prompt, text, score and reason; groups of earlier steps are left out.
  absl::Status WriteSamples(int64_t step, std::initializer_list<std::span<const Group>> groups);
  // A line with the time in log.txt.
  void Log(const std::string& line);
  // Takes a new run back in which no step was done: its files go, and the folder if Create made it. Nothing follows this call.
  void DiscardUnlessBegun();

 private:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}
  absl::Status Lock();

  std::string path_;
  bool made_ = false;  // by Create
  int lock_ = -1;
  std::ofstream metrics_;
};

// Steps of the whole checkpoints of a run, ascending.
std::vector<int64_t> ListCheckpoints(const std::string& run);
std::string CheckpointFolder(const std::string& run, int64_t step);

absl::Status WriteRunState(const std::string& checkpoint, const RunState& state);
absl::StatusOr<RunState> ReadRunState(const std::string& checkpoint);

}  // namespace hone
