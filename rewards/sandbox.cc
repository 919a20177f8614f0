// One run: start the jail program (rewards/jail/main.cc), read what comes, end it when it is over or too much.
#include "rewards/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/check.h"
#include "rewards/descriptor.h"
#include "rewards/embedded.h"

namespace hone {

absl::Status SandboxSetupError(absl::string_view step, int error);  // sandbox_room.cc

namespace {

constexpr size_t kErrorsKept = 4096;
constexpr int kFirstFd = 10;  // where descriptors lie in the jail program; 0 to 4 have a meaning there
constexpr int64_t kMib = int64_t{1} << 20;
// Libraries, thread stacks and the allocator reserve more addresses than they use; the sum of what is used is limited more tightly.
constexpr int64_t kReservedBytes = 512 * kMib;
constexpr double kGraceS = 3;  // for the jail to report that the wall clock's limit is reached

struct Pipe {
  Descriptor out, in;  // read end, write end
};

absl::StatusOr<Pipe> NewPipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return WorkError("pipe: ", std::strerror(errno));
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// The host folder of a run without walls; it goes with the object.
class Scratch {
 public:
  absl::Status Make() {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "hone-XXXXXX").string();
    if (error || mkdtemp(name.data()) == nullptr)
      return WorkError("no scratch folder ", name, ": ", std::strerror(errno));
    path_ = name;
    for (const char* folder : {"/work", "/tmp"}) {
      if (mkdir((path_ + folder).c_str(), 0755) != 0) return WorkError(path_, folder, ": ", std::strerror(errno));
    }
    return absl::OkStatus();
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What a run reads until every end is closed.
struct Streams {
  Pipe output, errors, report, lifeline;
};

// The descriptors of `passed` become kFirstFd and those that follow; the last of them is the jail program itself, started from where it lies
// there, because its number here may be another's place.
absl::StatusOr<pid_t> Spawn(std::vector<std::string>& words, const Streams& streams, int input,
                            const std::vector<int>& passed) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Two steps, for a source may bear the number of another's target: up first, then down.
  std::vector<int> sources = {input, streams.output.in.get(), streams.errors.in.get(), streams.report.in.get(),
                              streams.lifeline.out.get()};
  const int own = static_cast<int>(sources.size());
  sources.insert(sources.end(), passed.begin(), passed.end());
  const int high =
      1 + std::max(kFirstFd + static_cast<int>(passed.size()), *std::max_element(sources.begin(), sources.end()));
  for (size_t at = 0; at < sources.size(); ++at) {
    posix_spawn_file_actions_adddup2(&actions, sources[at], high + static_cast<int>(at));
  }
  for (int at = 0; at < static_cast<int>(sources.size()); ++at) {
    posix_spawn_file_actions_adddup2(&actions, high + at, at < own ? at : kFirstFd + at - own);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, kFirstFd + static_cast<int>(passed.size()));

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* no_environment[] = {nullptr};
  pid_t pid = -1;
  const std::string path = absl::StrCat("/proc/self/fd/", kFirstFd + passed.size() - 1);
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), no_environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return SandboxSetupError("starting the jail program", error);
  return pid;
}

// Reads what is there. False when the other end is closed.
bool ReadSome(int fd, std::string& text) {
  char buffer[65536];
  const ssize_t bytes = read(fd, buffer, sizeof buffer);
  if (bytes > 0) text.append(buffer, static_cast<size_t>(bytes));
  return bytes > 0 || (bytes < 0 && errno == EINTR);
}

// Reads all streams to their ends. Closing the lifeline makes the jail end the program, and with it the streams.
void Pump(Streams& streams, const SandboxRun& run, SandboxResult& result, std::string& report) {
  const SandboxLimits& limits = run.limits;
  const absl::Time deadline = absl::Now() + absl::Seconds(limits.wall_s + kGraceS);
  bool over = false;
  const auto end = [&](SandboxResult::Ending ending) {
    if (!over) result.ending = ending;
    over = true;
    streams.lifeline.in.Close();
  };
  pollfd waits[] = {{streams.output.out.get(), POLLIN, 0},
                    {streams.errors.out.get(), POLLIN, 0},
                    {streams.report.out.get(), POLLIN, 0},
                    {run.stop, POLLIN, 0}};
  while (waits[0].fd >= 0 || waits[1].fd >= 0 || waits[2].fd >= 0) {
    const int64_t left_ms = over ? 1000 : std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now()));
    poll(waits, 4, static_cast<int>(std::min<int64_t>(left_ms, 10000)));
    if (!over && absl::Now() >= deadline) end(SandboxResult::Ending::kWall);
    if (waits[3].fd >= 0 && waits[3].revents != 0) {
      end(SandboxResult::Ending::kStopped);
      waits[3].fd = -1;
    }
    std::string* texts[] = {&result.output, &result.errors, &report};
    for (int at = 0; at < 3; ++at) {
      if (waits[at].fd >= 0 && waits[at].revents != 0 && !ReadSome(waits[at].fd, *texts[at])) waits[at].fd = -1;
    }
    if (static_cast<int64_t>(result.output.size()) > limits.output_bytes) {
      end(SandboxResult::Ending::kOutput);
      result.output.resize(static_cast<size_t>(limits.output_bytes));
    }
    if (result.errors.size() > 2 * kErrorsKept) result.errors.erase(0, result.errors.size() - kErrorsKept);
    if (over) result.output.resize(std::min(result.output.size(), static_cast<size_t>(limits.output_bytes)));
  }
}

