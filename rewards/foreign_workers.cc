#include "rewards/foreign_workers.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace hone {
namespace {

constexpr int64_t kMaxWorkers = 256, kMaxInFlight = 4096, kMaxMs = 86400000;

using std::chrono::milliseconds;

constexpr int64_t kMaxFalseStarts = 3;
constexpr int64_t kMaxFailures = 32;
constexpr milliseconds kFirstPause(10), kLongestPause(1000);           // before a worker is started again
constexpr milliseconds kFirstGivingUp(1000), kLongestGivingUp(30000);  // before a given up command is tried again
constexpr milliseconds kForever(int64_t{1} << 40);

// None after the first failure, then doubling.
milliseconds PauseAfter(int64_t failures) {
  if (failures <= 1) return milliseconds(0);
  return std::min(kLongestPause, kFirstPause * (int64_t{1} << std::min<int64_t>(failures - 2, 20)));
}

// Signals are for the threads that expect them; a write to a worker that is gone is an error of write, not the end of Hone.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

bool BlamesNobody(const WorkerFailure& failure) {
  return failure.kind == WorkerFailure::Kind::kFalseStart || failure.kind == WorkerFailure::Kind::kSlowStart;
}

class ForeignVerifier : public Verifier {
 public:
  explicit ForeignVerifier(ForeignWorkersOptions options) : workers_(std::move(options)) {}
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    return workers_.Ask(prompt, completion);
  }
  int Concurrency() const override { return static_cast<int>(workers_.Concurrency()); }
  VerifierCounters Counters() const override { return workers_.Counters(); }

 private:
  mutable ForeignWorkers workers_;  // thread-safe
};

}  // namespace

ForeignWorkers::ForeignWorkers(ForeignWorkersOptions options) : options_(std::move(options)) {
  for (int64_t i = 0; i < options_.workers; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->index = static_cast<size_t>(i);
    slots_.back()->wake = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    HONE_CHECK(slots_.back()->wake.open());
  }
  for (const auto& slot : slots_) slot->thread = std::thread([this, slot = slot.get()] { Serve(*slot); });
}

ForeignWorkers::~ForeignWorkers() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
    for (const auto& slot : slots_) Wake(*slot);
  }
  for (const auto& slot : slots_) slot->thread.join();
}

Verdict ForeignWorkers::Ask(const Prompt& prompt, const std::string& completion) {
  Question question(RequestTail(prompt, completion));
  {
    std::lock_guard lock(mutex_);
    if (!Admits()) return {std::nullopt, given_up_, {}};
    queue_.push_back(&question);
    WakeIdlest();
  }
  question.Wait();
  return std::move(question.verdict);
}

bool ForeignWorkers::Admits() {
  if (given_up_.empty()) return true;
  if (Clock::now() < try_again_at_) return false;
  try_again_at_ = Clock::now() + kForever;  // this one tries; its end decides
  return true;
}

void ForeignWorkers::Wake(Slot& slot) {
  slot.signalled = true;
  const uint64_t once = 1;
  (void)!write(slot.wake.get(), &once, sizeof(once));
}

void ForeignWorkers::WakeIdlest() {
  Slot* idlest = nullptr;
  for (const auto& slot : slots_) {
    if (slot->signalled || slot->asked >= static_cast<size_t>(options_.limits.in_flight)) continue;
    if (idlest == nullptr || slot->asked < idlest->asked) idlest = slot.get();
  }
  if (idlest != nullptr) Wake(*idlest);
}

void ForeignWorkers::Serve(Slot& slot) {
  BlockSignals();
  const std::string name = absl::StrCat(options_.name, " worker ", slot.index + 1);
  for (bool started_before = false; WaitForQuestions(slot); started_before = true) {
    {
      std::lock_guard lock(mutex_);
      ++counts_.starts;
      counts_.restarts += started_before ? 1 : 0;
    }
    absl::StatusOr<GuardedProcess> process = GuardedProcess::Start(options_.command);
    if (!process.ok()) {
      Settle(slot, {WorkerFailure::Kind::kFalseStart, std::string(process.status().message())}, {});
      continue;
    }
    Worker worker(*std::move(process), options_.limits, name);
    if (const auto failure = Run(slot, worker)) Settle(slot, *failure, worker.Unanswered());
  }
}

bool ForeignWorkers::WaitForQuestions(Slot& slot) {
  for (;;) {
    int sleep_ms = -1;
    {
      std::lock_guard lock(mutex_);
      slot.signalled = false;
      if (over_) return false;
      const auto now = Clock::now();
      slot.pausing = slot.ready_at > now;
      if (slot.pausing) {
        sleep_ms = static_cast<int>(std::chrono::duration_cast<milliseconds>(slot.ready_at - now).count()) + 1;
      } else if (!queue_.empty()) {
        return true;
      }
    }
    pollfd wake = {slot.wake.get(), POLLIN, 0};
    uint64_t times;
    if (poll(&wake, 1, sleep_ms) > 0) (void)!read(wake.fd, &times, sizeof(times));
  }
}

