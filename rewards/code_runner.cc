#include "rewards/code_runner.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/text.h"
#include "rewards/embedded.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr size_t kReasonBytes = 200;
constexpr double kCompileCpuS = 30;
constexpr int64_t kCompileMemory = int64_t{1024} << 20;
constexpr int64_t kMaxBinary = int64_t{64} << 20;
constexpr double kWallPerCpu = 3;    // of all tests together
constexpr double kJudgeExtraS = 10;  // beyond the program's own time

// Of standard error: what the reader wants to see first.
std::string LastLine(absl::string_view errors) {
  const std::vector<absl::string_view> lines = absl::StrSplit(errors, '\n', absl::SkipWhitespace());
  return lines.empty() ? "" : Visible(absl::StripAsciiWhitespace(lines.back()), kReasonBytes);
}

std::string FirstError(absl::string_view errors) {
  for (const absl::string_view line : absl::StrSplit(errors, '\n')) {
    const size_t at = line.find("error: ");
    if (at != absl::string_view::npos) return Visible(line.substr(at + 7), kReasonBytes);
  }
  return LastLine(errors);
}

std::string Why(const SandboxResult& result, const SandboxLimits& limits) {
  const std::string line = result.ending == SandboxResult::Ending::kExit ? LastLine(result.errors) : "";
  return line.empty() ? result.Describe(limits) : absl::StrCat(result.Describe(limits), ": ", line);
}

// What says nothing about the program.
absl::Status CheckOwnTrouble(const SandboxResult& result, const SandboxLimits& limits) {
  if (result.ending == SandboxResult::Ending::kStarved) return WorkError(result.Describe(limits));
  return absl::OkStatus();
}

// Two pipes between two sandboxes; each side's ends close when that side's run is over.
struct Channel {
  int player[2] = {-1, -1}, judge[2] = {-1, -1};  // read end, write end
  int stop[2] = {-1, -1};

  absl::Status Open() {
    int to_player[2], to_judge[2];
    if (pipe2(to_player, O_CLOEXEC) != 0) return WorkError("pipe: ", std::strerror(errno));
    player[0] = to_player[0], judge[1] = to_player[1];
    if (pipe2(to_judge, O_CLOEXEC) != 0) return WorkError("pipe: ", std::strerror(errno));
    judge[0] = to_judge[0], player[1] = to_judge[1];
    if (pipe2(stop, O_CLOEXEC) != 0) return WorkError("pipe: ", std::strerror(errno));
    return absl::OkStatus();
  }
  static void Close(int (&ends)[2]) {
    for (int& end : ends) {
      if (end >= 0) close(end);
      end = -1;
    }
  }
  ~Channel() {
    for (auto* ends : {&player, &judge, &stop}) Close(*ends);
  }
};

// What the judge printed into `outcome`; an error is its "no verdict".
absl::Status ReadJudgement(const std::string& text, CodeOutcome& outcome, bool& gone) {
  const auto json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return WorkError("the judge of the assertions said nothing");
  if (json.contains("no_verdict")) return InputError(Visible(json.value("no_verdict", ""), 300));
  outcome.total += json.value("total", size_t{0});
  outcome.passed += json.value("passed", size_t{0});
  outcome.compiles = json.value("compiles", false);
  gone = json.value("gone", false);
  if (json.contains("failure") && json["failure"].is_string())
    outcome.Fail(Visible(json["failure"].get<std::string>(), 300));
  return absl::OkStatus();
}

// "\x1e3 value" lines into `values`; what the program itself printed lies between them.
std::vector<std::string> ReadValues(absl::string_view output, size_t count) {
  std::vector<std::string> values(count);
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    const size_t mark = line.rfind('\x1e');
    if (mark == absl::string_view::npos) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line.substr(mark + 1), absl::MaxSplits(' ', 1));
    size_t place = 0;
    if (absl::SimpleAtoi(parts.first, &place) && place < count) values[place] = std::string(parts.second);
  }
  return values;
}

