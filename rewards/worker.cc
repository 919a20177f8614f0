#include "rewards/worker.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace hone {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 20;  // of an answer
constexpr size_t kMaxUnwritten = size_t{1} << 20;  // bytes of requests that wait for the pipe
constexpr size_t kMaxReadBytes = size_t{1} << 18;  // in one step
constexpr int kBeginPollMs = 10;                   // how often a worker that starts is looked at
constexpr int kDeathMs = 200;                      // between the end of a program's output and the end of the program
constexpr int kFinishMs = 500;
constexpr int64_t kMaxLastRounds = 16;  // of reading what an ended program left in a pipe, which is 1 MB at most
// Numbers of questions lie apart, so that one that is wrong by a little is nobody's.
constexpr uint64_t kIdStep = 1009;

int64_t MsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count();
}

enum class Reading { kMore, kNothingNow, kEnd };

// Appends what can be read now, about `most` bytes of it.
Reading ReadSome(int file, std::string& bytes, size_t most) {
  char buffer[1 << 16];
  for (size_t total = 0; total < most;) {
    const ssize_t got = read(file, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? Reading::kNothingNow : Reading::kEnd;
    if (got == 0) return Reading::kEnd;
    bytes.append(buffer, static_cast<size_t>(got));
    total += static_cast<size_t>(got);
  }
  return Reading::kMore;
}

}  // namespace

Worker::Worker(GuardedProcess process, const WorkerLimits& limits, std::string name)
    : limits_(limits), process_(std::move(process)), errors_(std::move(name)) {}

bool Worker::HasRoom() const {
  return waiting_count_ < static_cast<size_t>(limits_.in_flight) && unwritten_.size() < kMaxUnwritten;
}

void Worker::Ask(Question* question) {
  if (waiting_.empty()) clock_ = Clock::now();
  const uint64_t number = oldest_ + waiting_.size();
  waiting_.push_back(question);
  ++waiting_count_;
  absl::StrAppend(&unwritten_, "{\"id\":", (number + 1) * kIdStep, question->tail);
}

std::vector<Question*> Worker::Unanswered() const {
  std::vector<Question*> questions;
  std::copy_if(waiting_.begin(), waiting_.end(), std::back_inserter(questions),
               [](auto* each) { return each != nullptr; });
  return questions;
}

std::optional<WorkerFailure> Worker::Step(int wake) {
  if (!unwritten_.empty()) Write();
  const short wants_write = unwritten_.empty() ? 0 : POLLOUT;
  pollfd watched[5] = {{wake, POLLIN, 0},
                       {process_.ended(), POLLIN, 0},
                       {process_.output().get(), POLLIN, 0},
                       {process_.error().get(), POLLIN, 0},
                       {process_.input().get(), wants_write, 0}};
  if (poll(watched, 5, SleepMs()) < 0) return std::nullopt;  // a signal
  if (watched[0].revents != 0) {
    uint64_t times;
    (void)!read(wake, &times, sizeof(times));
  }
  if (watched[3].revents != 0) ReadErrors();
  if (watched[2].revents != 0) {
    if (auto failure = ReadAnswers()) return failure;
  }
  if (watched[1].revents != 0) return Died("");
  if (output_ended_) return Died("closed its standard output");
  if (watched[4].revents & POLLERR) return Died("closed its standard input");
  return CheckClock();
}

int Worker::SleepMs() const {
  if (waiting_count_ == 0) return -1;
  if (!began_) return kBeginPollMs;
  return static_cast<int>(std::clamp<int64_t>(limits_.deadline_ms - MsSince(clock_) + 1, 0, 1 << 30));
}

// A pipe that holds less than was written has been read.
void Worker::NoteBegin() {
  int unread = 0;
  if (began_ || ioctl(process_.input().get(), FIONREAD, &unread) != 0 || unread >= written_) return;
  began_ = true;
  clock_ = Clock::now();
}

