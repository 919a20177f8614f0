// hone train and hone resume.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "absl/strings/str_format.h"
#include "engine/base/file.h"
#include "engine/checkpoint.h"
#include "engine/prompt_encoder.h"
#include "recipes/build.h"
#include "recipes/recipe.h"
#include "rewards/verifier_log.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/explain.h"
#include "tools/progress.h"
#include "trainer/report.h"
#include "trainer/train_loop.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

// Progress with reward, speed and time to go; messages also to the run's log.
class ConsoleObserver : public RunObserver {
 public:
  explicit ConsoleObserver(RunFolder* folder) : folder_(folder) {}

  void OnStageBegin(const Stage& stage, int64_t steps_done) override {
    stage_start_ = Clock::now();
    first_step_ = steps_done;
    OnMessage(absl::StrFormat("stage %s: %d steps", stage.name, stage.steps));
  }

  void OnStep(const Stage& stage, int64_t stage_step, const Metrics& metrics) override {
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - stage_start_).count();
    const auto done = static_cast<double>(stage_step - first_step_),
               left = static_cast<double>(stage.steps - stage_step);
    std::string line = absl::StrFormat("%s %d/%d", stage.name, stage_step, stage.steps);
    Append(line, metrics, "policy/loss", "  loss %.3f", 1);
    Append(line, metrics, "reward/mean", "  reward %.3f", 1);
    Append(line, metrics, "group/trained", "  trained %.0f%%", 100);
    Append(line, metrics, "sample/length_mean", "  length %.1f", 1);
    Append(line, metrics, "throughput/generate_tokens_per_s", "  generate %.0f tok/s", 1);
    Append(line, metrics, "throughput/train_tokens_per_s", "  train %.0f tok/s", 1);
    absl::StrAppend(&line, "  ", ClockText(elapsed_s), " gone, ", ClockText(elapsed_s / done * left), " to go");
    const bool last = stage_step == stage.steps;
    progress_.Show(line, last ? ProgressLine::Urgency::kNow : ProgressLine::Urgency::kWhenDue);
    if (last) folder_->Log(line);
    if (const auto pass = metrics.Find("eval/pass@1")) {
      OnMessage(absl::StrFormat("stage %s, step %d: held-out pass@1 %.1f%%", stage.name, stage_step, 100 * *pass));
    }
  }

  void OnMessage(const std::string& line) override {
    progress_.Print(line);
    folder_->Log(line);
  }

 private:
  template <typename Format>
  static void Append(std::string& line, const Metrics& metrics, const char* name, const Format& format, double scale) {
    if (const auto value = metrics.Find(name)) absl::StrAppendFormat(&line, format, scale * *value);
  }

  RunFolder* folder_;
  ProgressLine progress_;
  Clock::time_point stage_start_{};
  int64_t first_step_ = 0;
};

absl::Status RunStages(const RunOptions& options, RunFolder& folder) {
  CatchInterrupts();
  ConsoleObserver observer(&folder);
  SendVerifierLogTo([&folder](const std::string& line) { folder.Log(line); });
  auto result = Train(options, folder, observer, Interrupted);
  SendVerifierLogTo(nullptr);
  if (!result.ok()) {
    folder.Log(absl::StrCat("stopped: ", result.status().message()));
    return result.status();
  }
  HONE_RETURN_IF_ERROR(WriteReport(folder.path()));
  if (result->interrupted) {
    return absl::CancelledError(absl::StrCat("interrupted; everything is in ", result->checkpoint,
                                             ", go on with 'hone resume ", folder.path(), "'"));
  }
  observer.OnMessage(absl::StrCat("checkpoint: ", result->checkpoint));
  observer.OnMessage(absl::StrCat("curves:     ", folder.path(), "/report.html"));
  return absl::OkStatus();
}

// runs/NAME, runs/NAME-2, ...: the first that holds no run.
std::string FreshFolder(const std::string& name) {
  std::string path = "runs/" + name;
  for (int number = 2; std::filesystem::exists(path); ++number) path = absl::StrCat("runs/", name, "-", number);
  return path;
}