bool Matches(const CppAssertion& assertion, const std::string& found, const std::string& wanted,
             const std::string& tolerance) {
  if (assertion.kind != CppAssertion::Kind::kNear) return found == wanted;
  double a = 0, b = 0, by = 0;
  if (!absl::SimpleAtod(found, &a) || !absl::SimpleAtod(wanted, &b) || !absl::SimpleAtod(tolerance, &by)) return false;
  const double difference = a > b ? a - b : b - a;
  return assertion.at_most ? difference <= by : difference < by;
}

std::string Show(int place, const std::string& expression) {
  return absl::StrCat("hone_printer::Show(", place, ", [&]() -> decltype(auto) { return (", expression, "); });\n");
}

}  // namespace

absl::StatusOr<CodeOutcome> CodeRunner::Run(const Program& program, const CodeProblem& problem) {
  CodeOutcome outcome;
  const bool is_cpp = program.language == Language::kCpp;
  if (is_cpp && sandbox_.compiler().empty()) return WorkError("no C++ compiler in /usr/bin; remedy: install g++");
  if (!is_cpp && sandbox_.python().empty())
    return WorkError("no Python here; remedy: install python3 or name it, python=\"/path/to/python3\"");
  if (!problem.calls.empty() && is_cpp)
    return InputError("\"inputs\" of a function (\"fn_name\") are for Python programs; this one is C++");
  std::string binary;
  if (!problem.tests.empty()) {
    if (is_cpp) {
      HONE_ASSIGN_OR_RETURN(binary, Compile(program.text, outcome));
    } else {
      outcome.compiles = true;
    }
    outcome.total += problem.tests.size();
    if (outcome.compiles) HONE_RETURN_IF_ERROR(RunTests(program, binary, problem, outcome));
  }
  const bool has_assertions = !problem.assertions.empty() || !problem.calls.empty();
  if (!has_assertions || (!outcome.failure.empty() && !options_.partial)) return outcome;
  HONE_RETURN_IF_ERROR(is_cpp ? RunCppAssertions(program.text, problem, outcome)
                              : RunPythonAssertions(program.text, problem, outcome));
  return outcome;
}

