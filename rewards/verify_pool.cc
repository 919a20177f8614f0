#include "rewards/verify_pool.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/text.h"

namespace hone {
namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kMaxReasons = 64;
constexpr size_t kMaxReasonBytes = 100;
constexpr size_t kSlowest = 5;
constexpr int kLooks = 50;  // some 20 us
constexpr auto kCancelPoll = std::chrono::milliseconds(50);

int ThreadCount(const Verifier& verifier, const VerifyPoolOptions& options) {
  int count = options.workers > 0 ? options.workers : verifier.Concurrency();
  if (count <= 0) count = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(count, 1, kMaxThreads);
}

// Lengths in front, so that two samples have equal keys only when each text is equal.
std::string KeyOf(const Prompt& prompt, const std::string& completion) {
  return absl::StrCat(prompt.key, ":", prompt.text.size(), ":", prompt.answer.size(), ":", prompt.metadata.size(), ":",
                      absl::string_view(prompt.text), prompt.answer, prompt.metadata, completion);
}

// What a remembered sample takes, the verdict and the tables included.
size_t BytesOf(const std::string& key) { return key.size() + 512; }

}  // namespace

void LatencyHistogram::Add(double seconds) {
  const double power = 16 * std::log2(std::max(seconds * 1e6, 1.0));
  ++counts_[static_cast<size_t>(std::clamp(power, 0.0, kClasses - 1.0))];
  ++total_;
}

double LatencyHistogram::Quantile(double q) const {
  const double rank = q * static_cast<double>(total_);
  int64_t seen = 0;
  for (int i = 0; i < kClasses && total_ > 0; ++i) {
    seen += counts_[i];
    if (counts_[i] > 0 && static_cast<double>(seen) >= rank) return std::exp2((i + 0.5) / 16) * 1e-6;
  }
  return 0;
}

std::string ReasonClass(absl::string_view reason) {
  std::string result;
  for (size_t at = 0; at < reason.size() && result.size() < kMaxReasonBytes;) {
    const char first = reason[at];
    const size_t quote_end = first == '\'' ? reason.find('\'', at + 1) : absl::string_view::npos;
    if (first == ':' && (at + 1 == reason.size() || reason[at + 1] == ' ')) break;
    if (absl::ascii_isdigit(static_cast<unsigned char>(first))) {
      while (at < reason.size() && absl::ascii_isdigit(static_cast<unsigned char>(reason[at]))) ++at;
      result += 'N';
    } else if (quote_end != absl::string_view::npos) {
      result += "'...'";
      at = quote_end + 1;
    } else {
      result += first;
      ++at;
    }
  }
  return result.empty() ? "no reason given" : Visible(result, kMaxReasonBytes);
}

VerifyPool::VerifyPool(const Verifier* verifier, VerifyPoolOptions options)
    : verifier_(verifier),
      options_(options),
      before_(verifier->Counters()),
      max_threads_(ThreadCount(*verifier, options)) {}

