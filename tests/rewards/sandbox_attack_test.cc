// The attack table, first half: what a tested program may try in order to use up the machine or to outlive its run. Every attack says that it
// ran, fails at what it wants, and leaves no process, mount, file or descriptor behind. The other half: sandbox_escape_test.cc; attacks on the
// verdict: code_forgery_test.cc.
// ctest: TIMEOUT 600
#include "tests/rewards/sandbox_attack.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

namespace hone {
namespace {

using Ending = SandboxResult::Ending;
using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST_F(SandboxAttack, ForkBomb) {
  const SandboxResult result = Attack(R"py(
while True:
    try:
        os.fork()
    except OSError as error:
        os.write(1, b"fork refused\n")
)py");
  // The kernel refuses, or where it does not count (root as itself in a container) everything ends.
  if (result.ending != Ending::kProcesses) {
    EXPECT_THAT(result.output.substr(0, 100000), HasSubstr("fork refused"));
  }
  EXPECT_THAT(result.ending, AnyOf(Ending::kCpu, Ending::kProcesses, Ending::kWall, Ending::kOutput))
      << result.Describe(limits_);
}

TEST_F(SandboxAttack, ZombieFlood) {
  const SandboxResult result = Attack(R"py(
made = 0
try:
    while made < 100000:
        if os.fork() == 0:
            os._exit(0)
        made += 1
except OSError:
    print("stopped", flush=True)
)py");
  if (result.ending == Ending::kProcesses) return;
  EXPECT_THAT(result.output, HasSubstr("stopped"));
  EXPECT_TRUE(result.Succeeded()) << result.Describe(limits_);
}

TEST_F(SandboxAttack, ThreadBomb) {
  const SandboxResult result = Attack(R"py(
import threading
made = 0
try:
    while made < 100000:
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        made += 1
except RuntimeError:
    print("stopped at fewer than 40:", made < 40, flush=True)
)py");
  EXPECT_THAT(result.output, HasSubstr("stopped at fewer than 40: True"));  // the kernel's count, or the address space
}

TEST_F(SandboxAttack, MemoryBombOfOneProcess) {
  const SandboxResult result = Attack("kept = []\nwhile True: kept.append(b'x' * (1 << 20))\n");
  EXPECT_EQ(result.ending, Ending::kMemory) << result.Describe(limits_) << result.errors;
  EXPECT_LT(result.peak_memory_bytes, 2 * limits_.memory_bytes);
}

TEST_F(SandboxAttack, MemoryBombOfOneLargePiece) {
  const SandboxResult result = Attack("kept = bytearray(3 << 30)\n");
  EXPECT_THAT(result.errors, HasSubstr("MemoryError"));
}

TEST_F(SandboxAttack, MemoryBombOfManyProcesses) {
  const SandboxResult result = Attack(R"py(
for child in range(12):
    if os.fork() == 0:
        kept = b"x" * (50 << 20)
        time.sleep(100)
time.sleep(100)
)py");
  EXPECT_EQ(result.ending, Ending::kMemory) << result.Describe(limits_);
}

TEST_F(SandboxAttack, MemoryThatNoProcessOwns) {
  const SandboxResult result = Attack(R"py(
import mmap
tried("memfd", lambda: os.memfd_create("x"))
tried("shared", lambda: mmap.mmap(-1, 1 << 20))
tried("shmget", lambda: syscall(29, 1, 1 << 20, 0o1600))
tried("msgget", lambda: syscall(68, 1, 0o1600))
tried("zero", lambda: os.open("/dev/zero", os.O_RDWR))
)py");
  EXPECT_THAT(result.output, HasSubstr("shared refused ENOMEM"));
  EXPECT_TRUE(result.Succeeded());
}

TEST_F(SandboxAttack, DiskBomb) {
  const SandboxResult result = Attack(R"py(
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
written, ended = 0, set()
for number in range(20000):
    try:
        with open(f"/tmp/file{number}", "wb") as file:
            for _ in range(8):
                written += file.write(b"x" * (1 << 20))
    except OSError as error:
        ended.add(errno.errorcode[error.errno])
        break
for number in range(50000):
    try:
        os.close(os.open(f"/tmp/empty{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        break
print("ended", ended, written <= 40 << 20, number < 10000)
)py");
  EXPECT_THAT(result.output, HasSubstr("ended {'ENOSPC'} True True")) << result.errors;
}

TEST_F(SandboxAttack, Sleep) {
  limits_.wall_s = 2;
  EXPECT_EQ(Attack("time.sleep(1000)\n").ending, Ending::kWall);
}

TEST_F(SandboxAttack, StopsItself) {
  limits_.wall_s = 2;
  EXPECT_EQ(Attack("os.kill(os.getpid(), signal.SIGSTOP)\n").ending, Ending::kWall);
}

TEST_F(SandboxAttack, BusyLoopThatIgnoresSignals) {
  const SandboxResult result = Attack(R"py(
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
)py");
  EXPECT_EQ(result.ending, Ending::kCpu);
}

TEST_F(SandboxAttack, BusyLoopsOfManyProcesses) {
  const SandboxResult result = Attack("for child in range(4): os.fork()\nwhile True: pass\n");
  EXPECT_EQ(result.ending, Ending::kCpu);  // of all together: 2 s are over before 2 s have passed
}

TEST_F(SandboxAttack, EndlessOutput) {
  const SandboxResult result = Attack("while True: os.write(1, b'x' * 65536)\n");
  EXPECT_EQ(result.ending, Ending::kOutput);
  EXPECT_EQ(static_cast<int64_t>(result.output.size()), limits_.output_bytes);
}

TEST_F(SandboxAttack, EndlessErrors) {
  limits_.wall_s = 4;
  const SandboxResult result = Attack("while True: os.write(2, b'x' * 65536)\n");
  EXPECT_THAT(result.ending, AnyOf(Ending::kCpu, Ending::kWall));
  EXPECT_LE(result.errors.size(), 8192u);
}

TEST_F(SandboxAttack, DaemonThatOutlives) {
  const SandboxResult result = Attack(R"py(
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        print("daemon lives", flush=True)
        os.close(1); os.close(2)
        time.sleep(1000)
    os._exit(0)
time.sleep(0.3)
)py");
  EXPECT_TRUE(result.Succeeded());
  EXPECT_THAT(result.output, HasSubstr("daemon lives"));
}

TEST_F(SandboxAttack, SignalsToEveryone) {
  const SandboxResult result = Attack(R"py(
host = int(sys.argv[3])
if os.path.exists(f"/proc/{host}"): host = 1 << 21
for pid in [host, host + 1, os.getpgid(0) + 100000]:
    tried("kill host", lambda: os.kill(pid, signal.SIGKILL))
for number in [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD]:
    os.kill(1, number)
    os.kill(os.getppid(), number)
if os.fork() == 0:
    time.sleep(100)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(-1, signal.SIGTERM)
os.kill(-1, signal.SIGKILL)
print("still here", flush=True)
time.sleep(0.2)
)py",
                                      {std::to_string(getpid())});
  EXPECT_THAT(result.output, HasSubstr("kill host refused ESRCH"));
  EXPECT_THAT(result.output, HasSubstr("still here"));
  EXPECT_TRUE(result.Succeeded()) << result.Describe(limits_);
}

// Hone itself dies, by a signal that nothing can catch: what it had started dies too.
TEST_F(SandboxAttack, OutlivesHone) {
  const std::string program = std::string(kPrelude) + "if os.fork() == 0: os.setsid()\ntime.sleep(1000)\n";
  const pid_t hone = fork();
  if (hone == 0) {
    SandboxRun run;
    run.command = {sandbox_->python(), "../work/attack.py", kMarker};
    run.files = {{"attack.py", program}};
    run.limits.wall_s = 1000;
    (void)sandbox_->Run(run);
    _exit(0);
  }
  const auto wait_for = [](auto condition) {
    for (int round = 0; round < 600 && !condition(); ++round)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return condition();
  };
  EXPECT_TRUE(wait_for(
      [] { return CountProcesses(std::string("attack.py") + '\0' + kMarker) >= 3; }));  // jail's own, program, child
  kill(hone, SIGKILL);
  waitpid(hone, nullptr, 0);
  EXPECT_TRUE(wait_for([] { return CountProcesses(kMarker) == 0; }));
}

}  // namespace
}  // namespace hone
