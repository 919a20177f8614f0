// A fixed set of threads for kernels. Work is split into numbered tasks; which thread runs a task never changes a result.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace hone {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller, which works too.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(0) .. task(count - 1), each once, and returns when all are done. Calls from one thread at a time only,
  // but for a pool of one thread, which has no state and works for any number of callers at once; a task must not call
  // Run on the same pool.
  template <typename Task>
  void Run(int64_t count, const Task& task) {
    RunErased(
        count, [](const void* object, int64_t index) { (*static_cast<const Task*>(object))(index); }, &task);
  }

 private:
  using Call = void (*)(const void* object, int64_t index);
  void RunErased(int64_t count, Call call, const void* object);
  void Work();
  void DrainTasks();
  uint64_t AwaitJob(uint64_t last);

  std::vector<std::thread> workers_;
  // A job is open while `generation_` is odd. A worker enters by raising `busy_` and then seeing the job still open; the
  // caller closes it and then waits for `busy_` to reach 0. So a worker that sleeps too long is never waited for.
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  // The open job; written only while none is.
  Call call_ = nullptr;
  const void* object_ = nullptr;
  int64_t count_ = 0;
  std::mutex mutex_;  // sleeping workers wait on it
  std::condition_variable wake_;
};

}  // namespace hone