void Worker::Write() {
  size_t at = 0;
  while (at < unwritten_.size()) {
    const ssize_t written = write(process_.input().get(), unwritten_.data() + at, unwritten_.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;  // the pipe is full, or closed, which poll tells
    at += static_cast<size_t>(written);
  }
  written_ += static_cast<int64_t>(at);
  unwritten_.erase(0, at);
}

bool Worker::ReadErrors() {
  std::string bytes;
  const Reading reading = ReadSome(process_.error().get(), bytes, kMaxReadBytes);
  errors_.Add(bytes);
  if (reading == Reading::kEnd) process_.error().Close();
  return reading == Reading::kMore;
}

void Worker::EndErrors() {
  for (int64_t rounds = 0; ReadErrors() && rounds < kMaxLastRounds; ++rounds) continue;
  errors_.End();
}

std::optional<WorkerFailure> Worker::ReadAnswers() {
  const Reading reading = ReadSome(process_.output().get(), unread_, kMaxReadBytes);
  output_ended_ = reading == Reading::kEnd;
  output_has_more_ = reading == Reading::kMore;
  return TakeLines();
}

std::optional<WorkerFailure> Worker::TakeLines() {
  std::optional<WorkerFailure> failure;
  size_t begin = 0;
  for (size_t end; !failure && (end = unread_.find('\n', std::max(begin, unread_searched_))) != std::string::npos;
       begin = end + 1) {
    failure = TakeAnswer(absl::string_view(unread_).substr(begin, end - begin));
  }
  unread_.erase(0, begin);
  unread_searched_ = unread_.size();
  if (!failure && unread_.size() > kMaxLineBytes) {
    failure = Fail(WorkerFailure::Kind::kGarbage,
                   absl::StrCat("answered with a line of more than ", kMaxLineBytes, " bytes"));
  }
  return failure;
}

std::optional<WorkerFailure> Worker::TakeAnswer(absl::string_view line) {
  if (line.size() > kMaxLineBytes) {
    return Fail(WorkerFailure::Kind::kGarbage,
                absl::StrCat("answered with a line of more than ", kMaxLineBytes, " bytes"));
  }
  if (absl::StripAsciiWhitespace(line).empty()) return std::nullopt;
  Answer answer = ReadAnswer(line);
  if (!answer.has_id) return Fail(WorkerFailure::Kind::kGarbage, answer.verdict.reason);
  const uint64_t number = answer.id / kIdStep - 1;
  if (answer.id == 0 || answer.id % kIdStep != 0 || number >= oldest_ + waiting_.size()) {
    return Fail(WorkerFailure::Kind::kGarbage, absl::StrCat("answered id ", answer.id, ", which it was not asked"));
  }
  if (number < oldest_ || waiting_[number - oldest_] == nullptr) {
    ++repeated_answers_;  // the first counts
    return std::nullopt;
  }
  Question* const question = std::exchange(waiting_[number - oldest_], nullptr);
  question->verdict = std::move(answer.verdict);
  answered_.push_back(question);
  --waiting_count_;
  ++answers_;
  began_ = true;
  if (number == oldest_) {
    for (; !waiting_.empty() && waiting_.front() == nullptr; ++oldest_) waiting_.pop_front();
    clock_ = Clock::now();
  }
  return std::nullopt;
}

std::optional<WorkerFailure> Worker::CheckClock() {
  if (waiting_count_ == 0) return std::nullopt;
  NoteBegin();
  if (!began_) {
    if (MsSince(clock_) <= limits_.start_ms) return std::nullopt;
    return Fail(WorkerFailure::Kind::kSlowStart, absl::StrCat("did not read its standard input within ",
                                                              limits_.start_ms, " ms of its start (start_ms)"));
  }
  if (MsSince(clock_) <= limits_.deadline_ms) return std::nullopt;
  const char* hint = answers_ == 0 ? "; it has never answered: does it flush its output after each line?" : "";
  return Fail(WorkerFailure::Kind::kTimeOut,
              absl::StrCat("timed out: no answer within ", limits_.deadline_ms, " ms", hint));
}

WorkerFailure Worker::Died(const std::string& how) {
  NoteBegin();
  if (!how.empty()) {
    // Pipes of a program that ends close before it has ended, and how it ended tells more.
    pollfd ended = {process_.ended(), POLLIN, 0};
    poll(&ended, 1, kDeathMs);
  }
  process_.End();
  // What it answered before counts.
  output_has_more_ = !output_ended_;
  for (int64_t rounds = 0; output_has_more_ && rounds < kMaxLastRounds; ++rounds) {
    if (auto failure = ReadAnswers()) return *failure;
  }
  std::string reason = how;
  if (const bool by_itself = process_.HowItEnded() != "signal 9 (Killed)" || how.empty(); by_itself) {
    reason = absl::StrCat("died: ", process_.HowItEnded());
  }
  if (!absl::StripAsciiWhitespace(unread_).empty()) reason += ", in the middle of an answer";
  return Fail(WorkerFailure::Kind::kDied, reason);
}

WorkerFailure Worker::Fail(WorkerFailure::Kind kind, std::string reason) {
  NoteBegin();
  process_.End();
  EndErrors();
  const bool tells_more = kind == WorkerFailure::Kind::kDied && !errors_.last().empty();
  if (!began_ && kind != WorkerFailure::Kind::kSlowStart) kind = WorkerFailure::Kind::kFalseStart;
  return {kind, tells_more ? absl::StrCat(reason, ": ", errors_.last()) : reason};
}

void Worker::Finish() {
  process_.Finish(kFinishMs);
  EndErrors();
}

}  // namespace hone
