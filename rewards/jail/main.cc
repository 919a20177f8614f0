// The program between Hone and a tested program. Hone starts it for every run, and it costs a few milliseconds; it is small and separate because
// forking a training process copies the page tables of gigabytes and because what it becomes must not share memory with Hone.
//
//   hone --spawns--> jail --clone, new namespaces--> init (process 1 inside) --fork--> the tested program
//
// The jail stays outside and holds both ends of the rope: when Hone closes the lifeline, or dies, it kills init; when it dies itself,
// the kernel kills init. With process 1 of a process namespace the kernel ends all others, whatever sessions they have made.
// namespaces(7), user_namespaces(7), pid_namespaces(7).
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "rewards/jail/plan.h"

namespace hone::jail {

int report_fd = kReport;

void Fail(const char* what) {
  const int error = errno;
  dprintf(report_fd, "setup %s %d\n", what, error);
  _exit(1);
}

namespace {

constexpr unsigned long kNamespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

Plan ReadPlan(int argc, char** argv) {
  Plan plan;
  int at = 1;
  const auto next = [&]() -> char* {
    if (at >= argc) Fail("arguments");
    return argv[at++];
  };
  const auto number = [&] { return std::strtoull(next(), nullptr, 10); };
  while (true) {
    const char* key = next();
    const auto is = [key](const char* name) { return std::strcmp(key, name) == 0; };
    if (is("--")) break;
    if (is("bind")) {
      const char* source = next();
      plan.binds.push_back({source, next() + 1});
    } else if (is("link")) {
      const char* text = next();
      plan.links.push_back({text, next() + 1});
    } else if (is("file")) {
      const int fd = static_cast<int>(number());
      const bool program = std::strcmp(next(), "program") == 0;
      plan.files.push_back({fd, program, next() + 1});
    } else if (is("keep")) {
      plan.keep.push_back(static_cast<int>(number()));
    } else if (is("seccomp")) {
      plan.seccomp = static_cast<int>(number());
    } else if (is("open")) {
      plan.open = next();
    } else if (is("cpu_ms")) {
      plan.cpu_ms = static_cast<long>(number());
    } else if (is("wall_ms")) {
      plan.wall_ms = static_cast<long>(number());
    } else if (is("memory")) {
      plan.memory = number();
    } else if (is("address_space")) {
      plan.address_space = number();
    } else if (is("stack")) {
      plan.stack = number();
    } else if (is("tmp_bytes")) {
      plan.tmp_bytes = number();
    } else if (is("file_bytes")) {
      plan.file_bytes = number();
    } else if (is("processes")) {
      plan.processes = number();
    } else {
      errno = EINVAL;
      Fail("arguments");
    }
  }
  if (at >= argc) Fail("arguments");
  plan.command = argv + at;
  return plan;
}

// Returns 0, or the error that the kernel gave.
int WriteTo(pid_t child, const char* name, const char* text) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", child, name);
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = write(fd, text, std::strlen(text)) < 0 ? errno : 0;
  close(fd);
  return error;
}

// Root maps the outer nobody, so that the program owns none of root's files and the kernel counts its processes (it counts none of
// root's). Who may map only himself, does that.
void MapUsers(pid_t child) {
  char map[64];
  std::snprintf(map, sizeof map, "%d %d 1\n", kNobody, kNobody);
  if (geteuid() == 0 && WriteTo(child, "uid_map", map) == 0 && WriteTo(child, "gid_map", map) == 0) return;
  std::snprintf(map, sizeof map, "%d %d 1\n", kNobody, geteuid());
  const int error = WriteTo(child, "uid_map", map);
  if ((errno = error) != 0) Fail("uid_map");
  if ((errno = WriteTo(child, "setgroups", "deny")) != 0 && errno != ENOENT) Fail("setgroups");
  std::snprintf(map, sizeof map, "%d %d 1\n", kNobody, getegid());
  if ((errno = WriteTo(child, "gid_map", map)) != 0) Fail("gid_map");
}

// Waits for init's end; a closed lifeline brings it about. When this returns, every process inside is gone.
void Guard(pid_t init, int init_fd) {
  pollfd waits[] = {{init_fd, POLLIN, 0}, {kLifeline, POLLIN, 0}};
  while (poll(waits, 2, -1) < 0 && errno == EINTR) continue;
  if (waits[1].revents != 0) kill(init, SIGKILL);
  int status = 0;
  while (waitpid(init, &status, __WALL) < 0 && errno == EINTR) continue;
  if (WIFSIGNALED(status)) dprintf(report_fd, "lost %d\n", WTERMSIG(status));
}

pid_t CloneWith(unsigned long flags, int* pid_fd) {
  return static_cast<pid_t>(syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, nullptr, pid_fd, nullptr, nullptr));
}

[[noreturn]] void Init(Plan& plan, int ready) {
  char byte;
  if (read(ready, &byte, 1) != 1) _exit(1);
  close(ready);
  if (plan.open != nullptr) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) Fail("subreaper");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    WriteFiles(plan, plan.open);
    if (chdir(plan.open) != 0 || chdir("tmp") != 0) Fail("chdir");
    RunProgram(plan, false);
  }
  TakeTrees(plan);
  const bool has_proc = BuildRoom(plan);
  DropRights();
  // After the change of user, which resets it. A jail that died before this has closed our lifeline's only other guard, hence the look.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail("parent death signal");
  pollfd lifeline = {kLifeline, POLLIN, 0};
  if (poll(&lifeline, 1, 0) != 0) _exit(1);
  RunProgram(plan, has_proc);
}

int Main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  fcntl(kReport, F_SETFD, FD_CLOEXEC);
  fcntl(kLifeline, F_SETFD, FD_CLOEXEC);
  Plan plan = ReadPlan(argc, argv);
  setsid();  // Ctrl-C at Hone's terminal is Hone's to act on
  // When memory runs out all over the machine, the kernel takes what runs in here.
  WriteTo(getpid(), "oom_score_adj", "1000");
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) Fail("pipe");
  int init_fd = -1;
  const pid_t init = CloneWith(plan.open != nullptr ? 0 : kNamespaces, &init_fd);
  if (init < 0) Fail("namespaces");
  if (init == 0) {
    close(ready[1]);
    Init(plan, ready[0]);
  }
  close(ready[0]);
  if (plan.open == nullptr) MapUsers(init);
  if (write(ready[1], "1", 1) != 1) Fail("start");
  // Only init and the program hold the output's ends from here on, so that Hone sees them close.
  for (int fd = 0; fd < 3; ++fd) close(fd);
  Guard(init, init_fd);
  return 0;
}

}  // namespace
}  // namespace hone::jail

int main(int argc, char** argv) { return hone::jail::Main(argc, argv); }