// The jail's line (rewards/jail/plan.h, watch.cc) into `result`.
absl::Status ReadReport(absl::string_view report, SandboxResult& result) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(report.substr(0, report.find('\n')), ' ', absl::SkipEmpty());
  using Ending = SandboxResult::Ending;
  if (words.size() >= 3 && words[0] == "setup") {
    int error = 0;
    HONE_CHECK(absl::SimpleAtoi(words.back(), &error));
    const absl::string_view step = report.substr(6, static_cast<size_t>(words.back().data() - words[0].data()) - 7);
    if (step == "exec" && (error == ENOENT || error == EACCES)) {
      result.ending = Ending::kNotFound;
      return absl::OkStatus();
    }
    return SandboxSetupError(step, error);
  }
  int64_t value = 0, cpu_ms = 0, wall_ms = 0, peak_kb = 0;
  if (words.size() != 8 || !absl::SimpleAtoi(words[1], &value) || !absl::SimpleAtoi(words[3], &cpu_ms) ||
      !absl::SimpleAtoi(words[5], &wall_ms) || !absl::SimpleAtoi(words[7], &peak_kb)) {
    return WorkError("the jail program ended without a word: something outside of it killed it, or memory ran out");
  }
  result.value = static_cast<int>(value);
  result.cpu_s = static_cast<double>(cpu_ms) / 1000;
  result.wall_s = static_cast<double>(wall_ms) / 1000;
  result.peak_memory_bytes = peak_kb * 1024;
  if (words[0] == "exit") result.ending = Ending::kExit;
  if (words[0] == "signal") result.ending = Ending::kSignal;
  if (words[0] == "cpu") result.ending = Ending::kCpu;
  if (words[0] == "memory") result.ending = Ending::kMemory;
  if (words[0] == "processes") result.ending = Ending::kProcesses;
  if (words[0] == "wall") result.ending = value * 2 > wall_ms ? Ending::kStarved : Ending::kWall;
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> Sandbox::JailWords(const SandboxRun& run, const std::string& scratch) const {
  const SandboxLimits& limits = run.limits;
  std::vector<std::string> words = {"hone-jail"};
  const auto add = [&words](absl::string_view key, int64_t value) {
    words.insert(words.end(), {std::string(key), absl::StrCat(value)});
  };
  add("cpu_ms", std::llround(limits.cpu_s * 1000));
  add("wall_ms", std::llround(limits.wall_s * 1000));
  add("memory", limits.memory_bytes);
  add("address_space", limits.memory_bytes + limits.stack_bytes + kReservedBytes);
  add("stack", limits.stack_bytes);
  add("tmp_bytes", limits.tmp_bytes);
  add("file_bytes", limits.tmp_bytes);
  add("processes", limits.processes);
  int fd = kFirstFd;
  for (const SandboxFile& file : run.files) {
    words.insert(words.end(), {"file", absl::StrCat(fd++), file.program ? "program" : "text", "/work/" + file.name});
  }
  for (size_t at = 0; at < run.channel.size(); ++at) add("keep", fd++);
  if (options_.walls) {
    add("seccomp", fd);
    words.insert(words.end(), room_.begin(), room_.end());
  } else {
    words.insert(words.end(), {"open", scratch});
  }
  words.push_back("--");
  words.insert(words.end(), run.command.begin(), run.command.end());
  return words;
}

