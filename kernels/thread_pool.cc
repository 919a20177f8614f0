#include "kernels/thread_pool.h"

#include <chrono>

namespace hone {
namespace {

// Kernels follow each other within microseconds while a model runs: a worker that spins this long finds the next one
// without a system call, and one that finds none leaves the core to others.
constexpr std::chrono::microseconds kSpin(50);
constexpr int kPausesPerLook = 32;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool IsOpen(uint64_t generation) { return generation % 2 == 1; }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::DrainTasks() {
  for (int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) call_(object_, i);
}

void ThreadPool::RunErased(int64_t count, Call call, const void* object) {
  if (workers_.empty() || count <= 1) {
    for (int64_t i = 0; i < count; ++i) call(object, i);
    return;
  }
  call_ = call;
  object_ = object;
  count_ = count;
  next_.store(0);
  generation_.fetch_add(1);  // open
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  DrainTasks();
  generation_.fetch_add(1);  // closed
  for (int looks = 0; busy_.load() > 0; ++looks) {
    // On a machine with more threads than cores the worker may need this one's core to finish.
    if (looks % 1024 == 1023) {
      std::this_thread::yield();
    } else {
      Pause();
    }
  }
}

// The generation of an open job other than `last`, or an even number to stop.
uint64_t ThreadPool::AwaitJob(uint64_t last) {
  const auto spin_end = std::chrono::steady_clock::now() + kSpin;
  const auto news = [this, last] {
    const uint64_t generation = generation_.load();
    return stop_.load() || (IsOpen(generation) && generation != last);
  };
  while (!news()) {
    for (int i = 0; i < kPausesPerLook; ++i) Pause();
    if (std::chrono::steady_clock::now() < spin_end) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, news);
    sleepers_.fetch_sub(1);
  }
  return stop_.load() ? 0 : generation_.load();
}

void ThreadPool::Work() {
  uint64_t last = 0;
  for (;;) {
    const uint64_t generation = AwaitJob(last);
    if (generation == 0) return;
    if (!IsOpen(generation)) continue;  // closed between two looks
    busy_.fetch_add(1);
    if (generation_.load() == generation) {
      DrainTasks();
      last = generation;
    }
    busy_.fetch_sub(1);
  }
}

}  // namespace hone
