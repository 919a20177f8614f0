// Runs a program against a coding task's tests in sandboxes, in such a way that the program cannot make its own verdict.
//
//   standard input and output   expected outputs stay here; only the program's output comes out of the sandbox, and is compared here
//   Python assertions           run by a judge in a second sandbox; the program's one answers calls with data (rewards/jail/judge.py)
//   C++ assertions              cut in two (cpp_assertion.h): the program prints what it computes; expected values come from a program of their own
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "rewards/code_problem.h"
#include "rewards/cpp_assertion.h"
#include "rewards/sandbox.h"

namespace hone {

struct CodeOutcome {
  size_t passed = 0, total = 0;
  bool compiles = false;
  std::string failure;  // of the first test that failed; empty when all passed

  void Fail(const std::string& reason) {
    if (failure.empty()) failure = reason;
  }
};

// Thread-safe.
class CodeRunner {
 public:
  struct Options {
    SandboxLimits limits;  // of one test, and of all assertions together
    double total_s = 60;   // processor time of all tests together
    bool partial = false;  // count all tests, rather than stop at the first that fails
  };
  CodeRunner(const Sandbox& sandbox, const Options& options) : sandbox_(sandbox), options_(options) {}

  // An error means no verdict.
  absl::StatusOr<CodeOutcome> Run(const Program& program, const CodeProblem& problem);

 private:
  absl::Status RunTests(const Program& program, const std::string& binary, const CodeProblem& problem,
                        CodeOutcome& outcome) const;
  absl::Status RunPythonAssertions(const std::string& program, const CodeProblem& problem, CodeOutcome& outcome) const;
  absl::Status RunCppAssertions(const std::string& program, const CodeProblem& problem, CodeOutcome& outcome);
  // The compiled program; empty when it does not compile, which `outcome` then says.
  absl::StatusOr<std::string> Compile(absl::string_view text, CodeOutcome& outcome) const;
  // Values of the expected halves, by place. They are the same for all answers to one prompt, so that the last ones are kept.
  absl::StatusOr<std::vector<std::string>> ExpectedValues(const std::vector<CppAssertion>& assertions);

  const Sandbox& sandbox_;
  const Options options_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, std::vector<std::string>> expected_;  // guarded by mutex_; by source text
};

}  // namespace hone
