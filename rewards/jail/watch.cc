// Process 1 of the room: starts the program, adopts and buries orphans, and looks every few milliseconds at what all processes together use.
// The kernel's own limits hold for each process alone (setrlimit(2)); the sums are kept here. proc(5): /proc/PID/stat, /proc/PID/status.
#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "rewards/jail/plan.h"

namespace hone::jail {
namespace {

constexpr long kTickMs = 5;
constexpr int kOpenFiles = 128;
constexpr size_t kMaxFilter = 4096;   // instructions, the kernel's own limit
constexpr unsigned kCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC; absent from older headers

// What all processes inside use together.
struct Use {
  long cpu_ms = 0;
  long memory_kb = 0;
  int processes = 0;  // and threads; without this process
};

long NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

long Milliseconds(const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; }

void Limit(decltype(RLIMIT_CPU) resource, rlim_t value, const char* name) {
  const rlimit limit = {value, value};
  if (setrlimit(resource, &limit) != 0) Fail(name);
}

void SetLimits(const Plan& plan, rlim_t processes) {
  Limit(RLIMIT_AS, plan.address_space, "address space limit");
  Limit(RLIMIT_STACK, plan.stack, "stack limit");
  Limit(RLIMIT_FSIZE, plan.file_bytes, "file size limit");
  Limit(RLIMIT_NOFILE, kOpenFiles, "open files limit");
  Limit(RLIMIT_CPU, static_cast<rlim_t>(plan.cpu_ms / 1000 + 1), "processor time limit");
  Limit(RLIMIT_MEMLOCK, 0, "locked memory limit");
  Limit(RLIMIT_MSGQUEUE, 0, "message queue limit");
  // 1 means no dump to a file and none to a pipe; with 0 the kernel would still start the host's crash reporter.
  Limit(RLIMIT_CORE, 1, "core limit");
  if (plan.open == nullptr) Limit(RLIMIT_NPROC, processes, "process limit");
}

void InstallFilter(int fd) {
  static sock_filter filter[kMaxFilter];
  const ssize_t bytes = pread(fd, filter, sizeof filter, 0);
  if (bytes <= 0) Fail("seccomp filter");
  sock_fprog program = {static_cast<unsigned short>(static_cast<size_t>(bytes) / sizeof(sock_filter)), filter};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) Fail("seccomp");
}

// Descriptors 3 and 4 become what `keep` names; everything above closes at exec.
void ArrangeDescriptors(const Plan& plan) {
  int moved[2] = {-1, -1};
  for (size_t at = 0; at < plan.keep.size() && at < 2; ++at) moved[at] = fcntl(plan.keep[at], F_DUPFD, 64);
  // The report's own descriptor moves up, so that a failing exec can still be told.
  report_fd = fcntl(kReport, F_DUPFD_CLOEXEC, 64);
  if (syscall(SYS_close_range, 3, ~0U, kCloseOnExec) != 0) Fail("close_range");
  for (int at = 0; at < 2; ++at) {
    if (moved[at] >= 0 && dup2(moved[at], 3 + at) < 0) Fail("dup2");
  }
}

[[noreturn]] void ExecProgram(const Plan& plan, rlim_t processes) {
  static char path[] = "PATH=/python/bin:/usr/local/bin:/usr/bin:/bin", home[] = "HOME=/tmp", tmp[] = "TMPDIR=/tmp";
  static char language[] = "LANG=C.UTF-8", libraries[] = "LD_LIBRARY_PATH=/python/lib";
  // The order of a Python set must not differ between two runs of one program.
  static char hash[] = "PYTHONHASHSEED=0", bytecode[] = "PYTHONDONTWRITEBYTECODE=1";
  static char arenas[] = "MALLOC_ARENA_MAX=2", omp[] = "OMP_NUM_THREADS=1", blas[] = "OPENBLAS_NUM_THREADS=1";
  static char* walled[] = {path, home, tmp, language, hash, bytecode, arenas, omp, blas, libraries, nullptr};
  static char* open_room[] = {path, home, tmp, language, hash, bytecode, arenas, omp, blas, nullptr};

  for (int signal_number = 1; signal_number < NSIG; ++signal_number) signal(signal_number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  umask(022);
  SetLimits(plan, processes);
  ArrangeDescriptors(plan);
  if (plan.seccomp >= 0) InstallFilter(plan.seccomp);
  execve(plan.command[0], plan.command, plan.open != nullptr ? open_room : walled);
  Fail("exec");
}

// Reads a file of /proc whole; false when the process has just gone.
bool ReadProc(const char* pid, const char* name, char* text, size_t size) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t bytes = read(fd, text, size - 1);
  close(fd);
  if (bytes <= 0) return false;
  text[bytes] = '\0';
  return true;
}

long Field(const char* status, const char* name) {
  const char* at = std::strstr(status, name);
  return at == nullptr ? 0 : std::strtol(at + std::strlen(name), nullptr, 10);
}

// Processor time of a process and of the children that it has waited for: fields 14 to 17 of /proc/PID/stat.
long CpuMs(const char* stat) {
  const char* at = std::strrchr(stat, ')');  // the name before it may hold anything
  if (at == nullptr) return 0;
  long ticks[4] = {};
  std::sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld", &ticks[0], &ticks[1], &ticks[2],
              &ticks[3]);
  return (ticks[0] + ticks[1] + ticks[2] + ticks[3]) * 1000 / sysconf(_SC_CLK_TCK);
}

