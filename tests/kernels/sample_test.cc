#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/logprob.h"
#include "tests/kernels/kernel_testing.h"

namespace hone::kernels {
namespace {

constexpr float kInfinity = INFINITY;

int32_t Sample(const Vector& logits, const SamplingFilter& filter, double uniform, float* logprob = nullptr) {
  ThreadPool pool(1);
  int32_t token = -1;
  float ignored;
  SampleTokens(pool, logits.data(), 1, static_cast<int64_t>(logits.size()), &filter, &uniform, &token,
               logprob == nullptr ? &ignored : logprob);
  return token;
}

// Probabilities after the filters, in double.
std::vector<double> Distribution(const Vector& logits, const SamplingFilter& filter) {
  std::vector<double> p(logits.size());
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const double largest = logits[order[0]];
  const size_t kept = filter.top_k > 0 ? std::min<size_t>(filter.top_k, order.size()) : order.size();
  double total = 0, reached = 0;
  for (size_t i = 0; i < kept; ++i) total += p[order[i]] = std::exp((logits[order[i]] - largest) / filter.temperature);
  for (size_t i = 0; i < kept; ++i) {
    if (filter.top_p < 1 && reached >= filter.top_p * total) p[order[i]] = 0;
    reached += p[order[i]];
    if (std::exp((logits[order[i]] - largest) / filter.temperature) < filter.min_p) p[order[i]] = 0;
  }
  total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= total;
  return p;
}

// Just inside both ends of every token's part of (0, 1) the token is drawn. 1e-6 leaves room for float weights.
TEST(SampleTokens, InvertsTheCumulativeDistribution) {
  const SamplingFilter filters[] = {{1, 1, 0},          {0.6f, 1, 0},           {1.7f, 1, 0},    {1, 1, 4},
                                    {1, 0.8f, 0},       {0.9f, 0.7f, 9},        {1, 1, 1000000}, {1, 1, 0, 0.1f},
                                    {0.7f, 1, 0, 0.3f}, {1.3f, 0.6f, 12, 0.2f}, {1, 1, 0, 1}};
  uint32_t seed = 1;
  for (const int64_t vocab : {1, 2, 23, 1024, 1025, 2500}) {
    for (const SamplingFilter& filter : filters) {
      const Vector logits = Noise(vocab, ++seed, -3, 3);
      const std::vector<double> p = Distribution(logits, filter);
      double below = 0;
      for (int64_t v = 0; v < vocab; ++v) {
        if (p[v] > 1e-5 && (vocab < 100 || v % 7 == 0)) {
          EXPECT_EQ(Sample(logits, filter, below + 1e-6), v)
              << vocab << " " << filter.top_p << " " << filter.top_k << " " << filter.min_p;
          EXPECT_EQ(Sample(logits, filter, below + p[v] - 1e-6), v)
              << vocab << " " << filter.top_p << " " << filter.min_p;
        }
        below += p[v];
      }
    }
  }
}

TEST(SampleTokens, LogprobIsAtTemperatureOneWithoutFilters) {
  const Vector logits = {1, 2, 3, 0};
  // log(e^2 / (e + e^2 + e^3 + 1)) = 2 - 3.440190 = -1.440190.
  for (const SamplingFilter& filter : {SamplingFilter{1, 1, 0}, {0.5f, 1, 3}, {2, 0.99f, 0}}) {
    const std::vector<double> p = Distribution(logits, filter);
    float logprob;
    ASSERT_EQ(Sample(logits, filter, p[0] + p[1] / 2, &logprob), 1);
    EXPECT_NEAR(logprob, -1.440190, 1e-6);
  }
}

TEST(SampleTokens, GreedyTakesTheLowestIdOnTies) {
  EXPECT_EQ(Sample({0, 7, 3, 7}, {.temperature = 0}, 0.99), 1);
  EXPECT_EQ(Sample({0, 7, 3, 7}, {.temperature = 1e-30f}, 0.49), 1);
  EXPECT_EQ(Sample({0, 7, 3, 7}, {.temperature = 1e-30f}, 0.51), 3);
}

TEST(SampleTokens, TopKKeepsTheLowestIdsOnTies) {
  for (const double uniform : {0.001, 0.49, 0.51, 0.999}) {
    EXPECT_EQ(Sample({1, 5, 5, 5, 0}, {1, 1, 2}, uniform), uniform < 0.5 ? 1 : 2);
  }
}

// Probabilities 0.5, 0.25, 0.25: 0.5 is reached by one token, 0.6 needs the second.
TEST(SampleTokens, TopPKeepsTheSmallestSet) {
  const Vector logits = {0, std::log(2.0f), 0};
  EXPECT_EQ(Sample(logits, {1, 0.49f, 0}, 0.999), 1);
  EXPECT_EQ(Sample(logits, {1, 0.6f, 0}, 0.001), 0);
  EXPECT_EQ(Sample(logits, {1, 0.6f, 0}, 0.999), 1);
  EXPECT_EQ(Sample(logits, {1, 0.99f, 0}, 0.999), 2);
  EXPECT_EQ(Sample(logits, {1, 0, 0}, 0.999), 1);  // never an empty set
}

// After top_k 2 the likeliest has 2/3 of what is left, which reaches 0.6.
TEST(SampleTokens, TopPSeesWhatTopKLeft) { EXPECT_EQ(Sample({0, std::log(2.0f), 0}, {1, 0.6f, 2}, 0.001), 1); }

// Probabilities 1/7, 4/7, 2/7: shares of the likeliest 1/4, 1, 1/2.
TEST(SampleTokens, MinPIsAShareOfTheLikeliest) {
  const Vector logits = {0, std::log(4.0f), std::log(2.0f)};
  EXPECT_EQ(Sample(logits, {1, 1, 0, 0.24f}, 0.001), 0);
  EXPECT_EQ(Sample(logits, {1, 1, 0, 0.26f}, 0.001), 1);
  EXPECT_EQ(Sample(logits, {1, 1, 0, 0.49f}, 0.999), 2);
  EXPECT_EQ(Sample(logits, {1, 1, 0, 0.51f}, 0.999), 1);
  EXPECT_EQ(Sample({5, 3, 5, 4}, {1, 1, 0, 1}, 0.999), 2);  // ties of the likeliest stay
  // At temperature 2 the shares are 1/2, 1, 1/sqrt(2).
  EXPECT_EQ(Sample(logits, {2, 1, 0, 0.49f}, 0.001), 0);
  EXPECT_EQ(Sample(logits, {2, 1, 0, 0.51f}, 0.001), 1);
}

// top_p counts before min_p: 0.6 of the whole needs the second token (4/7 < 0.6), which min_p then leaves.
TEST(SampleTokens, TopPCountsWhatMinPWillDrop) {
  const Vector logits = {0, std::log(4.0f), std::log(2.0f)};
  EXPECT_EQ(Sample(logits, {1, 0.6f, 0, 0.4f}, 0.999), 2);
  EXPECT_EQ(Sample(logits, {1, 0.6f, 0, 0.6f}, 0.999), 1);
}

TEST(SampleTokens, ImpossibleTokensAreNeverDrawn) {
  Vector logits(3000, -kInfinity);
  logits[0] = -1e30f;
  logits[1500] = 4;
  logits[2999] = -200;  // exp(-204) is 0 in float
  for (const SamplingFilter& filter : {SamplingFilter{1, 1, 0}, {2, 1, 0}, {1, 0.9f, 50}, {1, 1, 0, 0.01f}}) {
    for (const double uniform : {1e-300, 0.5, 1 - 1e-16}) {
      float logprob;
      EXPECT_EQ(Sample(logits, filter, uniform, &logprob), 1500);
      EXPECT_EQ(logprob, 0);
    }
  }
}

TEST(SampleTokens, NotADistribution) {
  for (const SamplingFilter& filter : {SamplingFilter{1, 1, 0}, {2, 0.5f, 3}, {1, 1, 0, 0.5f}, {.temperature = 0}}) {
    for (const Vector& logits : {Vector{NAN, NAN}, Vector{1, NAN, 2}, Vector{-kInfinity, -kInfinity}}) {
      float logprob;
      const int32_t token = Sample(logits, filter, 0.5, &logprob);
      EXPECT_TRUE(token >= 0 && token < static_cast<int32_t>(logits.size()));
      EXPECT_TRUE(std::isnan(logprob)) << "and the caller can see it";
    }
  }
}

// Threads, the other rows and the place among them change nothing; fused sets draw the same.
TEST(SampleTokens, RowsAreIndependent) {
  const int64_t rows = 257, vocab = 1100;
  const Vector logits = Noise(rows * vocab, 5, -4, 4);
  std::vector<SamplingFilter> filters(rows);
  std::vector<double> uniform(rows);
  std::mt19937_64 random(6);
  for (int64_t r = 0; r < rows; ++r) {
    filters[r] = {r % 4 == 1 ? 0.8f : 1.0f, r % 4 == 2 ? 0.9f : 1.0f, r % 4 == 3 ? 20 : 0, r % 5 == 4 ? 0.05f : 0.0f};
    uniform[r] = std::uniform_real_distribution<double>(0, 1)(random);
  }
  std::vector<int32_t> first;
  Vector first_logprob;
  for (const InstructionSet& set : InstructionSets()) {
    if (!set.fused) continue;
    const OnInstructionSet on(set);
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<int32_t> token(rows);
      Vector logprob(rows);
      SampleTokens(pool, logits.data(), rows, vocab, filters.data(), uniform.data(), token.data(), logprob.data());
      if (first.empty()) first = token, first_logprob = logprob;
      EXPECT_EQ(token, first);
      EXPECT_TRUE(SameBytes(logprob, first_logprob));
      for (int64_t r = 0; r < rows; r += 13) {
        float alone;
        EXPECT_EQ(Sample(Slice(logits, r * vocab, (r + 1) * vocab), filters[r], uniform[r], &alone), token[r]);
        EXPECT_EQ(alone, logprob[r]);
      }
    }
  }
}

}  // namespace
}  // namespace hone::kernels
