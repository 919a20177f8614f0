// The upper half of a step: which prompts are asked, which groups train, which wait.
#include "trainer/group_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "engine/tokenizer.h"
#include "rollout/group_store.h"
#include "tests/trainer/small_policy.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AlwaysRight : public Verifier {
 public:
  Verdict Verify(const Prompt& /*prompt*/, const std::string& /*completion*/) const override { return {1.0, "", {}}; }
};

// Keeps the prompts whose keys it likes.
class Likes : public Gate {
 public:
  Likes(std::function<bool(uint64_t)> likes, int64_t max_rounds) : likes_(std::move(likes)), max_rounds_(max_rounds) {}
  bool Keeps(const Group& group) const override { return likes_(group.prompt.key); }
  int64_t max_rounds() const override { return max_rounds_; }

 private:
  std::function<bool(uint64_t)> likes_;
  int64_t max_rounds_;
};

std::unique_ptr<Gate> Multiples(uint64_t of, int64_t max_rounds) {
  return std::make_unique<Likes>([of](uint64_t key) { return key % of == 0; }, max_rounds);
}

class GroupSourceTest : public ::testing::Test {
 protected:
  GroupSourceTest() : pool_(1), policy_(SmallPolicy(&pool_)), generator_(policy_.get(), nullptr, {}) {
    Spec spec = Spec::Parse("sentencepiece(model_type=char)").value();
    tokenizer_ = TrainTokenizer(spec, {"abcdefghijklmnop"}).value();
    stage_.curriculum = BuildCurriculum("uniform").value();
    stage_.prompts_per_step = 4;
    stage_.samples_per_prompt = 2;
    stage_.max_new_tokens = 3;
  }

  // Keys of what trains; of a task with `size` prompts, 0 for an endless one.
  std::vector<uint64_t> Step(uint64_t size = 0) {
    const Collector collector(tokenizer_.get(), &verifier_, &generator_);
    const auto next = [&]() -> absl::StatusOr<Prompt> {
      Prompt prompt;
      prompt.key = size > 0 ? next_++ % size : next_++;
      prompt.tokens = {1, 2};
      return prompt;
    };
    const GroupSource source(stage_, collector, next, size > 0 ? std::optional(size) : std::nullopt);
    GenerationOptions generation{.max_new_tokens = 3, .step = ++step_};
    metrics_ = Metrics();
    auto gathered = source.Gather(
        generation, waiting_,
        [&](const Rollout& rollout) {
          asked_.clear();
          for (const Group& group : rollout.groups) asked_.push_back(group.prompt.key);
          return inspected_;
        },
        metrics_);
    status_ = gathered.status();
    if (!gathered.ok()) return {};
    missing_ = gathered->missing;
    std::vector<uint64_t> keys;
    for (const Group& group : gathered->trained) keys.push_back(group.prompt.key);
    return keys;
  }

  ThreadPool pool_;
  std::unique_ptr<Model> policy_;
  Generator generator_;
  std::unique_ptr<Tokenizer> tokenizer_;
  AlwaysRight verifier_;
  Stage stage_;
  std::vector<Group> waiting_;
  Metrics metrics_;
  absl::Status status_, inspected_;
  std::vector<uint64_t> asked_;
  std::string missing_;
  uint64_t next_ = 0, step_ = 0;
};

