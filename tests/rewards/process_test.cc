// The fault table of foreign verifiers: whatever one sample does to its worker, the others get their verdicts, it gets none, the counts
// are right, and no process is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rewards/verifier.h"
#include "rewards/verifier_log.h"
#include "rewards/verify_pool.h"

namespace hone {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Scores a completion by its length; "fault:NAME" does to its own process what NAME says. The last argument marks all processes of a test.
constexpr char kVerifier[] = R"py(
import json, os, signal, sys, time

def answer(id, **verdict):
    print(json.dumps({"id": id, **verdict}), flush=True)

def child(*, session):
    if os.fork() == 0:
        if session:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execvp("python3", ["python3", "-c", "import time; time.sleep(1000)", sys.argv[1] + "-child"])

def fault(name, id):
    if name == "die": os._exit(3)
    if name == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
    if name == "raise": raise ValueError("no such thing")
    if name == "hang": time.sleep(1000)
    if name == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)
    if name == "fork": child(session=False); time.sleep(1000)
    if name == "daemon": child(session=True); answer(id, score=1)
    if name == "daemon_die": child(session=True); time.sleep(0.1); os._exit(4)
    if name == "garbage": print("this is no answer", flush=True)
    if name == "half_die": sys.stdout.write('{"id": %d, "sc' % id); sys.stdout.flush(); os._exit(0)
    if name == "half_hang": sys.stdout.write('{"id": %d, "sc' % id); sys.stdout.flush(); time.sleep(1000)
    if name == "long": sys.stdout.write("x" * 100_000_000 + "\n"); sys.stdout.flush()
    if name == "wrong_id": answer(id + 1, score=1)
    if name == "twice": answer(id, score=1); answer(id, score=0)
    if name == "late": time.sleep(3); answer(id, score=1)
    if name == "close_stdin": os.close(0); time.sleep(1000)
    if name == "close_stdout": os.close(1); time.sleep(1000)
    if name == "kill_guard": os.kill(os.getppid(), signal.SIGKILL); time.sleep(1000)
    if name == "stderr": sys.stderr.write(("y" * 999 + "\n") * 20_000); answer(id, score=1)
    if name == "blank": print("\n  \n", flush=True); answer(id, score=1)
    if name == "error": answer(id, error="cannot say")
    if name == "no_id": print('{"score": 1}', flush=True)
    if name == "text_id": answer(str(id), score=1)
    if name.startswith("raw:"): print(name[4:].replace("ID", str(id)), flush=True)

for line in sys.stdin:
    sample = json.loads(line)
    completion = sample["completion"]
    if completion.startswith("fault:"):
        fault(completion[6:].rstrip(" "), sample["id"])
    else:
        answer(sample["id"], score=len(completion), parts={"even": 1 - len(completion) % 2})
)py";

std::unique_ptr<Verifier> Process(const std::string& command, const std::string& options) {
  std::string quoted;
  for (const char c : command)
    quoted += c == '"' || c == '\\' ? absl::StrCat("\\", std::string(1, c)) : std::string(1, c);
  Spec spec = Spec::Parse(absl::StrCat("process(command=\"", quoted, "\", ", options, ")")).value();
  auto verifier = NewProcessVerifier(spec);
  EXPECT_TRUE(verifier.ok()) << verifier.status();
  return *std::move(verifier);
}

// Processes with `mark` in their command lines.
std::vector<std::string> ProcessesWith(const std::string& mark) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::ifstream file(entry.path() / "cmdline");
    std::stringstream line;
    line << file.rdbuf();
    if (line.str().find(mark) != std::string::npos) found.push_back(entry.path().filename());
  }
  return found;
}

class ProcessVerifierTest : public ::testing::Test {
 protected:
  ProcessVerifierTest() : mark_(absl::StrCat("hone-process-test-", getpid(), "-", ++count)) {
    std::ofstream("fake_verifier.py") << kVerifier;
    SendVerifierLogTo([this](const std::string& line) { log_.push_back(line); });
  }
  ~ProcessVerifierTest() override {
    verifier_.reset();
    EXPECT_THAT(ProcessesWith(mark_), IsEmpty());
    SendVerifierLogTo(nullptr);
  }

  void Start(const std::string& options) {
    verifier_ = Process(absl::StrCat("exec python3 fake_verifier.py ", mark_), options);
  }

  std::vector<Verdict> VerifyAll(const std::vector<std::string>& completions) {
    std::vector<Verdict> verdicts(completions.size());
    VerifyPool pool(verifier_.get(), {});
    for (size_t i = 0; i < completions.size(); ++i) {
      pool.Submit(&prompt_, completions[i], i, [&verdicts, i](const Verdict& verdict) { verdicts[i] = verdict; });
    }
    pool.Wait();
    stats_ = pool.stats();
    return verdicts;
  }

