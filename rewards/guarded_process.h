// A foreign program with pipes to it, which ends with everything it has started: each runs under a guard (rewards/guard/main.cc).
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "rewards/descriptor.h"

namespace hone {

// What runs: `arguments` as execvp takes them, or, where `program` is not -1, the file behind that descriptor with arguments[0] as its name.
struct Command {
  std::vector<std::string> arguments;
  int program = -1;
};

// One run of a command. Not thread-safe, but any thread may do it; nothing depends on the thread that started it.
class GuardedProcess {
 public:
  GuardedProcess() = default;
  GuardedProcess(GuardedProcess&& other) noexcept { *this = std::move(other); }
  GuardedProcess& operator=(GuardedProcess&& other) noexcept;
  ~GuardedProcess() { End(); }

  // Starts without copying this process, however large it is (posix_spawn). Our ends of the pipes do not block.
  static absl::StatusOr<GuardedProcess> Start(const Command& command);

  // Ours of the command's standard input, output and error.
  Descriptor& input() { return input_; }
  Descriptor& output() { return output_; }
  Descriptor& error() { return error_; }
  // Becomes readable when the command has ended.
  int ended() const { return guard_socket_.get(); }

  // Kills the command and all it started, and returns when nothing is left of them: within milliseconds, 10 s where the machine holds a process
  // back. Harmless when all is over.
  void End();
  // "exit status 1", "signal 11 (Segmentation fault)"; signal 9 where End did it. After End.
  std::string HowItEnded() const;
  // Closes the command's input, gives it `patience_ms` to end by itself, then ends it.
  void Finish(int patience_ms);

 private:
  Descriptor input_, output_, error_, guard_socket_;
  pid_t guard_ = 0;
  int wait_status_ = -1;
};

}  // namespace hone
