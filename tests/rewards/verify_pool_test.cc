#include "rewards/verify_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// A verifier made of a function.
class Fake : public Verifier {
 public:
  explicit Fake(std::function<Verdict(const std::string&)> verify, int concurrency = 0)
      : verify_(std::move(verify)), concurrency_(concurrency) {}
  Verdict Verify(const Prompt&, const std::string& completion) const override {
    ++calls;
    return verify_(completion);
  }
  int Concurrency() const override { return concurrency_; }
  VerifierCounters Counters() const override { return {{"restarts", calls}}; }

  mutable std::atomic<int> calls{0};

 private:
  std::function<Verdict(const std::string&)> verify_;
  int concurrency_;
};

Verdict Length(const std::string& completion) { return {static_cast<double>(completion.size()), "length", {}}; }

TEST(VerifyPool, SameVerdictsForAnyNumberOfThreads) {
  const Fake verifier([](const std::string& completion) {
    // Late and early ones change places.
    std::this_thread::sleep_for(std::chrono::microseconds(completion.size() * 7919 % 500));
    return Length(completion);
  });
  const Prompt prompt;
  for (const int workers : {0, 1, 3, 64}) {
    std::vector<double> scores(500);
    VerifyPool pool(&verifier, {.workers = workers});
    for (size_t i = 0; i < scores.size(); ++i) {
      pool.Submit(&prompt, std::string(i, 'x'), i,
                  [&scores, i](const Verdict& verdict) { scores[i] = *verdict.score; });
    }
    pool.Wait();
    for (size_t i = 0; i < scores.size(); ++i) ASSERT_EQ(scores[i], static_cast<double>(i)) << workers;
    EXPECT_EQ(pool.stats().verified, 500);
    EXPECT_EQ(pool.stats().no_verdict, 0);
    // Of this pool's 500 calls alone, although the verifier goes on counting.
    EXPECT_THAT(pool.stats().verifier, ElementsAre(Pair("restarts", 500)));
  }
}