  // 150 samples of different lengths with the fault at three places; the lengths must come back. Gives the verdicts of the faults.
  std::vector<Verdict> VerifyAround(const std::string& fault) {
    std::vector<std::string> completions;
    for (size_t i = 0; i < 150; ++i) completions.push_back(std::string(i + 1, 'a'));
    for (const size_t place : {0, 70, 149}) completions[place] = "fault:" + fault;
    const std::vector<Verdict> verdicts = VerifyAll(completions);
    for (size_t i = 0; i < verdicts.size(); ++i) {
      if (completions[i].starts_with("fault:")) continue;
      EXPECT_EQ(verdicts[i].score, static_cast<double>(i + 1))
          << fault << ", sample " << i << ": " << verdicts[i].reason;
    }
    return {verdicts[0], verdicts[70], verdicts[149]};
  }

  double Counter(const std::string& name) const {
    for (const auto& [each, value] : verifier_->Counters()) {
      if (each == name) return value;
    }
    ADD_FAILURE() << "no counter " << name;
    return -1;
  }

  static inline int count = 0;
  const std::string mark_;
  const Prompt prompt_;
  std::vector<std::string> log_;
  std::unique_ptr<Verifier> verifier_;
  PoolStats stats_;
};

TEST_F(ProcessVerifierTest, AnswersPassThrough) {
  Start("workers=2");
  Prompt prompt;
  prompt.text = "a \"question\"\n\xFF";
  prompt.metadata = "{\n\"a\": 1}";
  const Verdict verdict = verifier_->Verify(prompt, "four");
  EXPECT_EQ(verdict.score, 4.0) << verdict.reason;
  EXPECT_EQ(verdict.parts, (std::vector<std::pair<std::string, double>>{{"even", 1}}));
  std::vector<std::string> completions;
  for (int i = 0; i < 3000; ++i)
    completions.push_back(std::string(i % 700, 'b') + std::string(i % 7, '\n') + "\xC3\xA9\"\\");
  const std::vector<Verdict> verdicts = VerifyAll(completions);
  for (size_t i = 0; i < verdicts.size(); ++i)
    ASSERT_EQ(verdicts[i].score, i % 700 + i % 7 + 3.0) << verdicts[i].reason;
  EXPECT_EQ(Counter("restarts"), 0);
  // Both workers had something to do, and run on between two pools.
  EXPECT_EQ(Counter("starts"), 2);
}

constexpr int kShortDeadlineMs = 1500;

// A fault that ends the worker: no verdict for the sample, with this reason, and one restart for each time the worker ended.
struct Fatal {
  const char* name;
  const char* reason;
  const char* counter;
};
class FatalFault : public ProcessVerifierTest, public ::testing::WithParamInterface<Fatal> {};

TEST_P(FatalFault, LeavesTheOthersTheirVerdicts) {
  // Only where the deadline is what counts it is short: the machine may be busy.
  const bool hangs = std::string(GetParam().counter) == "time_outs";
  const std::string deadline = absl::StrCat(", deadline_ms=", hangs ? kShortDeadlineMs : 60000);
  Start("workers=2" + deadline);
  // Samples that are alike share a verdict, so that the three faults are one.
  for (const Verdict& verdict : VerifyAround(GetParam().name)) {
    EXPECT_EQ(verdict.score, std::nullopt);
    EXPECT_THAT(verdict.reason, HasSubstr(GetParam().reason));
  }
  EXPECT_EQ(stats_.no_verdict, 3);
  EXPECT_EQ(stats_.verified, 148);
  EXPECT_EQ(Counter(GetParam().counter), 1);
  EXPECT_LE(Counter("restarts"), 1);  // none where the other worker did the rest
  EXPECT_THAT(ProcessesWith(mark_ + "-child"), IsEmpty());

  // The same worker, and a fault for each of its lives.
  Start("workers=1" + deadline);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(verifier_->Verify(prompt_, absl::StrCat("fault:", GetParam().name)).score, std::nullopt);
    EXPECT_EQ(verifier_->Verify(prompt_, "four").score, 4.0);
  }
  EXPECT_EQ(Counter(GetParam().counter), 2);
  EXPECT_EQ(Counter("restarts"), 2);
  EXPECT_THAT(ProcessesWith(mark_ + "-child"), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FatalFault,
    ::testing::Values(
        Fatal{"die", "died: exit status 3", "deaths"}, Fatal{"segfault", "died: signal 11", "deaths"},
        Fatal{"raise", "died: exit status 1: ValueError: no such thing", "deaths"},
        Fatal{"hang", "timed out: no answer within 1500 ms", "time_outs"}, Fatal{"deaf", "timed out", "time_outs"},
        Fatal{"fork", "timed out", "time_outs"}, Fatal{"daemon_die", "died: exit status 4", "deaths"},
        Fatal{"garbage", "answered 'this is no answer', which is no JSON object", "garbage"},
        Fatal{"half_die", "died: exit status 0, in the middle of an answer", "deaths"},
        Fatal{"half_hang", "timed out", "time_outs"}, Fatal{"long", "a line of more than 1048576 bytes", "garbage"},
        Fatal{"wrong_id", "which it was not asked", "garbage"}, Fatal{"late", "timed out", "time_outs"},
        Fatal{"no_id", "has no \"id\"", "garbage"}, Fatal{"text_id", "has no \"id\"", "garbage"},
        Fatal{"raw:[1]", "is no JSON object", "garbage"}, Fatal{"close_stdin", "closed its standard input", "deaths"},
        Fatal{"close_stdout", "closed its standard output", "deaths"},
        Fatal{"kill_guard", "the process that guards it was killed", "deaths"}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
      return name;
    });

