#include "tools/progress.h"

#include <signal.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "absl/strings/str_format.h"

namespace hone {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(10);

// Signal handlers have nothing but static memory to write to.
volatile std::sig_atomic_t interrupted = 0;

void Note(int signal) {
  interrupted = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

// Work that is over within one interval shows no progress.
ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0), last_(std::chrono::steady_clock::now()) {}

ProgressLine::~ProgressLine() {
  if (dirty_) std::fputc('\n', stderr);
}

void ProgressLine::Clear() {
  if (dirty_) std::fputs("\r\033[K", stderr);
  dirty_ = false;
}

void ProgressLine::Show(const std::string& text, Urgency urgency) {
  const auto now = std::chrono::steady_clock::now();
  constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
  const bool due = now - last_ >= (terminal_ ? std::chrono::steady_clock::duration(kTerminalInterval) : kPlainInterval);
  if (urgency == Urgency::kWhenDue && !due) return;
  last_ = now;
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  Clear();
  std::fputs(text.c_str(), stderr);
  dirty_ = true;
}

void ProgressLine::Print(const std::string& text) {
  Clear();
  std::fprintf(stderr, "%s\n", text.c_str());
}

std::string ClockText(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

void CatchInterrupts() {
  std::signal(SIGINT, Note);
  std::signal(SIGTERM, Note);
  std::signal(SIGPIPE, SIG_IGN);
}

bool Interrupted() { return interrupted != 0; }

}  // namespace hone