TEST_F(GroupSourceTest, WithoutAGateAsksOnce) {
  EXPECT_THAT(Step(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Step(), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(metrics_.Find("gate/rounds"), std::nullopt);
}

// Of 0 .. 3 the gate keeps 0 and 2, half: for the two that are missing 4 .. 7 are asked, of which 4 and 6 are kept.
TEST_F(GroupSourceTest, AsksForWhatIsMissing) {
  stage_.gate = Multiples(2, 10);
  EXPECT_THAT(Step(), ElementsAre(0, 2, 4, 6));
  EXPECT_EQ(metrics_.Find("gate/rounds"), 2);
  EXPECT_EQ(metrics_.Find("gate/kept"), 0.5);
  EXPECT_EQ(metrics_.Find("gate/missing"), 0);
}

// 0 .. 3 give 0 and 3; at half of them kept, 4 .. 7 give 6; at three of eight, 8 .. 10 give 9.
TEST_F(GroupSourceTest, GivesUpInTime) {
  stage_.gate = Multiples(3, 2);
  EXPECT_THAT(Step(), ElementsAre(0, 3, 6));
  EXPECT_EQ(metrics_.Find("gate/missing"), 1);
  EXPECT_THAT(missing_, HasSubstr("the gate kept fewer than prompts_per_step 4 groups in up to 2 rounds"));
}

TEST_F(GroupSourceTest, AsksNoPromptTwiceInAStep) {
  stage_.gate = Multiples(3, 50);
  stage_.curriculum = BuildCurriculum("pass_rate(candidates=3)").value();
  for (int step = 0; step < 5; ++step) {
    EXPECT_LE(Step(7).size(), 3u) << "0, 3 and 6 are all there are";
    EXPECT_EQ(std::set<uint64_t>(asked_.begin(), asked_.end()).size(), asked_.size());
    EXPECT_EQ(asked_.size(), 7u);
  }
}

// 0 .. 2 give 0; at a third, two missing ask for as many as a step wants, 3 .. 5, and all are kept.
TEST_F(GroupSourceTest, WhatIsTooMuchWaits) {
  stage_.prompts_per_step = 3;
  stage_.gate = std::make_unique<Likes>([](uint64_t key) { return key == 0 || key > 2; }, 10);
  stage_.max_staleness = 1;
  EXPECT_THAT(Step(), ElementsAre(0, 3, 4));
  ASSERT_EQ(waiting_.size(), 1u);
  EXPECT_EQ(waiting_[0].prompt.key, 5u);
  EXPECT_EQ(metrics_.Find("gate/waiting"), 1);
  EXPECT_THAT(Step(), ElementsAre(5, 6, 7)) << "what waited first, and the two others";
  EXPECT_THAT(asked_, ElementsAre(6, 7));
  EXPECT_TRUE(waiting_.empty());

  // Of two that wait one is too old.
  stage_.prompts_per_step = 1;
  waiting_.resize(2);
  waiting_[0].step = static_cast<int64_t>(step_) - 1;
  waiting_[1].step = static_cast<int64_t>(step_);
  waiting_[1].prompt.key = 100;
  EXPECT_THAT(Step(), ElementsAre(100));
  EXPECT_TRUE(asked_.empty()) << "what waited was enough";
  stage_.max_staleness = 0;
  stage_.prompts_per_step = 3;
  stage_.gate = std::make_unique<Likes>([first = next_](uint64_t key) { return key == first || key > first + 2; }, 10);
  Step();
  EXPECT_TRUE(waiting_.empty()) << "nothing may wait";
}

TEST_F(GroupSourceTest, AnErrorLeavesWhatWaits) {
  waiting_.resize(1);
  waiting_[0].prompt.key = 7;
  waiting_[0].step = 0;
  stage_.max_staleness = 1;
  stage_.gate = Multiples(1, 1);
  inspected_ = absl::InternalError("no verdicts");
  Step();
  EXPECT_EQ(status_.message(), "no verdicts");
  ASSERT_EQ(waiting_.size(), 1u);
  EXPECT_EQ(waiting_[0].prompt.key, 7u);
}

TEST_F(GroupSourceTest, GroupsSurviveAFile) {
  std::vector<Group> groups = SmallGroups();
  groups[0].step = 9;
  groups[0].samples[1].parent = 0;
  groups[0].samples[1].branch_at = 1;
  groups[0].samples[2].verdict.score.reset();
  groups[1].samples[0].shaping = -0.25;
  groups[1].greedy = groups[1].samples[1];
  const std::string path = testing::TempDir() + "/some.groups";
  ASSERT_TRUE(WriteGroups(path, groups).ok());
  const auto read = ReadGroups(path);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group &group = groups[i], &copy = (*read)[i];
    EXPECT_EQ(copy.prompt.tokens, group.prompt.tokens);
    EXPECT_EQ(copy.step, group.step);
    EXPECT_EQ(copy.greedy.has_value(), group.greedy.has_value());
    ASSERT_EQ(copy.samples.size(), group.samples.size());
    for (size_t j = 0; j < group.samples.size(); ++j) {
      const Sample &sample = group.samples[j], &other = copy.samples[j];
      EXPECT_EQ(other.tokens, sample.tokens);
      EXPECT_EQ(other.logprobs, sample.logprobs);
      EXPECT_EQ(other.reward(), sample.reward());
      EXPECT_EQ(other.parent, sample.parent);
      EXPECT_EQ(other.branch_at, sample.branch_at);
      EXPECT_EQ(other.policy_version, sample.policy_version);
    }
  }
}

}  // namespace
}  // namespace hone