// Answers that give no verdict, but after which the worker is as good as before.
TEST_F(ProcessVerifierTest, WrongScoresAreNoVerdict) {
  const std::map<std::string, std::string> cases = {
      {"error", "the verifier says: cannot say"},
      {R"(raw:{"id": ID, "score": NaN})", "NaN or infinite"},
      {R"(raw:{"id": ID, "score": Infinity})", "NaN or infinite"},
      {R"(raw:{"id": ID, "score": -Infinity, "reason": "NaN"})", "NaN or infinite"},
      {R"(raw:{"id": ID, "score": "1"})", "\"score\" is \"1\", wanted a finite number"},
      {R"(raw:{"id": ID, "score": true})", "\"score\" is true"},
      {R"(raw:{"id": ID, "score": null})", "\"score\" is null"},
      {R"(raw:{"id": ID, "score": [1]})", "\"score\" is [1]"},
      {R"(raw:{"id": ID})", "neither \"score\" nor \"error\""},
      {R"(raw:{"id": ID, "score": 1, "parts": [1]})", "\"parts\" is a value of type array"},
      {R"(raw:{"id": ID, "score": 1, "parts": {"a": NaN}})", "part 'a' is null"},
      {R"(raw:{"id": ID, "score": 1, "parts": {"a": "b"}})", "part 'a' is \"b\""},
      {R"(raw:{"id": ID, "error": {"why": 1}})", "the verifier says: {\"why\":1}"},
  };
  Start("workers=2");
  for (const auto& [fault, reason] : cases) {
    for (const Verdict& verdict : VerifyAround(fault)) {
      EXPECT_EQ(verdict.score, std::nullopt) << fault;
      EXPECT_THAT(verdict.reason, HasSubstr(reason)) << fault;
    }
  }
  EXPECT_EQ(Counter("restarts"), 0);
}

TEST_F(ProcessVerifierTest, OddButRightAnswersCount) {
  Start("workers=2");
  for (const char* fault :
       {"twice", "daemon", "blank", R"(raw:{"score": 1.0, "id": ID, "error": null, "parts": null, "x": [[]]})"}) {
    for (const Verdict& verdict : VerifyAround(fault)) EXPECT_EQ(verdict.score, 1.0) << fault << ": " << verdict.reason;
  }
  EXPECT_EQ(Counter("repeated_answers"), 1);
  EXPECT_EQ(Counter("restarts"), 0);
}

TEST_F(ProcessVerifierTest, AFloodOfErrorsFillsNoLog) {
  Start("workers=2");
  for (const Verdict& verdict : VerifyAround("stderr")) EXPECT_EQ(verdict.score, 1.0);
  verifier_.reset();
  ASSERT_FALSE(log_.empty());
  EXPECT_LT(log_.size(), 5000u);  // of 20,000
  EXPECT_THAT(log_[0], HasSubstr("process worker "));
  EXPECT_THAT(log_[0], HasSubstr(": yyyy"));
  EXPECT_THAT(log_.back(), HasSubstr("lines left out"));
}

// Every third sample kills its worker: who merely waited is asked again, as often as it takes.
TEST_F(ProcessVerifierTest, PoisonAmongGoodSamples) {
  Start("workers=2, in_flight=16");
  std::vector<std::string> completions;
  for (int i = 0; i < 60; ++i) {
    const std::string fault =
        absl::StrCat(i % 2 == 0 ? "fault:die" : "fault:garbage", std::string(i, ' '));  // no two alike
    completions.push_back(i % 3 == 1 ? fault : std::string(i, 'c'));
  }
  const std::vector<Verdict> verdicts = VerifyAll(completions);
  for (int i = 0; i < 60; ++i) {
    if (i % 3 == 1) {
      EXPECT_EQ(verdicts[i].score, std::nullopt);
    } else {
      EXPECT_EQ(verdicts[i].score, static_cast<double>(i)) << verdicts[i].reason;
    }
  }
  EXPECT_EQ(Counter("deaths"), 10);
  EXPECT_EQ(Counter("garbage"), 10);
  EXPECT_GT(Counter("asked_again"), 0);
}