std::optional<WorkerFailure> ForeignWorkers::Run(Slot& slot, Worker& worker) {
  for (;;) {
    if (!Pull(slot, worker)) {
      worker.Finish();
      return std::nullopt;
    }
    const auto failure = worker.Step(slot.wake.get());
    if (const auto answered = worker.TakeAnswered(); !answered.empty()) Deliver(slot, answered);
    if (const int64_t repeated = worker.TakeRepeatedAnswers(); repeated > 0) {
      std::lock_guard lock(mutex_);
      counts_.repeated_answers += repeated;
    }
    if (failure) return failure;
  }
}

bool ForeignWorkers::Pull(Slot& slot, Worker& worker) {
  std::lock_guard lock(mutex_);
  slot.signalled = false;
  slot.asked = worker.waiting();
  if (over_) return false;
  size_t total = queue_.size(), working = 0;
  for (const auto& each : slots_) {
    total += each->asked;
    working += each->pausing ? 0 : 1;
  }
  const size_t share = (total + working - 1) / std::max<size_t>(working, 1);
  while (!queue_.empty() && worker.waiting() < share && worker.HasRoom()) {
    worker.Ask(queue_.front());
    queue_.pop_front();
  }
  slot.asked = worker.waiting();
  if (!queue_.empty()) WakeIdlest();
  return true;
}

void ForeignWorkers::Deliver(Slot& slot, const std::vector<Question*>& answered) {
  {
    std::lock_guard lock(mutex_);
    slot.failures = failures_ = false_starts_ = 0;
    given_up_.clear();
    pause_ = milliseconds(0);
    last_answer_ = Clock::now();
  }
  for (Question* question : answered) question->Notify();
}

void ForeignWorkers::Count(const WorkerFailure& failure) {
  counts_.time_outs += failure.kind == WorkerFailure::Kind::kTimeOut || failure.kind == WorkerFailure::Kind::kSlowStart;
  counts_.deaths += failure.kind == WorkerFailure::Kind::kDied || failure.kind == WorkerFailure::Kind::kFalseStart;
  counts_.garbage += failure.kind == WorkerFailure::Kind::kGarbage;
}

bool ForeignWorkers::GivesUp(const WorkerFailure& failure) const {
  // One that is slow beside others that answer is only slow.
  const bool nobody_answers = Clock::now() - last_answer_ > milliseconds(options_.limits.start_ms);
  return !given_up_.empty() || (failure.kind == WorkerFailure::Kind::kSlowStart && nobody_answers) ||
         false_starts_ >= kMaxFalseStarts || failures_ >= kMaxFailures;
}

void ForeignWorkers::Settle(Slot& slot, const WorkerFailure& failure, std::vector<Question*> unanswered) {
  std::vector<Question*> ended;
  const bool idle = unanswered.empty() && !BlamesNobody(failure);  // it harmed nothing
  const std::string reason = absl::StrCat(options_.name, " worker ", failure.reason);
  {
    std::lock_guard lock(mutex_);
    slot.asked = 0;
    Count(failure);
    if (!idle) {
      ++failures_;
      ++slot.failures;
      false_starts_ += BlamesNobody(failure) ? 1 : 0;
    }
    slot.ready_at = Clock::now() + PauseAfter(slot.failures);
    slot.pausing = slot.failures > 1;
    if (!unanswered.empty() && !BlamesNobody(failure)) {
      ended.push_back(unanswered.front());
      unanswered.front()->verdict = {std::nullopt, reason, {}};
      unanswered.erase(unanswered.begin());
    }
    counts_.asked_again += static_cast<int64_t>(unanswered.size());
    queue_.insert(queue_.begin(), unanswered.begin(), unanswered.end());
    if (!idle && GivesUp(failure)) {
      given_up_ = failures_ > 1 ? absl::StrCat(reason, " (", failures_, " failures in a row)") : reason;
      pause_ = std::min(kLongestGivingUp, std::max(kFirstGivingUp, pause_ * 2));
      try_again_at_ = Clock::now() + pause_;
      for (Question* question : queue_) question->verdict = {std::nullopt, given_up_, {}};
      ended.insert(ended.end(), queue_.begin(), queue_.end());
      queue_.clear();
    }
    for (const auto& each : slots_) Wake(*each);
  }
  for (Question* question : ended) question->Notify();
}

VerifierCounters ForeignWorkers::Counters() const {
  std::lock_guard lock(mutex_);
  return {{"starts", counts_.starts},          {"restarts", counts_.restarts},
          {"time_outs", counts_.time_outs},    {"deaths", counts_.deaths},
          {"garbage", counts_.garbage},        {"repeated_answers", counts_.repeated_answers},
          {"asked_again", counts_.asked_again}};
}

void ReadForeignOptions(Spec& spec, ForeignWorkersOptions& options) {
  options.workers = spec.Int("workers", options.workers, 1, kMaxWorkers);
  options.limits.deadline_ms = spec.Int("deadline_ms", options.limits.deadline_ms, 1, kMaxMs);
  options.limits.in_flight = spec.Int("in_flight", options.limits.in_flight, 1, kMaxInFlight);
  options.limits.start_ms = spec.Int("start_ms", options.limits.start_ms, 1, kMaxMs);
}

std::unique_ptr<Verifier> NewForeignVerifier(ForeignWorkersOptions options) {
  return std::make_unique<ForeignVerifier>(std::move(options));
}

}  // namespace hone