absl::Status CodeRunner::RunTests(const Program& program, const std::string& binary, const CodeProblem& problem,
                                  CodeOutcome& outcome) const {
  SandboxRun run;
  run.limits = options_.limits;
  if (program.language == Language::kCpp) {
    run.command = {"../work/program"};
    run.files = {{"program", binary, true}};
  } else {
    run.command = {sandbox_.python(), "-s", "../work/program.py"};
    run.files = {{"program.py", program.text}};
  }
  double used_s = 0, wall_s = 0;
  for (size_t at = 0; at < problem.tests.size(); ++at) {
    const auto fail = [&](const std::string& why) { outcome.Fail(absl::StrCat("test ", at + 1, ": ", why)); };
    if (used_s > options_.total_s) {
      fail(absl::StrCat("time limit: the tests before it took ", options_.total_s, " s of processor time together"));
      return absl::OkStatus();
    }
    if (wall_s > kWallPerCpu * options_.total_s) {
      return WorkError("the first ", at, " tests took ", wall_s, " s by the clock and ", used_s,
                       " s of processor time: the machine is too busy, or the program sleeps");
    }
    run.input = problem.tests[at].input;
    HONE_ASSIGN_OR_RETURN(const SandboxResult result, sandbox_.Run(run));
    HONE_RETURN_IF_ERROR(CheckOwnTrouble(result, run.limits));
    used_s += result.cpu_s;
    wall_s += result.wall_s;
    const std::string& wanted = problem.tests[at].output;
    if (result.Succeeded() && SameOutput(result.output, wanted)) {
      ++outcome.passed;
      continue;
    }
    fail(result.Succeeded() ? FirstDifference(result.output, wanted) : Why(result, run.limits));
    const std::string last = LastLine(result.errors);
    if (program.language == Language::kPython && result.value == 1 &&
        (last.starts_with("SyntaxError") || last.starts_with("IndentationError") || last.starts_with("TabError"))) {
      outcome.compiles = false;
      return absl::OkStatus();
    }
    if (!options_.partial) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status CodeRunner::RunPythonAssertions(const std::string& program, const CodeProblem& problem,
                                             CodeOutcome& outcome) const {
  const Json tests = {{"assertions", problem.assertions},
                      {"calls", problem.calls.empty() ? Json::array() : Json::parse(problem.calls, nullptr, false)},
                      {"entry_point", problem.entry_point.empty() ? Json(nullptr) : Json(problem.entry_point)},
                      {"partial", options_.partial}};
  const std::string tests_text = tests.dump(-1, ' ', false, Json::error_handler_t::replace);
  Channel channel;
  HONE_RETURN_IF_ERROR(channel.Open());

  SandboxRun play;
  play.command = {sandbox_.python(), "-s", "../work/player.py"};
  play.files = {{"program.py", program}, {"player.py", PythonPlayer()}, {"wire.py", PythonWire()}};
  play.limits = options_.limits;
  play.channel = {channel.player[0], channel.player[1]};
  play.stop = channel.stop[0];
  absl::StatusOr<SandboxResult> played = WorkError("not run");
  std::thread player([&] {
    played = sandbox_.Run(play);
    Channel::Close(channel.player);
  });

  SandboxRun run;
  run.command = {sandbox_.python(), "-sS", "../work/judge.py"};
  run.files = {{"tests.json", tests_text},
               {"judge.py", PythonJudge()},
               {"remote.py", PythonRemote()},
               {"wire.py", PythonWire()}};
  run.limits = options_.limits;
  run.limits.cpu_s += kJudgeExtraS;
  run.limits.wall_s += kJudgeExtraS;
  run.limits.memory_bytes = std::max(run.limits.memory_bytes, kCompileMemory);
  run.channel = {channel.judge[0], channel.judge[1]};
  const absl::StatusOr<SandboxResult> judged = sandbox_.Run(run);
  Channel::Close(channel.judge);
  close(channel.stop[1]);
  channel.stop[1] = -1;
  player.join();

  HONE_RETURN_IF_ERROR(played.status());
  HONE_RETURN_IF_ERROR(judged.status());
  HONE_RETURN_IF_ERROR(CheckOwnTrouble(*played, play.limits));
  if (!judged->Succeeded()) return WorkError("the judge of the assertions failed: ", Why(*judged, run.limits));
  bool gone = false;
  CodeOutcome judgement;
  HONE_RETURN_IF_ERROR(ReadJudgement(judged->output, judgement, gone));
  if (gone) judgement.failure = absl::StrCat(judgement.failure, " (", Why(*played, play.limits), ")");
  outcome.total += judgement.total;
  outcome.passed += judgement.passed;
  outcome.compiles = judgement.compiles;
  if (!judgement.failure.empty()) outcome.Fail(judgement.failure);
  if (judgement.total == 0) return InputError("the assertions assert nothing");
  return absl::OkStatus();
}

absl::StatusOr<std::string> CodeRunner::Compile(absl::string_view text, CodeOutcome& outcome) const {
  SandboxRun run;
  run.command = {
      "/bin/sh", "-c",
      absl::StrCat(sandbox_.compiler(), " -std=c++20 -O1 -w -pipe -o program ../work/program.cc && cat program")};
  run.files = {{"program.cc", text}};
  run.limits = options_.limits;
  run.limits.cpu_s = std::max(kCompileCpuS, run.limits.cpu_s);
  run.limits.wall_s = std::max(3 * kCompileCpuS, run.limits.wall_s);
  run.limits.memory_bytes = std::max(kCompileMemory, run.limits.memory_bytes);
  run.limits.tmp_bytes = run.limits.output_bytes = kMaxBinary;
  HONE_ASSIGN_OR_RETURN(SandboxResult result, sandbox_.Run(run));
  HONE_RETURN_IF_ERROR(CheckOwnTrouble(result, run.limits));
  outcome.compiles = result.Succeeded();
  if (result.Succeeded()) return std::move(result.output);
  const bool said_no = result.ending == SandboxResult::Ending::kExit;
  outcome.Fail(absl::StrCat("does not compile: ", said_no ? FirstError(result.errors) : result.Describe(run.limits)));
  return "";
}

absl::StatusOr<std::vector<std::string>> CodeRunner::ExpectedValues(const std::vector<CppAssertion>& assertions) {
  constexpr size_t kKept = 1024;
  std::string source = absl::StrCat(CppPrinter(), "signed main() {\nusing namespace std;\n");
  int place = 0;
  for (const CppAssertion& assertion : assertions) {
    if (assertion.kind == CppAssertion::Kind::kSetup) {
      if (assertion.of_library) absl::StrAppend(&source, assertion.text, ";\n");
      continue;
    }
    absl::StrAppend(&source, Show(place++, assertion.expected));
    absl::StrAppend(&source, Show(place++, assertion.kind == CppAssertion::Kind::kNear ? assertion.tolerance : "0"));
  }
  absl::StrAppend(&source, "}\n");
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = expected_.find(source); known != expected_.end()) return known->second;
  }
  CodeOutcome compiled;
  HONE_ASSIGN_OR_RETURN(const std::string binary, Compile(source, compiled));
  if (!compiled.compiles) return InputError("the expected side of the assertions ", compiled.failure);
  SandboxRun run;
  run.command = {"../work/program"};
  run.files = {{"program", binary, true}};
  HONE_ASSIGN_OR_RETURN(const SandboxResult result, sandbox_.Run(run));
  if (!result.Succeeded()) return InputError("the expected side of the assertions fails: ", Why(result, run.limits));
  std::vector<std::string> values = ReadValues(result.output, static_cast<size_t>(place));
  const std::lock_guard lock(mutex_);
  if (expected_.size() >= kKept) expected_.clear();
  expected_.emplace(std::move(source), values);
  return values;
}