Use Look(DIR* proc) {
  Use use;
  rusage buried;
  getrusage(RUSAGE_CHILDREN, &buried);
  use.cpu_ms = Milliseconds(buried.ru_utime) + Milliseconds(buried.ru_stime);
  if (proc == nullptr) return use;
  rewinddir(proc);
  while (const dirent* entry = readdir(proc)) {
    const char* pid = entry->d_name;
    if (pid[0] < '1' || pid[0] > '9' || std::strcmp(pid, "1") == 0) continue;
    char text[4096];
    if (ReadProc(pid, "stat", text, sizeof text)) use.cpu_ms += CpuMs(text);
    if (ReadProc(pid, "status", text, sizeof text)) {
      use.processes += static_cast<int>(Field(text, "Threads:"));
      use.memory_kb +=
          Field(text, "RssAnon:") + Field(text, "RssShmem:") + Field(text, "VmPTE:") + Field(text, "VmSwap:");
    }
  }
  struct statfs tmp;
  if (statfs("/tmp", &tmp) == 0) {
    use.memory_kb += static_cast<long>((tmp.f_blocks - tmp.f_bfree) * static_cast<unsigned long>(tmp.f_bsize) / 1024);
  }
  return use;
}

// Milliseconds that the program was ready and no processor was free: field 2 of /proc/PID/schedstat, in nanoseconds. Its share, because
// the others that it waited for may be its own.
long StarvedMs(pid_t program, int processes) {
  char pid[16], text[128];
  std::snprintf(pid, sizeof pid, "%d", program);
  unsigned long long waited = 0;
  if (!ReadProc(pid, "schedstat", text, sizeof text) || std::sscanf(text, "%*u %llu", &waited) != 1) return 0;
  return static_cast<long>(waited / 1000000) / (processes > 1 ? processes : 1);
}

// Without a process namespace nothing ends them for us. Orphans come to us, a subreaper; each round ends those that are known by then.
void EndChildren() {
  char path[64], text[4096];
  std::snprintf(path, sizeof path, "%d", getpid());
  for (int round = 0; round < 1000; ++round) {
    char name[64];
    std::snprintf(name, sizeof name, "task/%d/children", getpid());
    if (!ReadProc(path, name, text, sizeof text)) return;
    for (char* at = text; *at != '\0';) {
      const long child = std::strtol(at, &at, 10);
      if (child <= 1) break;
      kill(static_cast<pid_t>(child), SIGKILL);
      while (*at == ' ') ++at;
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    usleep(1000);
  }
}

[[noreturn]] void Report(const Plan& plan, const char* ending, long value, const Use& use, long peak_kb,
                         long started_ms) {
  dprintf(report_fd, "%s %ld cpu %ld wall %ld peak %ld\n", ending, value, use.cpu_ms, NowMs() - started_ms, peak_kb);
  if (plan.open != nullptr) EndChildren();
  _exit(0);
}

// Buries whoever has ended; true when the program is among them, with its status.
bool Bury(pid_t program, int& status) {
  bool ended = false;
  for (int each;;) {
    const pid_t pid = waitpid(-1, &each, WNOHANG | __WALL);
    if (pid <= 0) return ended;
    if (pid != program) continue;
    ended = true;
    status = each;
  }
}

}  // namespace

void RunProgram(const Plan& plan, bool has_proc) {
  // Without sight of the processes their number must keep the sum small.
  const rlim_t processes = has_proc || plan.processes < 6 ? plan.processes : 6;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  DIR* proc = has_proc ? opendir("/proc") : nullptr;
  const long started_ms = NowMs();
  const pid_t program = fork();
  if (program < 0) Fail("fork");
  if (program == 0) ExecProgram(plan, processes);
  for (int fd = 0; fd < 3; ++fd) close(fd);
  for (const int fd : plan.keep) close(fd);

  long peak_kb = 0;
  while (true) {
    const timespec tick = {0, kTickMs * 1000000};
    sigtimedwait(&child, nullptr, &tick);
    int status = 0;
    const bool ended = Bury(program, status);
    const Use use = Look(ended ? nullptr : proc);
    if (use.memory_kb > peak_kb) peak_kb = use.memory_kb;
    const auto report = [&](const char* ending, long value) { Report(plan, ending, value, use, peak_kb, started_ms); };
    if (ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) report("cpu", plan.cpu_ms);
    if (use.cpu_ms > plan.cpu_ms) report("cpu", plan.cpu_ms);
    if (ended && WIFSIGNALED(status)) report("signal", WTERMSIG(status));
    if (ended) report("exit", WEXITSTATUS(status));
    if (static_cast<rlim_t>(use.memory_kb) > plan.memory / 1024) report("memory", static_cast<long>(plan.memory >> 20));
    if (static_cast<rlim_t>(use.processes) > processes + 8) report("processes", static_cast<long>(processes));
    if (NowMs() - started_ms > plan.wall_ms) report("wall", StarvedMs(program, use.processes));
  }
}

}  // namespace hone::jail
