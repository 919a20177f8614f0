#include "trainer/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/file.h"

namespace hone {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr char kCheckpointPrefix[] = "step_";

// The number in "step_000120" and "step_000120.jsonl".
std::optional<int64_t> StepInName(absl::string_view name, absl::string_view ending) {
  int64_t step = 0;
  if (!absl::StartsWith(name, kCheckpointPrefix) || !absl::EndsWith(name, ending)) return std::nullopt;
  name.remove_prefix(sizeof(kCheckpointPrefix) - 1);
  name.remove_suffix(ending.size());
  if (!absl::SimpleAtoi(name, &step)) return std::nullopt;
  return step;
}

std::string StepName(int64_t step) { return absl::StrFormat("%s%06d", kCheckpointPrefix, step); }

// Text as JSON accepts it: broken UTF-8 becomes the replacement character.
std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string CheckpointFolder(const std::string& run, int64_t step) { return run + "/checkpoints/" + StepName(step); }

std::vector<int64_t> ListCheckpoints(const std::string& run) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints", error)) {
    const auto step = StepInName(entry.path().filename().string(), "");
    if (step && fs::exists(entry.path() / "state" / "run.json", error)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::Status WriteRunState(const std::string& checkpoint, const RunState& state) {
  const Json json = {{"format", 1},
                     {"step", state.step},
                     {"stage", state.stage},
                     {"stage_step", state.stage_step},
                     {"optimizer_steps", state.optimizer_steps},
                     {"policy_version", state.policy_version},
                     {"next_prompt", state.next_prompt},
                     {"skipped_updates", state.skipped_updates},
                     {"extra_updates", state.extra_updates},
                     {"finished", state.finished}};
  return WriteFile(checkpoint + "/state/run.json", json.dump(2) + "\n");
}

absl::StatusOr<RunState> ReadRunState(const std::string& checkpoint) {
  const std::string path = checkpoint + "/state/run.json";
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto number = [&](const char* key) -> int64_t {
    return json.is_object() && json.contains(key) && json[key].is_number_integer() ? json[key].get<int64_t>() : -1;
  };
  RunState state{number("step"),
                 number("stage"),
                 number("stage_step"),
                 number("optimizer_steps"),
                 number("policy_version"),
                 static_cast<uint64_t>(number("next_prompt")),
                 std::max<int64_t>(0, number("skipped_updates")),
                 std::max<int64_t>(0, number("extra_updates")),
                 false};
  const bool whole = number("format") == 1 && state.step >= 0 && state.stage >= 0 && state.stage_step >= 0 &&
                     state.optimizer_steps >= 0 && state.policy_version >= 0 && number("next_prompt") >= 0 &&
                     json.contains("finished") && json["finished"].is_boolean();
  if (!whole)
    return InputError(path, ": damaged; remove the folder ", checkpoint, " to resume from an earlier checkpoint");
  state.finished = json["finished"].get<bool>();
  return state;
}

absl::StatusOr<RunFolder> RunFolder::Create(const std::string& path, const std::string& recipe_text) {
  std::error_code error;
  if (fs::exists(RecipePath(path), error)) {
    return InputError(path, ": holds a run already; go on with 'hone resume ", path, "' or choose another --out");
  }
  if (fs::exists(path, error) && !fs::is_directory(path, error))
    return InputError(path, ": is a file, --out wants a folder");
  RunFolder folder(path);
  folder.made_ = !fs::exists(path, error);
  for (const char* part : {"", "/samples", "/checkpoints"}) {
    fs::create_directories(path + part, error);
    if (error) return InputError(path + part, ": cannot make the folder: ", error.message(), "; choose another --out");
  }
  HONE_RETURN_IF_ERROR(folder.Lock());
  HONE_RETURN_IF_ERROR(WriteFile(RecipePath(path), recipe_text));
  return folder;
}

absl::StatusOr<RunFolder> RunFolder::Open(const std::string& path) {
  std::error_code error;
  if (!fs::exists(RecipePath(path), error)) return InputError(path, ": holds no run (recipe.textproto is missing)");
  RunFolder folder(path);
  HONE_RETURN_IF_ERROR(folder.Lock());
  return folder;
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)), made_(other.made_), lock_(other.lock_), metrics_(std::move(other.metrics_)) {
  other.lock_ = -1;
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

absl::Status RunFolder::Lock() {
  lock_ = open((path_ + "/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) return InputError(path_, ": cannot write: ", SystemError());
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return InputError(path_, ": another process works on this run; wait for it or stop it");
  return absl::OkStatus();
}

void RunFolder::DiscardUnlessBegun() {
  std::error_code error;
  const std::string metrics = path_ + "/metrics.jsonl";
  if (!ListCheckpoints(path_).empty() || (fs::exists(metrics, error) && fs::file_size(metrics, error) > 0)) return;
  // A folder is removed only if nothing is in it.
  for (const char* name : {"recipe.textproto", "metrics.jsonl", "log.txt", ".lock", "samples", "checkpoints"}) {
    fs::remove(absl::StrCat(path_, "/", name), error);
  }
  if (made_) fs::remove(path_, error);
}

std::string RunFolder::CheckpointPath(int64_t step) const { return CheckpointFolder(path_, step); }

absl::Status RunFolder::TruncateAfter(int64_t step) {
  std::error_code error;
  const std::string metrics_path = path_ + "/metrics.jsonl";
  if (fs::exists(metrics_path, error)) {
    HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(metrics_path));
    std::string kept;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
      if (json.is_object() && json.contains("step") && json["step"].is_number() &&
          json["step"].get<int64_t>() <= step) {
        absl::StrAppend(&kept, line, "\n");
      }
    }
    HONE_RETURN_IF_ERROR(WriteFile(metrics_path, kept));
  }
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(path_ + "/samples", error)) {
    const auto written = StepInName(entry.path().filename().string(), ".jsonl");
    if (!written || *written > step) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path, error);
  return absl::OkStatus();
}

absl::Status RunFolder::AppendMetrics(const Metrics& metrics) {
  const std::string path = path_ + "/metrics.jsonl";
  if (!metrics_.is_open()) metrics_.open(path, std::ios::app);
  metrics_ << metrics.ToJson() << '\n' << std::flush;
  if (!metrics_) return WorkError(path, ": cannot write: ", SystemError());
  return absl::OkStatus();
}

namespace {

// Estimators that tell tokens apart are rare; a mean is what a reader compares.
double MeanOf(const std::vector<float>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

absl::Status RunFolder::WriteSamples(int64_t step, std::initializer_list<std::span<const Group>> lists) {
  std::vector<const Group*> groups;
  for (const std::span<const Group> list : lists) {
    for (const Group& group : list) {
      if (group.step == step) groups.push_back(&group);
    }
  }
  std::string lines;
  for (const Group* written : groups) {
    const Group& group = *written;
    std::vector<const Sample*> samples;
    for (const Sample& sample : group.samples) samples.push_back(&sample);
    if (group.greedy) samples.push_back(&*group.greedy);
    for (const Sample* each : samples) {
      const Sample& sample = *each;
      const Verdict& verdict = sample.verdict;
      Json json = {{"step", step},
                   {"prompt_key", group.prompt.key},
                   {"prompt", group.prompt.text},
                   {"sample", sample.index},
                   {"completion", sample.text},
                   {"tokens", sample.tokens.size()},
                   {"finish_reason", sample.finish_reason == FinishReason::kStop ? "stop" : "length"},
                   {"score", verdict.score ? Json(*verdict.score) : Json(nullptr)},
                   {"reason", verdict.reason}};
      if (sample.shaping != 0) json["shaping"] = sample.shaping;
      if (group.greedy && each == &*group.greedy) {
        json["greedy"] = true;
      } else {
        json["advantage"] = MeanOf(sample.advantages);
      }
      lines += Dump(json) + "\n";
    }
  }
  return WriteFile(path_ + "/samples/" + StepName(step) + ".jsonl", lines);
}

void RunFolder::Log(const std::string& line) {
  const std::time_t now = std::time(nullptr);
  std::tm parts;
  gmtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &parts);
  std::ofstream(path_ + "/log.txt", std::ios::app) << stamp << ' ' << line << '\n';
}

}  // namespace hone
