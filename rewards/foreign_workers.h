// Several workers (rewards/worker.h) of one command, kept running: a thread each, one queue for all.
//
// A failed worker is started again, after a pause that grows while nothing but failures happens. A command that never works is not waited for:
// after three starts in a row that led nowhere, a start without any reading in start_ms, or 32 failures in a row without any answer, every
// question gets "no verdict" at once, and from time to time one question tries again.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rewards/verifier.h"
#include "rewards/worker.h"

namespace hone {

struct ForeignWorkersOptions {
  std::string name;  // in messages: the verifier's
  Command command;
  int64_t workers = 2;
  WorkerLimits limits;
};

class ForeignWorkers {
 public:
  // Starts nothing yet: workers start when there are questions.
  explicit ForeignWorkers(ForeignWorkersOptions options);
  // No Ask is running. Ends all workers.
  ~ForeignWorkers();
  ForeignWorkers(const ForeignWorkers&) = delete;
  ForeignWorkers& operator=(const ForeignWorkers&) = delete;

  // Blocks until there is a verdict; it always comes. Thread-safe: as many calls at a time as are to be in flight.
  Verdict Ask(const Prompt& prompt, const std::string& completion);
  int64_t Concurrency() const { return options_.workers * options_.limits.in_flight; }

  // "starts", "restarts", "time_outs", "deaths", "garbage", "repeated_answers", "asked_again".
  VerifierCounters Counters() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Slot {
    size_t index = 0;
    Descriptor wake;  // an eventfd
    std::thread thread;
    // Guarded by mutex_.
    bool signalled = false;        // will look at the queue soon
    size_t asked = 0;              // questions that its worker holds
    int64_t failures = 0;          // in a row
    Clock::time_point ready_at{};  // not started again before
    bool pausing = false;          // until ready_at
  };
  struct Counts {
    int64_t starts = 0, restarts = 0, time_outs = 0, deaths = 0, garbage = 0, repeated_answers = 0, asked_again = 0;
  };

  void Serve(Slot& slot);
  // True: a worker is wanted. False: all is over.
  bool WaitForQuestions(Slot& slot);
  // Until the worker's end, or until all is over (no value).
  std::optional<WorkerFailure> Run(Slot& slot, Worker& worker);
  // Gives questions to a worker with room, the same number to each; false: all is over.
  bool Pull(Slot& slot, Worker& worker);
  void Deliver(Slot& slot, const std::vector<Question*>& answered);
  void Settle(Slot& slot, const WorkerFailure& failure, std::vector<Question*> unanswered);
  void Count(const WorkerFailure& failure);
  // Whether a question may go into the queue, which it does not while the command is given up.
  bool Admits();
  bool GivesUp(const WorkerFailure& failure) const;
  void Wake(Slot& slot);
  void WakeIdlest();

  const ForeignWorkersOptions options_;
  std::vector<std::unique_ptr<Slot>> slots_;

  mutable std::mutex mutex_;     // guards all below
  std::deque<Question*> queue_;  // not with a worker yet
  bool over_ = false;
  int64_t false_starts_ = 0;  // in a row
  int64_t failures_ = 0;      // in a row
  std::string given_up_;      // why; empty: there is hope
  Clock::time_point try_again_at_;
  std::chrono::milliseconds pause_{0};
  Clock::time_point last_answer_;
  Counts counts_;
};

// The options that all foreign verifiers have: workers, deadline_ms, in_flight, start_ms.
void ReadForeignOptions(Spec& spec, ForeignWorkersOptions& options);

// A verifier that asks such workers.
std::unique_ptr<Verifier> NewForeignVerifier(ForeignWorkersOptions options);

}  // namespace hone