// Signals go to threads that expect them.
void VerifyPool::AddThread() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads_.emplace_back([this] { Work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

VerifyPool::~VerifyPool() {
  Cancel();
  for (std::thread& thread : threads_) thread.join();
}

void VerifyPool::Submit(const Prompt* prompt, std::string completion, uint64_t tag, Receiver receive) {
  auto job = std::make_shared<Job>();
  job->key = KeyOf(*prompt, completion);
  job->completion_at = job->key.size() - completion.size();
  job->prompt = prompt;
  job->tag = tag;
  {
    std::unique_lock lock(mutex_);
    if (over_) return;
    const auto [entry, is_new] = known_.try_emplace(job->key, job);
    if (is_new) {
      job->receivers.push_back(std::move(receive));
      while (!over_ && queue_.size() >= options_.queue) room_.wait(lock);
      if (over_) return;
      queue_.push_back(std::move(job));
      ++open_;
      waiting_.store(queue_.size(), std::memory_order_relaxed);
      const bool wakes = idle_ > looking_ && queue_.size() > looking_;
      if (queue_.size() > idle_ && threads_.size() < static_cast<size_t>(max_threads_)) AddThread();
      lock.unlock();  // so that who wakes finds it free
      if (wakes) work_.notify_one();
      return;
    }
    job = entry->second;
    ++stats_.reused;
    if (!job->done) {
      job->receivers.push_back(std::move(receive));
      return;
    }
    CountVerdict(job->verdict);
  }
  receive(job->verdict);
}

void VerifyPool::Work() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      ++idle_;
      if (looking_ == 0 && queue_.empty()) LookOut(lock);
      while (!over_ && queue_.empty()) work_.wait(lock);
      --idle_;
      if (over_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      waiting_.store(queue_.size(), std::memory_order_relaxed);
    }
    room_.notify_one();
    const auto start = std::chrono::steady_clock::now();
    Verdict verdict = Verify(*job);
    Finish(job, std::move(verdict), std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

// Waking a thread costs more than most verdicts: for a moment the one that was last at work stays awake, and gives way to whoever can run.
void VerifyPool::LookOut(std::unique_lock<std::mutex>& lock) {
  looking_ = 1;
  lock.unlock();
  for (int times = 0; times < kLooks && waiting_.load(std::memory_order_relaxed) == 0; ++times) sched_yield();
  lock.lock();
  looking_ = 0;
}

// The border to code of others: what they throw stays here.
Verdict VerifyPool::Verify(const Job& job) const {
  try {
    return verifier_->Verify(*job.prompt, job.key.substr(job.completion_at));
  } catch (const std::exception& error) {
    return {std::nullopt, absl::StrCat("the verifier threw: ", Visible(error.what(), kMaxReasonBytes)), {}};
  } catch (...) {
    return {std::nullopt, "the verifier threw something that is no std::exception", {}};
  }
}

void VerifyPool::Finish(const std::shared_ptr<Job>& job, Verdict verdict, double seconds) {
  std::vector<Receiver> receivers;
  {
    std::unique_lock lock(mutex_);
    job->verdict = std::move(verdict);
    job->done = true;
    receivers = std::move(job->receivers);
    ++stats_.verified;
    stats_.latency.Add(seconds);
    for (size_t i = 0; i < receivers.size(); ++i) CountVerdict(job->verdict);
    if (stats_.slowest.size() < kSlowest || seconds > stats_.slowest.back().seconds) {
      const auto later = [](const PoolStats::Slow& a, const PoolStats::Slow& b) { return a.seconds > b.seconds; };
      const PoolStats::Slow slow = {seconds, job->tag, job->verdict.reason};
      stats_.slowest.insert(std::upper_bound(stats_.slowest.begin(), stats_.slowest.end(), slow, later), slow);
      if (stats_.slowest.size() > kSlowest) stats_.slowest.pop_back();
    }
    done_.push_back(job);
    remembered_ += BytesOf(job->key);
    Forget();
  }
  for (const Receiver& receive : receivers) receive(job->verdict);
  std::unique_lock lock(mutex_);
  if (--open_ == 0) idle_now_.notify_all();
}

void VerifyPool::CountVerdict(const Verdict& verdict) {
  if (verdict.score) return;
  ++stats_.no_verdict;
  auto& reasons = stats_.no_verdict_by_reason;
  const std::string reason = ReasonClass(verdict.reason);
  ++reasons[reasons.size() < kMaxReasons || reasons.contains(reason) ? reason : "other reasons"];
}

void VerifyPool::Forget() {
  while (remembered_ > options_.remembered_bytes) {
    remembered_ -= BytesOf(done_.front()->key);
    known_.erase(done_.front()->key);
    done_.pop_front();
  }
}

void VerifyPool::Wait(const std::function<bool()>& cancelled) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (idle_now_.wait_for(lock, kCancelPoll, [this] { return open_ == 0; })) return;
    }
    if (cancelled != nullptr && cancelled()) {
      Cancel();
      return;
    }
  }
}

void VerifyPool::Cancel() {
  std::unique_lock lock(mutex_);
  open_ -= static_cast<int64_t>(queue_.size());
  queue_.clear();
  over_ = true;
  work_.notify_all();
  room_.notify_all();
}

PoolStats VerifyPool::stats() const {
  PoolStats stats;
  {
    std::unique_lock lock(mutex_);
    stats = stats_;
  }
  stats.verifier = verifier_->Counters();
  for (auto& [name, count] : stats.verifier) {
    for (const auto& [known, earlier] : before_) count -= known == name ? earlier : 0;
  }
  return stats;
}

}  // namespace hone
