#include "rewards/verifier_log.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr size_t kLineBytes = 1000;
constexpr int kLinesInWindow = 200;
constexpr auto kWindow = std::chrono::seconds(10);

struct Log {
  std::mutex mutex;
  LineSink sink;  // guarded by mutex
};

// Never destroyed: threads of verifiers may outlive static objects.
Log& TheLog() {
  static Log* const log = new Log;
  return *log;
}

}  // namespace

void SendVerifierLogTo(LineSink sink) {
  Log& log = TheLog();
  std::lock_guard lock(log.mutex);
  log.sink = std::move(sink);
}

void WriteVerifierLog(const std::string& line) {
  Log& log = TheLog();
  std::lock_guard lock(log.mutex);
  if (log.sink != nullptr) {
    log.sink(line);
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

void ErrorLines::Add(absl::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != absl::string_view::npos; bytes.remove_prefix(end + 1)) {
    if (line_.size() < kLineBytes) absl::StrAppend(&line_, bytes.substr(0, std::min(end, kLineBytes)));
    EndLine();
  }
  if (line_.size() < kLineBytes) absl::StrAppend(&line_, bytes.substr(0, kLineBytes));
}

void ErrorLines::End() {
  EndLine();
  if (left_out_ > 0) WriteVerifierLog(absl::StrCat(name_, ": (", std::exchange(left_out_, 0), " lines left out)"));
}

std::string ErrorLines::last() const { return Visible(last_, kLineBytes); }

void ErrorLines::EndLine() {
  std::swap(line_, last_);
  if (last_.find_first_not_of(" \t\r") == std::string::npos) {
    std::swap(line_, last_);
  } else {
    Pass();
  }
  line_.clear();
}

// Most lines of a flood end here without any work on them.
void ErrorLines::Pass() {
  const auto now = std::chrono::steady_clock::now();
  if (now - window_start_ > kWindow) {
    window_start_ = now;
    passed_ = 0;
    if (left_out_ > 0) WriteVerifierLog(absl::StrCat(name_, ": (", std::exchange(left_out_, 0), " lines left out)"));
  }
  if (++passed_ > kLinesInWindow) {
    ++left_out_;
  } else {
    WriteVerifierLog(absl::StrCat(name_, ": ", last()));
  }
}

}  // namespace hone