absl::Status CodeRunner::RunCppAssertions(const std::string& program, const CodeProblem& problem,
                                          CodeOutcome& outcome) {
  std::vector<CppAssertion> assertions;
  for (const std::string& text : problem.assertions) {
    HONE_ASSIGN_OR_RETURN(const auto parts, ReadCppAssertions(text, problem.entry_point));
    assertions.insert(assertions.end(), parts.begin(), parts.end());
  }
  std::string source = absl::StrCat(CppPrinter(), "#define main hone_program_main\n#line 1 \"program.cc\"\n", program,
                                    "\n#undef main\n#line 1 \"assertions\"\nsigned main() {\nusing namespace std;\n");
  std::vector<const CppAssertion*> checks;
  for (const CppAssertion& assertion : assertions) {
    if (assertion.kind == CppAssertion::Kind::kSetup) {
      absl::StrAppend(&source, assertion.text, ";\n");
      continue;
    }
    const std::string computed = assertion.kind == CppAssertion::Kind::kTruth
                                     ? absl::StrCat("static_cast<bool>(", assertion.computed, ")")
                                     : assertion.computed;
    absl::StrAppend(&source, Show(static_cast<int>(checks.size()), computed));
    checks.push_back(&assertion);
  }
  absl::StrAppend(&source, "}\n");
  if (checks.empty()) return InputError("the assertions assert nothing");
  outcome.total += checks.size();
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> expected, ExpectedValues(assertions));
  HONE_ASSIGN_OR_RETURN(const std::string binary, Compile(source, outcome));
  if (!outcome.compiles) return absl::OkStatus();

  SandboxRun run;
  run.command = {"../work/program"};
  run.files = {{"program", binary, true}};
  run.limits = options_.limits;
  HONE_ASSIGN_OR_RETURN(const SandboxResult result, sandbox_.Run(run));
  HONE_RETURN_IF_ERROR(CheckOwnTrouble(result, run.limits));
  const std::vector<std::string> found = ReadValues(result.output, checks.size());
  for (size_t at = 0; at < checks.size(); ++at) {
    const std::string& wanted = expected[2 * at];
    if (!found[at].empty() && Matches(*checks[at], found[at], wanted, expected[2 * at + 1])) {
      ++outcome.passed;
      continue;
    }
    const std::string what = found[at].empty()
                                 ? absl::StrCat("not reached: ", Why(result, run.limits))
                                 : absl::StrCat("found ", Visible(found[at], 60), ", wanted ", Visible(wanted, 60));
    outcome.Fail(absl::StrCat("test ", outcome.total - checks.size() + at + 1, ": ", Visible(checks[at]->text, 100),
                              ": ", what));
  }
  return absl::OkStatus();
}

}  // namespace hone