// Refuses what the model cannot read before anything is written: a chat template and a vocabulary say so only when they are used.
absl::Status CheckPrompts(const RunOptions& options) {
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<PromptEncoder> encoder;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    const uint64_t size = options.task->Size(split).value_or(0);
    for (uint64_t index = 0; index < size; ++index) {
      Prompt prompt = options.task->At(split, index);
      if (prompt.where.empty()) break;  // what a task makes up is text
      if (prompt.conversation.empty() && prompt.tokens.empty()) continue;
      if (options.model.path.empty()) {
        return InputError(prompt.where,
                          ": 'messages' and 'tokens' are for a model that exists, the recipe makes a new "
                          "one: give 'prompt', or name a model's folder in model.path");
      }
      if (!encoder) {
        HONE_ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(options.model.path));
        encoder.emplace(tokenizer.get(), options.model.path);
      }
      HONE_RETURN_IF_ERROR(encoder->Encode(prompt));
    }
  }
  return absl::OkStatus();
}

absl::Status RunTrain(const std::string& recipe_path, const std::vector<std::string>& sets, std::string out,
                      bool explain) {
  HONE_ASSIGN_OR_RETURN(const LoadedRecipe recipe, ReadRecipe(recipe_path, sets));
  HONE_ASSIGN_OR_RETURN(const RunOptions options, BuildRun(recipe));
  if (!options.model.path.empty()) HONE_RETURN_IF_ERROR(ReadModelConfig(options.model.path).status());
  for (const Stage& stage : options.stages) {
    if (!stage.reference.path.empty()) HONE_RETURN_IF_ERROR(ReadModelConfig(stage.reference.path).status());
  }
  HONE_RETURN_IF_ERROR(CheckPrompts(options));
  if (explain) {
    HONE_ASSIGN_OR_RETURN(const std::string text, Explain(options));
    std::fputs(text.c_str(), stdout);
    return absl::OkStatus();
  }
  if (out.empty()) out = FreshFolder(options.name);
  HONE_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Create(out, options.recipe_text));
  absl::Status status = RunStages(options, folder);
  // Some wrong inputs show only beside the loaded model; the next try finds its folder free.
  if (absl::IsInvalidArgument(status)) folder.DiscardUnlessBegun();
  return status;
}

absl::Status RunResume(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Open(path));
  const std::vector<int64_t> checkpoints = ListCheckpoints(path);
  if (!checkpoints.empty()) {
    HONE_ASSIGN_OR_RETURN(const RunState state, ReadRunState(folder.CheckpointPath(checkpoints.back())));
    if (state.finished) {
      std::fprintf(stderr, "%s is finished: %d steps, newest checkpoint %s\n", path.c_str(),
                   static_cast<int>(state.step), folder.CheckpointPath(state.step).c_str());
      return absl::OkStatus();
    }
  }
  HONE_ASSIGN_OR_RETURN(const LoadedRecipe recipe, ReadRecipe(RunFolder::RecipePath(path), {}));
  HONE_ASSIGN_OR_RETURN(const RunOptions options, BuildRun(recipe));
  return RunStages(options, folder);
}

}  // namespace

int TrainCommand(int argc, char** argv) {
  std::string recipe, out;
  std::vector<std::string> sets;
  bool explain = false;
  Arguments arguments("train", "Runs the stages of a recipe; the run's folder gets checkpoints, metrics and samples.");
  arguments.Positional("RECIPE", "a recipe in text format, see recipes/", &recipe);
  arguments.List("set", "PATH=VALUE", "changes a field of the recipe: seed=3, stage[1].advantage=dr_grpo", &sets);
  arguments.Text("out", "DIR", "folder of the run; must not hold one yet (default: runs/NAME)", &out);
  arguments.Flag("explain", "prints the resolved recipe, tokens per step and memory, and starts nothing", &explain);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  if (arguments.Given("out") && out.empty()) return Report(InputError("--out is empty, a folder is wanted"));
  return Report(RunTrain(recipe, sets, out, explain));
}

int ResumeCommand(int argc, char** argv) {
  std::string path;
  Arguments arguments("resume", "Goes on from the newest whole checkpoint of a run.");
  arguments.Positional("DIR", "folder of the run", &path);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunResume(path));
}

}  // namespace hone
