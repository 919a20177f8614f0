// What verifiers' own programs say on their standard error. One log for the process: a verifier is made, alone or inside others, before
// the run that it serves has a log.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace hone {

using LineSink = std::function<void(const std::string& line)>;

// From now on lines go to `sink`, from any thread, one at a time; null: to Hone's standard error, as at the start.
void SendVerifierLogTo(LineSink sink);
void WriteVerifierLog(const std::string& line);

// The standard error of one program: makes lines of what comes, shortens long ones, and passes on so many a second that a flood
// fills no disk; how many were left out is said. Not thread-safe.
class ErrorLines {
 public:
  explicit ErrorLines(std::string name) : name_(std::move(name)) {}

  void Add(absl::string_view bytes);
  // The program has ended: what stands without a line end is a line, too.
  void End();
  // The last line that was not blank. Of a Python traceback it is the one that says what happened.
  std::string last() const;

 private:
  void EndLine();
  void Pass();

  std::string name_;
  std::string line_, last_;  // as they came, up to some length
  std::chrono::steady_clock::time_point window_start_{};
  int passed_ = 0;        // in this window
  int64_t left_out_ = 0;  // since the last that was passed on
};

}  // namespace hone
