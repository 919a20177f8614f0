// What a person sees while work goes on: one line that is rewritten on a terminal, plain lines now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace hone {

// Writes to stderr. Not thread-safe.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();

  // Shows `text` now on a terminal; elsewhere only when the last line is old enough or `force` is asked for.
  enum class Urgency { kWhenDue, kNow };
  void Show(const std::string& text, Urgency urgency);
  // A line of its own that stays.
  void Print(const std::string& text);
  // Takes the line off a terminal, so that something else can be written there.
  void Clear();

 private:
  bool terminal_;
  bool dirty_ = false;
  std::chrono::steady_clock::time_point last_;
};

// "1:05", "2:03:07".
std::string ClockText(double seconds);

// Asks SIGINT and SIGTERM to be noted instead of ending the process; a second one ends it at once. A closed
// pipe is then an error of the write instead of a silent end.
void CatchInterrupts();
bool Interrupted();

}  // namespace hone
