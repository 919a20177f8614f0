// hone inspect: a run's summary from its files.
#include <cstdio>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/file.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "trainer/run_folder.h"

namespace hone {
namespace {

// First, last and best of one metric over a stage.
struct Trend {
  double first, last, best;
};

struct StageSummary {
  int64_t steps = 0;
  double seconds = 0;
  std::map<std::string, Trend> trends;
};

constexpr const char* kShown[] = {"policy/loss",         "reward/mean",    "sample/length_mean",
                                  "group/zero_variance", "policy/entropy", "mismatch/logprob_abs_max",
                                  "eval/pass@1"};

absl::Status RunInspect(const std::string& run) {
  if (const auto recipe = ReadFile(RunFolder::RecipePath(run)); !recipe.ok())
    return InputError(run, ": holds no run (recipe.textproto is missing)");
  std::vector<std::pair<std::string, StageSummary>> stages;
  if (const auto lines = ReadLines(run + "/metrics.jsonl"); lines.ok()) {
    for (const InputLine& line : *lines) {
      HONE_ASSIGN_OR_RETURN(const std::string stage, line.Text("stage"));
      if (stages.empty() || stages.back().first != stage) stages.push_back({stage, {}});
      StageSummary& summary = stages.back().second;
      ++summary.steps;
      summary.seconds += line.json.value("time/step_s", 0.0);
      for (const char* name : kShown) {
        if (!line.json.contains(name) || !line.json[name].is_number()) continue;
        const double value = line.json[name].get<double>();
        Trend& trend = summary.trends.try_emplace(name, Trend{value, value, value}).first->second;
        trend.last = value;
        trend.best = std::max(trend.best, value);
      }
    }
  }
  std::printf("run: %s\n", run.c_str());
  for (const auto& [name, summary] : stages) {
    std::printf("\nstage %s: %d steps in %.1f s\n", name.c_str(), static_cast<int>(summary.steps), summary.seconds);
    std::printf("  %-28s %12s %12s %12s\n", "metric", "first", "last", "highest");
    for (const auto& [metric, trend] : summary.trends) {
      std::printf("  %-28s %12.5g %12.5g %12.5g\n", metric.c_str(), trend.first, trend.last, trend.best);
    }
  }
  const std::vector<int64_t> checkpoints = ListCheckpoints(run);
  if (checkpoints.empty()) {
    std::printf("\ncheckpoints: none yet\n");
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const RunState state, ReadRunState(CheckpointFolder(run, checkpoints.back())));
  std::printf("\ncheckpoints: steps %s\n", absl::StrJoin(checkpoints, ", ").c_str());
  std::printf("newest:      %s (policy version %d, %s)\n", CheckpointFolder(run, checkpoints.back()).c_str(),
              static_cast<int>(state.policy_version),
              state.finished ? "finished" : "not finished: 'hone resume' goes on");
  return absl::OkStatus();
}

}  // namespace

int InspectCommand(int argc, char** argv) {
  std::string run;
  Arguments arguments("inspect", "Summarises a run.");
  arguments.Positional("DIR", "folder of the run", &run);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunInspect(run));
}

}  // namespace hone
