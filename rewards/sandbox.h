// Runs a program that nobody trusts: on Linux namespaces, seccomp and limits, without network, without the host's files, and without a
// trace left behind. What is tried against it, and what holds: tests/rewards/sandbox_attack_test.cc.
//
//   namespaces   user, mount, process, network, IPC, host name, cgroup: own ones for every run; when process 1 ends, all inside ends
//   files        a root in memory: /usr and the loader's files read-only, the interpreter, a /tmp of limited size, five devices
//   identity     user nobody without capabilities, no_new_privs, no environment, no inherited descriptors
//   system calls a filter refuses what has no use in a program that computes (sandbox_filter.cc)
//   limits       processor time and memory as sums over all processes (looked at every 5 ms, so that a burst may overshoot for that long) and
//                for each by setrlimit; processes, files, output, wall clock
//
// What remains open: a kernel bug; who may use up the machine's speed for as long as the limits allow; what takes time to compute can be timed;
// the names of the host's mounts in /proc/self/mountinfo; readable files under /usr.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "rewards/descriptor.h"

namespace hone {

struct SandboxLimits {
  double cpu_s = 10;   // all processes together
  double wall_s = 32;  // a backstop for programs that sleep: the machine may be busy with other things
  int64_t memory_bytes = int64_t{512} << 20;  // all processes together, with what lies in /tmp
  int64_t stack_bytes = int64_t{64} << 20;
  int64_t tmp_bytes = int64_t{64} << 20;  // also the largest file
  int64_t output_bytes = int64_t{16} << 20;
  int processes = 32;  // and threads
};

// Lies read-only in /work. The program starts in /tmp and may name it ../work/NAME, which holds without walls as well.
struct SandboxFile {
  std::string name;
  absl::string_view text;
  bool program = false;
};

struct SandboxRun {
  std::vector<std::string> command;  // the program's absolute path first
  std::vector<SandboxFile> files;
  absl::string_view input;  // on standard input, as a file that cannot be changed
  SandboxLimits limits;
  std::vector<int> channel;  // at most two descriptors of ours that become 3 and 4 inside; they stay ours to close
  int stop = -1;             // the run ends when this descriptor can be read or its other end closes
};

// How a run ended, as the first thing that went wrong.
struct SandboxResult {
  enum class Ending {
    kExit,       // value: exit status
    kSignal,     // value: signal
    kCpu,        // used up cpu_s
    kWall,       // used up wall_s
    kStarved,    // used up wall_s, most of it ready to run on a machine without a free processor
    kMemory,     // used up memory_bytes
    kProcesses,  // more than `processes`
    kOutput,     // wrote more than output_bytes
    kStopped,    // by `stop`
    kNotFound,   // the program could not be started
  };
  Ending ending = Ending::kExit;
  int value = 0;
  std::string output;  // standard output, at most output_bytes
  std::string errors;  // the last bytes of standard error
  double cpu_s = 0, wall_s = 0;
  int64_t peak_memory_bytes = 0;

  bool Succeeded() const { return ending == Ending::kExit && value == 0; }
  // "exit status 1", "killed by signal 11 (Segmentation fault)", "time limit: 10 s of processor time".
  std::string Describe(const SandboxLimits& limits) const;
};

// Thread-safe. Each run blocks its caller and needs no other thread.
class Sandbox {
 public:
  struct Options {
    bool walls = true;  // false: limits only, under a scratch folder of the host. For who trusts the programs.
    std::string python = "python3";  // looked up in PATH
  };
  // Starts a first program; an error says why this machine allows no sandbox, and the remedy.
  static absl::StatusOr<std::unique_ptr<Sandbox>> Open(const Options& options);
  // An error is the sandbox's own trouble and says nothing about the program.
  absl::StatusOr<SandboxResult> Run(const SandboxRun& run) const;

  // Where the program finds these; empty when this machine has none.
  const std::string& python() const { return python_; }
  const std::string& compiler() const { return compiler_; }

 private:
  explicit Sandbox(const Options& options) : options_(options) {}

  absl::Status FindPython();
  void FindCompiler();
  std::vector<std::string> JailWords(const SandboxRun& run, const std::string& scratch) const;

  const Options options_;
  int jail_ = -1;                  // the jail program's file, which stays open
  Descriptor filter_;              // compiled system call filter
  std::vector<std::string> room_;  // words of rewards/jail/plan.h that all runs share
  std::string python_, compiler_;
};

// The system call filter in the kernel's form (sandbox_filter.cc).
absl::StatusOr<std::string> SystemCallFilter();

}  // namespace hone
