// One run of a foreign verifier: questions go down its standard input, many at a time, and answers come back in any order.
//
// Who is to blame when a worker fails? It reads questions in order, and at the moment of a failure the oldest unanswered one is the one it
// was at; the others only waited in its pipe. So the oldest gets no verdict, and the others are asked again elsewhere. Each failure
// takes one question away, so that this ends. A worker that takes several questions at once is free to do so; the rule is the same.
//
// The clock of a question begins when the worker could have begun with it: when all that were asked before it are answered, and the worker,
// which may take long to start, has read something for the first time (the pipe holds less than was written).
#pragma once

#include <semaphore.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/types.h"
#include "rewards/guarded_process.h"
#include "rewards/line_protocol.h"
#include "rewards/verifier_log.h"

namespace hone {

struct WorkerLimits {
  int64_t in_flight = 64;      // questions that a worker holds at a time
  int64_t deadline_ms = 5000;  // for one of them
  int64_t start_ms = 30000;    // until it reads its standard input
};

// Lives with the thread that waits for its answer, and ends as soon as that thread wakes: POSIX lets a semaphore go while the call that
// posted it is still returning.
class Question {
 public:
  explicit Question(std::string request_tail) : tail(std::move(request_tail)) { sem_init(&answered_, 0, 0); }
  ~Question() { sem_destroy(&answered_); }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  void Wait() {
    while (sem_wait(&answered_) != 0) continue;  // a signal
  }
  void Notify() { sem_post(&answered_); }

  const std::string tail;  // RequestTail
  Verdict verdict;         // written before Notify

 private:
  sem_t answered_;
};

struct WorkerFailure {
  enum class Kind {
    kFalseStart,  // it ended, or wrote what is no answer, before it had read anything: no question is to blame
    kSlowStart,   // it has not read anything in time: no question is to blame
    kDied,
    kTimeOut,
    kGarbage,  // it wrote what is no answer
  };
  Kind kind;
  std::string reason;
};

// Not thread-safe.
class Worker {
 public:
  Worker(GuardedProcess process, const WorkerLimits& limits, std::string name);

  size_t waiting() const { return waiting_count_; }
  bool HasRoom() const;
  // HasRoom() holds.
  void Ask(Question* question);
  // Sleeps until something happens or a time is over, and handles it. Reading `wake`, an eventfd, ends the sleep. After a failure the
  // process has ended with all it started, and nothing but Unanswered is of use.
  std::optional<WorkerFailure> Step(int wake);
  // Questions whose verdicts are there, since the last call; they are not notified yet.
  std::vector<Question*> TakeAnswered() { return std::exchange(answered_, {}); }
  // In the order of asking.
  std::vector<Question*> Unanswered() const;
  // Answers to what was answered before, since the last call.
  int64_t TakeRepeatedAnswers() { return std::exchange(repeated_answers_, 0); }
  // Lets a worker without questions end by itself, for a short time.
  void Finish();

 private:
  using Clock = std::chrono::steady_clock;

  int SleepMs() const;
  void NoteBegin();
  void Write();
  // Takes what there is; true: there may be more at once.
  bool ReadErrors();
  void EndErrors();
  // Takes what there is; a failure is garbage.
  std::optional<WorkerFailure> ReadAnswers();
  std::optional<WorkerFailure> TakeLines();
  std::optional<WorkerFailure> TakeAnswer(absl::string_view line);
  std::optional<WorkerFailure> CheckClock();
  // The worker is at its end or has left a pipe; `how` says which.
  WorkerFailure Died(const std::string& how);
  WorkerFailure Fail(WorkerFailure::Kind kind, std::string reason);

  const WorkerLimits limits_;
  GuardedProcess process_;
  ErrorLines errors_;
  std::string unwritten_, unread_;  // requests on their way, answers not yet whole lines
  size_t unread_searched_ = 0;      // no line end before this offset of unread_
  std::deque<Question*> waiting_;   // from the oldest on; null once answered
  size_t waiting_count_ = 0;        // those not null
  uint64_t oldest_ = 0;             // number of waiting_'s front
  std::vector<Question*> answered_;
  int64_t written_ = 0;           // bytes
  bool began_ = false;            // it has read something
  bool output_ended_ = false;     // its standard output is closed
  bool output_has_more_ = false;  // than was taken at the last time
  Clock::time_point clock_{};     // when the oldest could be begun; before began_: when the first was asked
  int64_t answers_ = 0;
  int64_t repeated_answers_ = 0;
};

}  // namespace hone
