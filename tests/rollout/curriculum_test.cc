// Which prompts next, and how many samples: the numbers of the papers.
#include "rollout/curriculum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "recipes/build.h"

namespace hone {
namespace {

using ::testing::ElementsAre;

Group WithRight(int samples, int right) {
  Group group;
  for (int i = 0; i < samples; ++i) group.samples.emplace_back().verdict.score = i < right ? 1 : 0;
  return group;
}

std::vector<int32_t> MoreOfEight(const std::string& spec) {
  const auto curriculum = BuildCurriculum(spec).value();
  std::vector<int32_t> more;
  for (int right = 0; right <= 8; ++right) {
    more.push_back(curriculum->MoreSamples(WithRight(8, right), 0));
    EXPECT_EQ(curriculum->MoreSamples(WithRight(8, right), 1), 0) << "one round of more samples";
  }
  return more;
}

// N = 8, p = k / 8, and 1/16 for k = 0.
//   equal:    8 (1 / (4 p (1 - p)) - 1) = 26.1, 10.3, 2.7, 0.5
//   hardness: 8 (1 / (2 p) - 1)         = 56, 24, 8, 2.7
TEST(Dars, GivesHardPromptsMore) {
  EXPECT_THAT(MoreOfEight("dars(max_samples=1000)"), ElementsAre(27, 11, 3, 1, 0, 0, 0, 0, 0));
  EXPECT_THAT(MoreOfEight("dars"), ElementsAre(24, 11, 3, 1, 0, 0, 0, 0, 0));  // at most 32 in all
  EXPECT_THAT(MoreOfEight("dars(schedule=hardness)"), ElementsAre(56, 24, 8, 3, 0, 0, 0, 0, 0));
  Group unknown = WithRight(8, 0);
  for (Sample& sample : unknown.samples) sample.verdict.score.reset();
  EXPECT_EQ(BuildCurriculum("dars").value()->MoreSamples(unknown, 0), 0);
}

class Rates : public PassRatePredictor {
 public:
  std::vector<double> Predict(std::span<const Prompt> /*prompts*/) override { return {0.1, 0.45, 0.9, 0.52}; }
  absl::Status Learn(std::span<const Group> groups, Metrics& /*metrics*/) override {
    learnt += groups.size();
    return absl::OkStatus();
  }
  size_t learnt = 0;
};

// |V - 1/2| = 0.4, 0.05, 0.4, 0.02.
TEST(PromptCurriculum, AsksTheNearestToItsTarget) {
  const auto curriculum = BuildCurriculum("prompt_curriculum(candidates=2)").value();
  Rates rates;
  curriculum->UsePredictor(&rates);
  const std::vector<Prompt> candidates(4);
  RandomSequence random(1, RandomStream::kOrder, 0);
  EXPECT_EQ(curriculum->candidates_per_prompt(), 2);
  EXPECT_THAT(curriculum->Choose(candidates, 2, random), ElementsAre(3, 1));
  Metrics metrics;
  const std::vector<Group> groups(2);
  EXPECT_TRUE(curriculum->Learn(groups, metrics).ok());
  EXPECT_EQ(rates.learnt, 2u);
}

// How often each of ten prompts, prompt i right in i of 9 answers, is among the two chosen of ten.
std::vector<int> Choices(const std::string& spec) {
  const auto curriculum = BuildCurriculum(spec).value();
  std::vector<Group> groups;
  std::vector<Prompt> candidates(10);
  for (int i = 0; i < 10; ++i) {
    candidates[i].key = static_cast<uint64_t>(i);
    groups.push_back(WithRight(9, i));
    groups.back().prompt.key = static_cast<uint64_t>(i);
  }
  Metrics metrics;
  EXPECT_TRUE(curriculum->Learn(groups, metrics).ok());
  EXPECT_EQ(metrics.Find("curriculum/prompts_known"), 10);
  std::vector<int> counts(10);
  for (uint64_t i = 0; i < 2000; ++i) {
    RandomSequence random(1, RandomStream::kOrder, i);
    for (const size_t index : curriculum->Choose(candidates, 2, random)) ++counts[index];
  }
  return counts;
}

TEST(PassRateMemory, PrefersWhatTeaches) {
  const std::vector<int> intermediate = Choices("pass_rate");
  EXPECT_GT(intermediate[4], 3 * intermediate[0]);
  EXPECT_GT(intermediate[4], 3 * intermediate[9]);
  EXPECT_GT(intermediate[9], 0) << "none is lost for ever";
  const std::vector<int> hard = Choices("pass_rate(prefer=hard)");
  EXPECT_GT(hard[0], hard[5]);
  EXPECT_GT(hard[5], 3 * hard[9]);
}

TEST(PassRateMemory, RefusesADamagedFile) {
  const std::string path = testing::TempDir() + "/rates.json";
  const auto curriculum = BuildCurriculum("pass_rate").value();
  ASSERT_TRUE(curriculum->Save(path).ok());
  ASSERT_TRUE(curriculum->Load(path).ok());
  for (const char* text :
       {"", "{}", "{\"pass_rates\": [[1]]}", "{\"pass_rates\": [[-1, 0.5]]}", "{\"pass_rates\": [[1, 0."}) {
    std::ofstream(path) << text;
    EXPECT_THAT(std::string(curriculum->Load(path).message()), ::testing::HasSubstr("rates.json: no list of")) << text;
  }
}

}  // namespace
}  // namespace hone
