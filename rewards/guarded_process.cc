#include "rewards/guarded_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/file.h"
#include "rewards/embedded.h"

namespace hone {
namespace {

// Where the guard finds things. Ours lie above, so that moving one to its place overwrites none.
constexpr int kGuardSocket = 3;
constexpr int kProgram = 4;
constexpr int kLowestOfOurs = 10;
constexpr int kGuardTimeMs = 15000;  // it gives up after 10 s itself

absl::StatusOr<Descriptor> MoveUp(int low) {
  Descriptor high(fcntl(low, F_DUPFD_CLOEXEC, kLowestOfOurs));
  close(low);
  if (!high.open()) return WorkError("cannot open one file more: ", SystemError());
  return high;
}

struct Pipe {
  Descriptor ours, theirs;
};

enum class Kind { kWeWrite, kWeRead, kSocket };

absl::StatusOr<Pipe> MakePipe(Kind kind) {
  int ends[2];
  const int made =
      kind == Kind::kSocket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC);
  if (made != 0) return WorkError("cannot make a pipe: ", SystemError());
  absl::StatusOr<Descriptor> first = MoveUp(ends[0]);
  absl::StatusOr<Descriptor> second = MoveUp(ends[1]);
  HONE_RETURN_IF_ERROR(first.status());
  HONE_RETURN_IF_ERROR(second.status());
  if (kind == Kind::kWeWrite) std::swap(first, second);
  if (kind != Kind::kSocket) fcntl(first->get(), F_SETFL, O_NONBLOCK);
  return Pipe{*std::move(first), *std::move(second)};
}

// posix_spawn's two descriptions of the new process: default signals, a session of its own, the given descriptors.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void Give(int descriptor, int as) { posix_spawn_file_actions_adddup2(&actions_, descriptor, as); }

  // 0 or an error number.
  int Spawn(int program, const std::vector<std::string>& arguments, pid_t& process) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    const std::string path = absl::StrCat("/proc/self/fd/", program);
    return posix_spawn(&process, path.c_str(), &actions_, &attributes_, pointers.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<GuardedProcess> GuardedProcess::Start(const Command& command) {
  HONE_ASSIGN_OR_RETURN(const int guard, OpenEmbedded(EmbeddedProgram::kGuard));
  HONE_ASSIGN_OR_RETURN(Pipe input, MakePipe(Kind::kWeWrite));
  HONE_ASSIGN_OR_RETURN(Pipe output, MakePipe(Kind::kWeRead));
  HONE_ASSIGN_OR_RETURN(Pipe error, MakePipe(Kind::kWeRead));
  HONE_ASSIGN_OR_RETURN(Pipe socket, MakePipe(Kind::kSocket));

  SpawnPlan plan;
  plan.Give(input.theirs.get(), STDIN_FILENO);
  plan.Give(output.theirs.get(), STDOUT_FILENO);
  plan.Give(error.theirs.get(), STDERR_FILENO);
  plan.Give(socket.theirs.get(), kGuardSocket);
  std::vector<std::string> arguments = {"hone-guard"};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  if (command.program >= 0) {
    plan.Give(command.program, kProgram);
    arguments[1] = absl::StrCat("@", kProgram);
  }
  GuardedProcess process;
  if (const int failure = plan.Spawn(guard, arguments, process.guard_); failure != 0) {
    process.guard_ = 0;
    return WorkError("cannot start a process: ", std::strerror(failure));
  }
  process.input_ = std::move(input.ours);
  process.output_ = std::move(output.ours);
  process.error_ = std::move(error.ours);
  process.guard_socket_ = std::move(socket.ours);
  return process;
}

GuardedProcess& GuardedProcess::operator=(GuardedProcess&& other) noexcept {
  if (this == &other) return *this;
  End();
  input_ = std::move(other.input_);
  output_ = std::move(other.output_);
  error_ = std::move(other.error_);
  guard_socket_ = std::move(other.guard_socket_);
  guard_ = std::exchange(other.guard_, 0);
  wait_status_ = other.wait_status_;
  return *this;
}

void GuardedProcess::End() {
  if (guard_ == 0) return;
  input_.Close();
  // The guard takes the end of what we say for the order to kill; then it says how the command ended, and the end of what it says
  // is its own.
  shutdown(guard_socket_.get(), SHUT_WR);
  for (;;) {
    pollfd watched = {guard_socket_.get(), POLLIN, 0};
    const int ready = poll(&watched, 1, kGuardTimeMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    int status = 0;
    const ssize_t got = read(watched.fd, &status, sizeof(status));
    if (got == sizeof(status)) wait_status_ = status;
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  kill(guard_, SIGKILL);  // it is over, or somebody stopped it
  while (waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) continue;
  guard_ = 0;
}

std::string GuardedProcess::HowItEnded() const {
  if (wait_status_ == -1) return "the process that guards it was killed";
  if (WIFEXITED(wait_status_)) return absl::StrCat("exit status ", WEXITSTATUS(wait_status_));
  const int number = WTERMSIG(wait_status_);
  const char* name = sigdescr_np(number);
  return absl::StrCat("signal ", number, " (", name != nullptr ? name : "unknown", ")");
}

void GuardedProcess::Finish(int patience_ms) {
  if (guard_ == 0) return;
  input_.Close();
  output_.Close();
  pollfd watched = {guard_socket_.get(), POLLIN, 0};
  while (poll(&watched, 1, patience_ms) < 0 && errno == EINTR) continue;
  End();
}

}  // namespace hone
