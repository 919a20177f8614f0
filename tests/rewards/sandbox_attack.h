// Runs an attack, a Python program, in the sandbox, and sees to it that it ran and left nothing behind.
#pragma once

#include <gmock/gmock.h>

#include <optional>
#include <vector>

#include "rewards/sandbox.h"
#include "tests/rewards/sandbox_testing.h"

namespace hone {

inline constexpr char kMarker[] = "hone-attack-marker";
inline constexpr char kSecret[] = "the-canary-sings";

// Stands before every program: `tried(what, f)` prints how an attempt ended.
inline constexpr char kPrelude[] = R"py(
import ctypes, errno, os, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def tried(what, f):
    try:
        got = f()
        print(what, "GOT", repr(got)[:200], flush=True)
    except OSError as error:
        print(what, "refused", errno.errorcode.get(error.errno, error.errno), flush=True)
    except Exception as error:
        print(what, "failed", type(error).__name__, flush=True)
def syscall(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
def read(path):
    with open(path, "rb") as file:
        return file.read(1000)
print("attack runs", flush=True)
)py";

class SandboxAttack : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("HONE_CANARY", kSecret, 1);
    auto opened = Sandbox::Open({});
    if (opened.ok()) {
      sandbox_ = opened->release();
    } else {
      why_ = std::string(opened.status().message());
    }
  }
  static void TearDownTestSuite() {
    delete sandbox_;
    sandbox_ = nullptr;
  }
  void SetUp() override {
    if (sandbox_ == nullptr) {
      // What a machine without a sandbox must say: why, and what to do.
      EXPECT_THAT(why_, ::testing::HasSubstr("remedy: "));
      if (!MaySkip()) FAIL() << "no sandbox here: " << why_;
      GTEST_SKIP() << "no sandbox here: " << why_;
    }
    if (sandbox_->python().empty()) {
      if (!MaySkip()) FAIL() << "no Python here";
      GTEST_SKIP() << "no Python here";
    }
    limits_.cpu_s = 2;
    limits_.wall_s = 60;
    limits_.memory_bytes = int64_t{256} << 20;
    limits_.tmp_bytes = int64_t{32} << 20;
    std::ofstream(Canary()) << kSecret;
    before_.emplace();
  }
  void TearDown() override {
    if (!before_) return;
    ExpectUnchanged(*before_);
    EXPECT_EQ(CountProcesses(kMarker), 0);
    EXPECT_EQ(ReadAll(Canary()), kSecret);
    std::filesystem::remove(Canary());
  }

  static std::string Canary() { return (std::filesystem::current_path() / "canary").string(); }

  // Runs the attack and returns what it printed.
  SandboxResult Attack(const std::string& program, std::vector<std::string> arguments = {}) {
    const std::string text = kPrelude + program;
    SandboxRun run;
    run.command = {sandbox_->python(), "../work/attack.py", kMarker, Canary()};
    run.command.insert(run.command.end(), arguments.begin(), arguments.end());
    run.files = {{"attack.py", text}};
    run.limits = limits_;
    const auto result = sandbox_->Run(run);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    EXPECT_THAT(result->output, ::testing::HasSubstr("attack runs")) << result->errors;
    EXPECT_THAT(result->output, ::testing::Not(::testing::HasSubstr(kSecret)));
    EXPECT_THAT(result->output, ::testing::Not(::testing::HasSubstr("GOT"))) << "an attempt succeeded";
    return *result;
  }

  static inline Sandbox* sandbox_ = nullptr;
  static inline std::string why_;
  SandboxLimits limits_;
  std::optional<HostState> before_;
};

}  // namespace hone
