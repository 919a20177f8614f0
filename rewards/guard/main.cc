// hone-guard: runs one command and sees to it that nothing of it outlives its use.
//
//   hone-guard PROGRAM ARGUMENT...       PROGRAM "@4" is the file behind descriptor 4
//
// A process group does not hold a child that called setsid, and the death of a parent tells nobody. So the guard is the "subreaper"
// (https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html) of all that the command starts: whoever loses its
// parent becomes the guard's own child, and when the guard has no child left, nothing of the command is left. The guard holds one end of a
// socket; its other end closes with Hone, however Hone ends, and then the guard kills.
//
// Descriptors: 0, 1, 2 are the command's; 3 is the socket. The guard writes the command's wait status (an int) to it when the command
// ends, kills what the command left behind, and ends; whoever reads the socket then meets its end. The guard ends the command
// when the socket is closed from the other side, or anything comes through it.
//
// The program is small, links only the C library and starts in a millisecond; Hone carries it inside (rewards/embedded.h).
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

namespace {

constexpr int kSocket = 3;
constexpr int kProgram = 4;
constexpr int kNotFound = 127;      // as a shell says it
constexpr int kKillTimeMs = 10000;  // for processes that even SIGKILL does not end at once (a hung disk)

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

// The command's side of fork. It has a session of its own: a Ctrl-C at the terminal is Hone's to handle.
[[noreturn]] void RunCommand(char** arguments, const sigset_t& signals) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // should somebody kill the guard itself
  setsid();
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  if (strcmp(arguments[0], "@4") == 0) {
    fexecve(kProgram, arguments, environ);
  } else {
    execvp(arguments[0], arguments);
  }
  dprintf(STDERR_FILENO, "cannot run %s: %s\n", arguments[0], strerror(errno));
  _exit(kNotFound);
}

// The parent of process `pid`, from "PID (NAME) STATE PARENT ..."; NAME may hold anything, so the last ')' counts.
pid_t ParentOf(const char* pid) {
  char path[64], line[512];
  snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t got = read(file, line, sizeof(line) - 1);
  close(file);
  if (got <= 0) return 0;
  line[got] = 0;
  const char* end = strrchr(line, ')');
  int parent = 0;
  return end != nullptr && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

// Kills the children, not their children: a child's number cannot pass to a stranger before the guard has waited for it, and
// grandchildren are children in the next round.
void KillChildren() {
  DIR* processes = opendir("/proc");
  if (processes == nullptr) return;
  const pid_t self = getpid();
  while (const dirent* entry = readdir(processes)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || ParentOf(entry->d_name) != self) continue;
    kill(static_cast<pid_t>(atoi(entry->d_name)), SIGKILL);
  }
  closedir(processes);
}

// Waits for every child that has ended; true when there are no others. The command's status goes to the socket.
bool Reap(pid_t command) {
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) return true;
    if (ended == 0) return false;
    if (ended == command) (void)!write(kSocket, &status, sizeof(status));  // perhaps nobody listens any more
  }
}

void KillAll(pid_t command) {
  kill(-command, SIGKILL);  // the whole session at once; the rounds find the others
  const int64_t start = NowMs();
  int pause_ms = 1;
  while (!Reap(command) && NowMs() - start < kKillTimeMs) {
    KillChildren();
    usleep(static_cast<useconds_t>(pause_ms) * 1000);
    if (pause_ms < 50) pause_ms *= 2;
  }
}

// Returns when the command has ended or is to end.
void Watch(pid_t command, int signals) {
  pollfd watched[2] = {{kSocket, POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
    if (watched[0].revents != 0) return;
    if (watched[1].revents == 0) continue;
    signalfd_siginfo info;
    if (read(signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo != SIGCHLD) return;
    siginfo_t ended = {};
    // Orphans are waited for at once, so that they do not pile up; the command itself is left for Reap.
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0) {
      if (ended.si_pid == command) return;
      waitpid(ended.si_pid, nullptr, 0);
      ended = {};
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  syscall(SYS_close_range, kProgram + 1, ~0U, 0);  // what others in Hone forgot to close
  fcntl(kSocket, F_SETFD, FD_CLOEXEC);
  fcntl(kProgram, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_NAME, "hone-guard");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    dprintf(STDERR_FILENO, "cannot become a subreaper: %s\n", strerror(errno));
    return kNotFound;
  }
  sigset_t wanted, before;
  sigemptyset(&wanted);
  constexpr int kWatched[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
  for (const int number : kWatched) sigaddset(&wanted, number);
  sigprocmask(SIG_BLOCK, &wanted, &before);
  signal(SIGPIPE, SIG_IGN);
  const int signals = signalfd(-1, &wanted, SFD_CLOEXEC);
  const pid_t command = fork();
  if (command == 0) {
    signal(SIGPIPE, SIG_DFL);
    RunCommand(argv + 1, before);
  }
  if (command < 0) {
    dprintf(STDERR_FILENO, "cannot start a process: %s\n", strerror(errno));
    return kNotFound;
  }
  // The command's pipes are to end with the command.
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard <= 2; ++standard) dup2(nothing, standard);
  Watch(command, signals);
  KillAll(command);
  return 0;
}
