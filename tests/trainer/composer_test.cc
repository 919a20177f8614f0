// Which samples form the batch.
#include "trainer/composer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::ElementsAre;

struct Answer {
  size_t tokens;
  double score, advantage;
};

Group Answered(TokenId prompt, PolicyVersion version, const std::vector<Answer>& answers) {
  Group group;
  group.prompt.key = static_cast<uint64_t>(prompt);
  group.prompt.tokens = {prompt};
  for (const Answer& answer : answers) {
    Sample& sample = group.samples.emplace_back();
    sample.index = static_cast<int32_t>(group.samples.size()) - 1;
    sample.tokens.assign(answer.tokens, static_cast<TokenId>(answer.tokens));
    sample.logprobs.assign(answer.tokens, -0.25f * static_cast<float>(version));
    sample.advantages.assign(answer.tokens, static_cast<float>(answer.advantage));
    sample.verdict.score = answer.score;
    sample.policy_version = version;
  }
  return group;
}

std::vector<TrainGroup> Offer(const std::vector<Group>& groups) {
  std::vector<TrainGroup> offered;
  for (const Group& group : groups) {
    TrainGroup& train = offered.emplace_back(TrainGroup{&group.prompt.tokens, {}});
    for (const Sample& sample : group.samples) {
      train.samples.push_back({.tokens = &sample.tokens,
                               .logprobs = &sample.logprobs,
                               .advantages = &sample.advantages,
                               .policy_version = sample.policy_version,
                               .is_correct = *sample.verdict.score >= kCorrectScore});
    }
  }
  return offered;
}

std::vector<size_t> Lengths(const TrainGroup& group) {
  std::vector<size_t> lengths;
  for (const TrainSample& sample : group.samples) lengths.push_back(sample.tokens->size());
  return lengths;
}

// Right answers of 5, 2, 4 tokens, wrong ones of 3, 6: half of each, rounded up, is 2 and 4, and 6.
TEST(RoRecomp, ShortRightAndLongWrongFirst) {
  const auto composer = BuildComposer("rorecomp(buffer=2)").value();
  const std::vector<Group> groups = {
      Answered(1, 3, {{5, 1, 0.4}, {3, 0, -0.6}, {2, 1, 0.4}, {6, 0, -0.6}, {4, 1, 0.4}})};
  Metrics metrics;
  const auto batches = composer->Compose({1, 1}, Offer(groups), metrics);
  ASSERT_EQ(batches.size(), 2u);  // what was left out, 5 and 3, fills a buffer of 2
  EXPECT_THAT(Lengths(batches[0][0]), ElementsAre(2, 4, 6));
  ASSERT_EQ(batches[1].size(), 2u);
  EXPECT_THAT(Lengths(batches[1][0]), ElementsAre(5));
  EXPECT_THAT(Lengths(batches[1][1]), ElementsAre(3));
  const TrainSample& later = batches[1][1].samples[0];
  EXPECT_THAT(*later.advantages, ElementsAre(-0.6f, -0.6f, -0.6f)) << "that of its whole group";
  EXPECT_THAT(*later.logprobs, ElementsAre(-0.75f, -0.75f, -0.75f)) << "under the policy that sampled it";
  EXPECT_EQ(later.policy_version, 3);
}