TEST(VerifyPool, ThreadsAreWhatTheVerifierHasUseFor) {
  const Fake computing(Length), waiting(Length, 37);
  EXPECT_EQ(VerifyPool(&computing, {}).workers(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_EQ(VerifyPool(&waiting, {}).workers(), 37);
  EXPECT_EQ(VerifyPool(&waiting, {.workers = 2}).workers(), 2);
  // As many calls at a time as that: each waits for all others.
  std::atomic<int> inside{0};
  const Fake meeting(
      [&](const std::string& completion) {
        ++inside;
        while (inside < 37) std::this_thread::yield();
        return Length(completion);
      },
      37);
  const Prompt prompt;
  VerifyPool pool(&meeting, {});
  for (int i = 0; i < 37; ++i) pool.Submit(&prompt, std::string(i, 'x'), 0, [](const Verdict&) {});
  pool.Wait();
  EXPECT_EQ(meeting.calls, 37);
}

TEST(VerifyPool, EqualSamplesAreVerifiedOnceAlsoWhileTheFirstRuns) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  const Fake verifier([&](const std::string& completion) {
    gone.wait();
    return completion == "none" ? Verdict{std::nullopt, "cannot say", {}} : Length(completion);
  });
  Prompt prompt, other_text, other_answer, other_metadata, other_key, shifted;
  other_text.text = "a";
  other_answer.answer = "a";
  other_metadata.metadata = "{}";
  other_key.key = 1;
  shifted.text = "fo";  // and the completion "ur" makes the same bytes in a row
  VerifyPool pool(&verifier, {.workers = 2});
  std::atomic<int> received{0};
  const auto receive = [&](const Verdict& verdict) { received += verdict.score == 4.0; };
  for (int round = 0; round < 10; ++round) {
    for (const Prompt* each : {&prompt, &other_text, &other_answer, &other_metadata, &other_key})
      pool.Submit(each, "four", 0, receive);
    pool.Submit(&prompt, "none", 0, [&](const Verdict& verdict) { received += verdict.reason == "cannot say"; });
    pool.Submit(&shifted, "ur", 0, [&](const Verdict& verdict) { received += verdict.score == 2.0; });
  }
  go.set_value();
  pool.Wait();
  EXPECT_EQ(received, 70);
  EXPECT_EQ(verifier.calls, 7);
  // After the end, too, and then the verdict is there when Submit returns.
  pool.Submit(&prompt, "four", 0, receive);
  EXPECT_EQ(received, 71);
  const PoolStats stats = pool.stats();
  EXPECT_EQ(stats.verified, 7);
  EXPECT_EQ(stats.reused, 64);
  EXPECT_EQ(stats.no_verdict, 10);
  EXPECT_THAT(stats.no_verdict_by_reason, ElementsAre(Pair("cannot say", 10)));
}

TEST(VerifyPool, RemembersNoMoreThanItMay) {
  const Fake verifier(Length);
  const Prompt prompt;
  VerifyPool pool(&verifier, {.workers = 1, .remembered_bytes = 20000});
  std::atomic<int> right{0};
  const auto submit = [&](int i) {
    pool.Submit(&prompt, absl::StrCat(1000 + i, std::string(996, 'x')), 0,
                [&](const Verdict& verdict) { right += verdict.score == 1000.0; });
    pool.Wait();
  };
  for (int i = 0; i < 100; ++i) submit(i);
  EXPECT_EQ(verifier.calls, 100);
  submit(99);  // one of the last dozen
  EXPECT_EQ(verifier.calls, 100);
  submit(0);  // long forgotten
  EXPECT_EQ(verifier.calls, 101);
  EXPECT_EQ(right, 102);
}

TEST(VerifyPool, SubmitBlocksOnlyWhileTheQueueIsFull) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  const Fake verifier([&](const std::string& completion) {
    gone.wait();
    return Length(completion);
  });
  const Prompt prompt;
  VerifyPool pool(&verifier, {.workers = 1, .queue = 3});
  pool.Submit(&prompt, "", 0, [](const Verdict&) {});
  while (verifier.calls == 0) std::this_thread::yield();  // the worker holds one, three wait
  for (int i = 1; i <= 3; ++i) pool.Submit(&prompt, std::string(i, 'x'), 0, [](const Verdict&) {});
  std::atomic<bool> returned{false};
  std::thread fifth([&] {
    pool.Submit(&prompt, "fifth", 0, [](const Verdict&) {});
    returned = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(returned);
  go.set_value();
  fifth.join();
  pool.Wait();
  EXPECT_EQ(verifier.calls, 5);
}

TEST(VerifyPool, WhatAVerifierThrowsIsNoVerdict) {
  const Fake verifier([](const std::string& completion) -> Verdict {
    if (completion == "int") throw 5;
    if (completion == "exception") throw std::runtime_error("out of 12 things\nand more");
    return Length(completion);
  });
  const Prompt prompt;
  VerifyPool pool(&verifier, {.workers = 2});
  Verdict of_int, of_exception, of_good;
  pool.Submit(&prompt, "int", 0, [&](const Verdict& verdict) { of_int = verdict; });
  pool.Submit(&prompt, "exception", 0, [&](const Verdict& verdict) { of_exception = verdict; });
  pool.Submit(&prompt, "good", 0, [&](const Verdict& verdict) { of_good = verdict; });
  pool.Wait();
  EXPECT_EQ(of_int.score, std::nullopt);
  EXPECT_EQ(of_int.reason, "the verifier threw something that is no std::exception");
  EXPECT_EQ(of_exception.score, std::nullopt);
  EXPECT_EQ(of_exception.reason, "the verifier threw: out of 12 things\\nand more");
  EXPECT_EQ(of_good.score, 4.0);
}

TEST(VerifyPool, CancelDropsWhatHasNotBegun) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> received{0};
  const Fake verifier([&](const std::string& completion) {
    gone.wait();
    return Length(completion);
  });
  const Prompt prompt;
  {
    VerifyPool pool(&verifier, {.workers = 2});
    for (int i = 0; i < 100; ++i) pool.Submit(&prompt, std::string(i, 'x'), 0, [&](const Verdict&) { ++received; });
    while (verifier.calls < 2) std::this_thread::yield();
    pool.Wait([] { return true; });
    pool.Submit(&prompt, "too late", 0, [&](const Verdict&) { ++received; });
    EXPECT_EQ(received, 0);
    go.set_value();
  }
  EXPECT_EQ(received, 2);
  EXPECT_EQ(verifier.calls, 2);
}

TEST(VerifyPool, KnowsTheSlowest) {
  const Fake verifier([](const std::string& completion) {
    std::this_thread::sleep_for(std::chrono::milliseconds(completion.size() == 8 ? 60 : 0));
    return Verdict{1.0, completion, {}};
  });
  const Prompt prompt;
  VerifyPool pool(&verifier, {.workers = 1});
  for (int i = 0; i < 20; ++i) pool.Submit(&prompt, std::string(i, 'x'), 100 + i, [](const Verdict&) {});
  pool.Wait();
  const PoolStats stats = pool.stats();
  ASSERT_EQ(stats.slowest.size(), 5u);
  EXPECT_EQ(stats.slowest[0].tag, 108u);
  EXPECT_EQ(stats.slowest[0].reason, "xxxxxxxx");
  EXPECT_GE(stats.slowest[0].seconds, 0.06);
  for (size_t i = 1; i < 5; ++i) EXPECT_GE(stats.slowest[i - 1].seconds, stats.slowest[i].seconds);
}

TEST(LatencyHistogram, QuantilesWithinAClass) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  for (int i = 1; i <= 1000; ++i) histogram.Add(i * 1e-3);
  // Classes are 2^(1/16) wide, 4.4 %.
  EXPECT_NEAR(histogram.Quantile(0.5), 0.5, 0.025);
  EXPECT_NEAR(histogram.Quantile(0.99), 0.99, 0.05);
  EXPECT_NEAR(histogram.Quantile(0), 0.001, 0.0001);
  histogram.Add(-1);
  histogram.Add(1e300);
  EXPECT_GT(histogram.Quantile(1), 1e5);
}

TEST(ReasonClass, LeavesOutWhatVaries) {
  EXPECT_EQ(ReasonClass("timed out: no answer within 500 ms"), "timed out");
  EXPECT_EQ(ReasonClass("answered 'a 1: b', which is no JSON object"), "answered '...', which is no JSON object");
  EXPECT_EQ(ReasonClass("answered id 12, don't ask"), "answered id N, don't ask");
  EXPECT_EQ(ReasonClass("at 12:30 exit status 127"), "at N:N exit status N");
  EXPECT_EQ(ReasonClass(""), "no reason given");
  EXPECT_EQ(ReasonClass(": x"), "no reason given");
  EXPECT_LE(ReasonClass(std::string(1000000, 'x')).size(), 101u);
}

}  // namespace
}  // namespace hone
