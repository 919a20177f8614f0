#include "kernels/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace hone {
namespace {

TEST(ThreadPool, RunsEachTaskOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t count = 0; count < 300; count = count * 3 / 2 + 1) {
      std::vector<std::atomic<int>> runs(count);
      pool.Run(count, [&](int64_t i) { runs[i].fetch_add(1); });
      for (const auto& times : runs) EXPECT_EQ(times.load(), 1);
    }
  }
}

// What tasks wrote is there when Run returns, whether the workers spin, fall asleep or are just going to.
TEST(ThreadPool, ResultsAreThereAfterRun) {
  ThreadPool pool(3);
  std::vector<int64_t> squares(64);
  for (int64_t job = 0; job < 20000; ++job) {
    pool.Run(64, [&](int64_t i) { squares[i] = i * job; });
    for (int64_t i = 0; i < 64; ++i) ASSERT_EQ(squares[i], i * job);
    if (job % 1000 == 0) std::this_thread::sleep_for(std::chrono::microseconds(job / 100));
  }
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(2);
  std::atomic<int> inside{0};
  // Each of the two tasks waits for the other, which one thread alone could never satisfy.
  pool.Run(2, [&](int64_t) {
    inside.fetch_add(1);
    while (inside.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside.load(), 2);
}

}  // namespace
}  // namespace hone