absl::StatusOr<SandboxResult> Sandbox::Run(const SandboxRun& run) const {
  HONE_CHECK(run.channel.size() <= 2 && !run.command.empty());
  Scratch scratch;
  if (!options_.walls) HONE_RETURN_IF_ERROR(scratch.Make());
  HONE_ASSIGN_OR_RETURN(const Descriptor input, MemoryFile(run.input));
  std::vector<Descriptor> files;
  std::vector<int> passed;
  for (const SandboxFile& file : run.files) {
    HONE_ASSIGN_OR_RETURN(Descriptor memory, MemoryFile(file.text));
    passed.push_back(memory.get());
    files.push_back(std::move(memory));
  }
  passed.insert(passed.end(), run.channel.begin(), run.channel.end());
  if (options_.walls) passed.push_back(filter_.get());
  passed.push_back(jail_);

  Streams streams;
  for (Pipe* pipe : {&streams.output, &streams.errors, &streams.report, &streams.lifeline}) {
    HONE_ASSIGN_OR_RETURN(*pipe, NewPipe());
  }
  std::vector<std::string> words = JailWords(run, scratch.path());
  HONE_ASSIGN_OR_RETURN(const pid_t jail, Spawn(words, streams, input.get(), passed));
  for (Pipe* pipe : {&streams.output, &streams.errors, &streams.report}) pipe->in.Close();
  streams.lifeline.out.Close();

  SandboxResult result;
  std::string report;
  Pump(streams, run, result, report);
  streams.lifeline.in.Close();
  // The jail ends when all inside it has ended. (ECHILD: somebody else in this process waited for it.)
  while (waitpid(jail, nullptr, 0) < 0 && errno == EINTR) continue;
  if (result.errors.size() > kErrorsKept) result.errors.erase(0, result.errors.size() - kErrorsKept);
  if (result.ending == SandboxResult::Ending::kExit) HONE_RETURN_IF_ERROR(ReadReport(report, result));
  return result;
}

std::string SandboxResult::Describe(const SandboxLimits& limits) const {
  switch (ending) {
    case Ending::kExit:
      return absl::StrCat("exit status ", value);
    case Ending::kSignal:
      return absl::StrCat("killed by signal ", value, " (", sigdescr_np(value) ? sigdescr_np(value) : "unknown", ")");
    case Ending::kCpu:
      return absl::StrCat("time limit: ", limits.cpu_s, " s of processor time");
    case Ending::kWall:
      return absl::StrCat("time limit: ", limits.wall_s, " s by the clock, with little computed");
    case Ending::kStarved:
      return absl::StrCat("the machine is too busy: in ", limits.wall_s,
                          " s no processor was free for the program half of the time");
    case Ending::kMemory:
      return absl::StrCat("memory limit: ", limits.memory_bytes / kMib, " MB");
    case Ending::kProcesses:
      return absl::StrCat("process limit: ", limits.processes);
    case Ending::kOutput:
      return absl::StrCat("output limit: ", limits.output_bytes / kMib, " MB");
    case Ending::kStopped:
      return "stopped";
    case Ending::kNotFound:
      return "the program could not be started";
  }
  return "";
}

}  // namespace hone
