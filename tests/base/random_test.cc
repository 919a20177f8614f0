#include "engine/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace hone {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers of Random123 1.09, tests/kat_vectors, "philox4x32 10".
TEST(PhiloxTest, KnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(SamplingUniformTest, EveryPartOfTheKeyCounts) {
  const SamplingKey key{.seed = 1, .step = 2, .prompt = 3, .sample = 4};
  std::set<double> seen = {SamplingUniform(key, 5)};
  for (const uint64_t bit : {uint64_t{1} << 10, uint64_t{1} << 40}) {  // both halves of the 64-bit parts
    seen.insert(SamplingUniform({.seed = 1 ^ bit, .step = 2, .prompt = 3, .sample = 4}, 5));
    seen.insert(SamplingUniform({.seed = 1, .step = 2 ^ bit, .prompt = 3, .sample = 4}, 5));
    seen.insert(SamplingUniform({.seed = 1, .step = 2, .prompt = 3 ^ bit, .sample = 4}, 5));
  }
  seen.insert(SamplingUniform({.seed = 1, .step = 2, .prompt = 3, .sample = 5}, 5));
  seen.insert(SamplingUniform(key, 6));
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(SamplingUniform(key, 5), SamplingUniform(key, 5));
}

// Checkpoints of old runs resume only while these numbers stay.
TEST(SamplingUniformTest, IsFrozen) {
  // Key of the second call: the first two words of Philox(counter {2, 0, kSampling = 2, 0}, key {1, 0}); its counter {3, 0, 4, 5}.
  const Block folded = Philox4x32({2, 0, 2, 0}, {1, 0});
  const Block drawn = Philox4x32({3, 0, 4, 5}, {folded[0], folded[1]});
  EXPECT_EQ(SamplingUniform({.seed = 1, .step = 2, .prompt = 3, .sample = 4}, 5), (drawn[0] + 0.5) / 4294967296.0);
}

TEST(SamplingUniformTest, FillsTheUnitIntervalEvenly) {
  // 20,000 numbers in 20 cells: 1,000 each, standard deviation 31; and none is 0 or 1.
  std::vector<int> cells(20);
  for (uint32_t position = 0; position < 20000; ++position) {
    const double u = SamplingUniform({.seed = 7, .step = 1, .prompt = 9, .sample = 0}, position);
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
    ++cells[static_cast<size_t>(u * 20)];
  }
  for (const int count : cells) EXPECT_NEAR(count, 1000, 5 * 31);
}

TEST(RandomSequenceTest, SeedStreamAndIndexSetSequencesApart) {
  std::set<uint64_t> seen;
  for (const uint64_t seed : {uint64_t{1}, uint64_t{1} << 32}) {
    for (const RandomStream stream : {RandomStream::kWeights, RandomStream::kTask, RandomStream::kOrder}) {
      for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
        RandomSequence sequence(seed, stream, index), same(seed, stream, index);
        uint64_t first = sequence.Next();
        first = first << 32 | sequence.Next();
        seen.insert(first);
        EXPECT_EQ(same.Next(), first >> 32);
      }
    }
  }
  EXPECT_EQ(seen.size(), 18u);
}

TEST(RandomSequenceTest, BelowIsUniform) {
  RandomSequence sequence(3, RandomStream::kTask, 0);
  EXPECT_EQ(sequence.Below(1), 0u);
  // 7 values, 14,000 draws: 2,000 each, standard deviation 41.
  std::vector<int> counts(7);
  for (int i = 0; i < 14000; ++i) {
    const uint32_t value = sequence.Below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, 2000, 5 * 41);
  // With bound 3 * 2^30 a biased remainder gives values below 2^30 half of the time instead of a third.
  int low = 0;
  for (int i = 0; i < 9000; ++i) low += sequence.Below(3u << 30) < (1u << 30);
  EXPECT_NEAR(low, 3000, 5 * 45);
}

TEST(RandomSequenceTest, NormalHasItsMoments) {
  RandomSequence sequence(5, RandomStream::kWeights, 1);
  constexpr int kCount = 40000;
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = sequence.Normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x, squares += x * x, fourths += x * x * x * x;
  }
  // Standard errors: mean 1/200, variance sqrt(2)/200, fourth moment sqrt(96)/200.
  EXPECT_NEAR(sum / kCount, 0, 5 / 200.0);
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2) / 200);
  EXPECT_NEAR(fourths / kCount, 3, 5 * std::sqrt(96) / 200);
}

}  // namespace
}  // namespace hone
