// Verifies samples on threads of its own while others are still being generated.
//
//   VerifyPool pool(verifier, {});
//   pool.Submit(&prompt, text, index, [&](const Verdict& verdict) { ... });     for each sample as soon as it ends
//   pool.Wait();
//
// A verdict depends on prompt and completion alone: not on the number of threads, nor on what else is verified when.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "rewards/verifier.h"

namespace hone {

struct VerifyPoolOptions {
  int workers = 0;  // threads; 0: what the verifier has use for (Verifier::Concurrency), else one for each processor
  size_t queue = 4096;                  // samples that wait; Submit blocks while there are so many
  size_t remembered_bytes = 64u << 20;  // of prompts and completions whose verdicts are kept for samples that are alike
};

// Times in classes that grow by 1/16 power of two: quantiles are right within 5 %, in constant memory.
class LatencyHistogram {
 public:
  void Add(double seconds);
  // 0 when nothing was added. 0 <= q <= 1.
  double Quantile(double q) const;

 private:
  static constexpr int kClasses = 16 * 40;  // from 1 us to 2^40 us
  std::vector<int64_t> counts_ = std::vector<int64_t>(kClasses);
  int64_t total_ = 0;
};

struct PoolStats {
  struct Slow {
    double seconds;
    uint64_t tag;
    std::string reason;
  };
  int64_t verified = 0;                                 // calls of the verifier
  int64_t reused = 0;                                   // samples that took the verdict of one that was alike
  int64_t no_verdict = 0;                               // samples, reused ones included
  std::map<std::string, int64_t> no_verdict_by_reason;  // by ReasonClass; at most 64, then "other reasons"
  std::vector<Slow> slowest;                            // calls of the verifier, the slowest first; at most 5
  LatencyHistogram latency;                             // of calls of the verifier
  VerifierCounters verifier;                            // Verifier::Counters, since the pool began
};

// What reasons that differ in numbers, quoted texts and details after a colon have in common: "timed out: no answer within 500 ms" and
// "timed out: no answer within 20 ms" are both "timed out".
std::string ReasonClass(absl::string_view reason);

class VerifyPool {
 public:
  using Receiver = std::function<void(const Verdict&)>;

  // `verifier` outlives the pool. An exception of foreign code inside it is "no verdict".
  VerifyPool(const Verifier* verifier, VerifyPoolOptions options);
  // What has not begun is dropped; what has begun is waited for, as long as the verifier's own deadline allows.
  ~VerifyPool();
  VerifyPool(const VerifyPool&) = delete;
  VerifyPool& operator=(const VerifyPool&) = delete;

  // `receive` gets the verdict, on a thread of the pool or before Submit returns; it must be quick. Blocks only while the queue is full. The prompt
  // outlives the verdict. `tag` is the sample's name in PoolStats. Samples with equal key, text, answer and metadata of the prompt and equal
  // completion share one verdict, also while it is being found. From one thread.
  void Submit(const Prompt* prompt, std::string completion, uint64_t tag, Receiver receive);

  // Until every verdict has been received, or cancelled() is true, asked every 50 ms: then Cancel() has been called.
  void Wait(const std::function<bool()>& cancelled = nullptr);
  // Drops what has not begun: its receivers are not called, and Submit does nothing any more.
  void Cancel();

  PoolStats stats() const;
  // Threads at most: they start as samples come.
  int workers() const { return max_threads_; }

 private:
  // One question to the verifier, and all samples that wait for its answer.
  struct Job {
    std::string key;  // what makes samples alike; the completion stands at its end
    size_t completion_at = 0;
    const Prompt* prompt = nullptr;
    uint64_t tag = 0;
    std::vector<Receiver> receivers;
    bool done = false;
    Verdict verdict;
  };

  void Work();
  Verdict Verify(const Job& job) const;
  void Finish(const std::shared_ptr<Job>& job, Verdict verdict, double seconds);
  // With mutex_ held.
  void CountVerdict(const Verdict& verdict);
  void Forget();
  void AddThread();
  void LookOut(std::unique_lock<std::mutex>& lock);

  const Verifier* const verifier_;
  const VerifyPoolOptions options_;
  const VerifierCounters before_;  // Verifier::Counters when the pool began
  const int max_threads_;
  std::vector<std::thread> threads_;  // written by the thread that submits

  mutable std::mutex mutex_;  // guards all below
  // There is a job; there is room for one; the last is done. The first two also when all is over.
  std::condition_variable work_, room_, idle_now_;
  std::deque<std::shared_ptr<Job>> queue_;
  absl::flat_hash_map<absl::string_view, std::shared_ptr<Job>> known_;  // keys lie in the jobs
  std::deque<std::shared_ptr<Job>> done_;                               // known ones, the oldest first
  size_t remembered_ = 0;                                               // bytes of done_
  int64_t open_ = 0;                                                    // jobs that wait or run
  size_t idle_ = 0;                                                     // threads that wait for a job
  size_t looking_ = 0;              // one of them that looks for a job without sleeping, or none
  std::atomic<size_t> waiting_{0};  // queue_.size(), for it
  bool over_ = false;
  PoolStats stats_;
};

}  // namespace hone