TEST_F(ProcessVerifierTest, BigSamplesPassThroughSmallPipes) {
  Start("workers=2");
  std::vector<std::string> completions;
  for (int i = 0; i < 20; ++i) completions.push_back(std::string(300000 + i, 'd'));
  const std::vector<Verdict> verdicts = VerifyAll(completions);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(verdicts[i].score, 300000.0 + i) << verdicts[i].reason;
}

// A worker that hangs while its pipe is full of others' samples.
TEST_F(ProcessVerifierTest, AHangBehindAFullPipe) {
  Start("workers=1, deadline_ms=1000");
  std::vector<std::string> completions = {"fault:hang"};
  for (int i = 0; i < 20; ++i) completions.push_back(std::string(100000 + i, 'e'));
  const std::vector<Verdict> verdicts = VerifyAll(completions);
  EXPECT_THAT(verdicts[0].reason, HasSubstr("timed out"));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(verdicts[i + 1].score, 100000.0 + i) << verdicts[i + 1].reason;
}

// Commands that never work. None of them may take a deadline for each sample.
TEST_F(ProcessVerifierTest, CommandsThatNeverWork) {
  const struct {
    const char* command;
    const char* reason;
  } kCases[] = {
      {"hone-no-such-command --option", "died: exit status 127: /bin/sh: 1: hone-no-such-command: not found"},
      {"./no/such/file", "not found"},
      {"exit 3", "died: exit status 3"},
      {"true", "died: exit status 0"},
      {"echo 'cannot find my model' >&2; exit 1", "died: exit status 1: cannot find my model"},
      {"echo banner; exec sleep 1000", "answered 'banner', which is no JSON object"},
      {"exec 0<&-; exec sleep 1000", "closed its standard input"},
      {"exec sleep 1000", "did not read its standard input within 1000 ms"},
  };
  std::vector<std::string> completions;
  for (int i = 0; i < 100; ++i) completions.push_back(std::string(i, 'f'));
  for (const auto& each : kCases) {
    verifier_ = Process(absl::StrCat(": ", mark_, "; ", each.command), "deadline_ms=60000, start_ms=1000");
    for (const Verdict& verdict : VerifyAll(completions)) {
      EXPECT_EQ(verdict.score, std::nullopt);
      EXPECT_THAT(verdict.reason, HasSubstr(each.reason));
    }
    EXPECT_EQ(stats_.no_verdict, 100);
  }
}

// A verifier that works again is used again.
TEST_F(ProcessVerifierTest, ACommandThatRecovers) {
  std::filesystem::remove("works");
  verifier_ = Process(absl::StrCat("test -e works && exec python3 fake_verifier.py ", mark_), "workers=1");
  EXPECT_EQ(verifier_->Verify(prompt_, "four").score, std::nullopt);
  std::ofstream("works") << "yes";
  Verdict verdict;
  for (int round = 0; round < 100 && !verdict.score; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    verdict = verifier_->Verify(prompt_, "four");
  }
  EXPECT_EQ(verdict.score, 4.0) << verdict.reason;
}

// A long start is not the first sample's fault.
TEST_F(ProcessVerifierTest, ASlowStart) {
  verifier_ = Process(absl::StrCat("sleep 1; exec python3 fake_verifier.py ", mark_), "workers=1, deadline_ms=700");
  EXPECT_EQ(verifier_->Verify(prompt_, "four").score, 4.0);
}

TEST(ProcessVerifier, NeedsACommand) {
  Spec spec = Spec::Parse("process").value();
  EXPECT_THAT(std::string(NewProcessVerifier(spec).status().message()),
              HasSubstr("process(command=\"python3 my_verifier.py\")"));
}

// Hone's own death, however sudden, ends all.
TEST(ProcessVerifier, NothingOutlivesHone) {
  std::ofstream("fake_verifier.py") << kVerifier;
  const std::string mark = absl::StrCat("hone-process-test-", getpid(), "-orphan");
  const pid_t hone = fork();
  if (hone == 0) {
    const auto verifier = Process(absl::StrCat("exec python3 fake_verifier.py ", mark), "workers=2");
    verifier->Verify(Prompt(), "fault:daemon");
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(hone, &status, 0), hone);
  ASSERT_TRUE(WIFSIGNALED(status));
  for (int round = 0; round < 100 && !ProcessesWith(mark).empty(); ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(ProcessesWith(mark), IsEmpty());
}

}  // namespace
}  // namespace hone