// Advantages 1, 0.2, -0.2, -1: pairs of weight 2 and 0.4, of which half, the first, is kept.
TEST(ShuffleR1, PairsTheBestWithTheWorst) {
  const auto composer = BuildComposer("shuffle_r1(rounds=4)").value();
  std::vector<Group> groups;
  for (TokenId prompt = 0; prompt < 8; ++prompt) {
    const double scale = prompt < 2 ? 1 : 0.05;
    groups.push_back(Answered(prompt, 1, {{1, 0, -0.2 * scale}, {2, 1, scale}, {3, 0, -scale}, {4, 1, 0.2 * scale}}));
  }
  groups.push_back(Answered(8, 1, {{1, 1, 0}, {2, 1, 0}}));  // teaches nothing
  std::map<TokenId, int> drawn;
  Metrics metrics;
  const int steps = 200;
  for (int64_t step = 1; step <= steps; ++step) {
    const auto batches = composer->Compose({1, step}, Offer(groups), metrics);
    ASSERT_EQ(batches.size(), 1u);
    EXPECT_EQ(batches[0].size(), 8u) << "as many pairs as were kept, in 4 rounds of 2";
    for (size_t round = 0; round < 4; ++round) {
      EXPECT_NE(batches[0][2 * round].prompt, batches[0][2 * round + 1].prompt) << "twice in a round";
    }
    for (const TrainGroup& pair : batches[0]) {
      EXPECT_THAT(Lengths(pair), ElementsAre(2, 3));
      ++drawn[pair.prompt->front()];
    }
  }
  EXPECT_EQ(drawn.count(8), 0u);
  // Two pairs of weight 2, six of 0.1: a strong one is in nearly every round of 2, a weak one in few.
  EXPECT_GT(drawn[0], 3 * steps);
  EXPECT_LT(drawn[5], steps);
}

TEST(Replay, BringsBackRightAnswersToTheSamePrompt) {
  const auto composer = BuildComposer("replay(samples=2)").value();
  Metrics metrics;
  std::vector<Group> first = {Answered(1, 1, {{1, 1, 0}, {2, 0, 0}, {3, 1, 0}, {1, 1, 0}, {4, 1, 0}}),
                              Answered(2, 1, {{7, 0, 0}})};
  composer->Blend({1, 1}, first, metrics);
  EXPECT_EQ(first[0].samples.size(), 5u) << "nothing is earlier than the first step";
  EXPECT_EQ(metrics.Find("composer/pool"), 3) << "1, 3 and 4; the second 1 is the same answer";

  std::map<size_t, int> seen;
  for (int64_t step = 2; step < 40; ++step) {
    std::vector<Group> later = {Answered(2, step, {{8, 0, 0}}), Answered(1, step, {{2, 0, 0}, {6, 0, 0}})};
    composer->Blend({1, step}, later, metrics);
    EXPECT_EQ(later[0].samples.size(), 1u) << "no right answer to prompt 2 is known";
    ASSERT_EQ(later[1].samples.size(), 4u);
    std::set<size_t> lengths;
    for (size_t i = 2; i < 4; ++i) {
      const Sample& sample = later[1].samples[i];
      EXPECT_EQ(sample.index, static_cast<int32_t>(i));
      EXPECT_EQ(sample.policy_version, 1);
      EXPECT_EQ(sample.logprobs, std::vector<float>(sample.tokens.size(), -0.25f));
      EXPECT_EQ(sample.reward(), 1);
      lengths.insert(sample.tokens.size());
    }
    EXPECT_EQ(lengths.size(), 2u) << "without replacement";
    for (const size_t length : lengths) ++seen[length];
  }
  EXPECT_EQ(seen.size(), 3u) << "at random";
}

// 1 MiB holds 1 << 20 over 1800 + (1 + 1000) x 4 + 1000 x 4 bytes: 106 answers of 1000 tokens.
TEST(Replay, ForgetsTheOldestWhereMemoryEnds) {
  const auto composer = BuildComposer("replay(samples=1, max_megabytes=1)").value();
  Metrics metrics;
  for (TokenId prompt = 0; prompt < 200; ++prompt) {
    std::vector<Group> groups = {Answered(prompt, 1, {{1000, 1, 0}})};
    composer->Blend({1, 1}, groups, metrics);
  }
  EXPECT_EQ(metrics.Find("composer/pool"), 106);
  std::vector<Group> asked = {Answered(93, 2, {{2, 0, 0}}), Answered(94, 2, {{2, 0, 0}})};
  composer->Blend({1, 2}, asked, metrics);
  EXPECT_EQ(asked[0].samples.size(), 1u) << "200 - 106 = 94 are forgotten";
  EXPECT_EQ(asked[1].samples.size(), 2u);
}

}  // namespace
}  // namespace hone
