// What the policy is compared with: frozen, following, and the same bits after a resume.
#include "trainer/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/base/file.h"
#include "engine/base/tensor.h"
#include "engine/checkpoint.h"
#include "tests/trainer/family_testing.h"

namespace hone {
namespace {

const std::vector<TokenId> kPrompt = {1, 4, 9};
const std::vector<std::vector<TokenId>> kAnswers = {{3, 7, 2}, {5}, {11, 2}};

std::vector<TrainGroup> Groups() {
  TrainGroup group{&kPrompt, {}};
  for (const auto& answer : kAnswers) group.samples.push_back({.tokens = &answer});
  return {group};
}

void Shift(Model& model, float by) {
  for (Parameter& parameter : model.parameters()) {
    std::vector<float> plain = PlainWeights(parameter, parameter.value);
    for (float& weight : plain) weight += by;
    AssignPlainWeights(parameter, plain.data(), parameter.value);
  }
}

std::vector<std::vector<float>> WeightsOf(const Model& model) {
  std::vector<std::vector<float>> weights;
  for (const Parameter& parameter : model.parameters()) weights.push_back(PlainWeights(parameter, parameter.value));
  return weights;
}

std::vector<float> Flat(const std::vector<std::vector<float>>& lists) {
  std::vector<float> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

TEST(Reference, OfTheStartKeepsItsBitsWhileThePolicyMoves) {
  ThreadPool pool(1);
  const auto policy = RandomModel(TwoLayerConfig(), &pool, 3);
  const std::vector<float> before = ScoreGroups(*policy, Groups(), 1000);
  auto reference = ReferencePolicy::New({ReferenceKind::kStart}, *policy, nullptr);
  ASSERT_TRUE(reference.ok()) << reference.status();
  Shift(*policy, 0.05f);
  (*reference)->Follow(*policy);                         // does not: it is frozen
  const auto scores = (*reference)->Score(Groups(), 2);  // micro-batches of two rows
  ASSERT_EQ(scores.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(scores[i].size(), kAnswers[i].size());
  EXPECT_EQ(Flat(scores), before);
  EXPECT_NE(ScoreGroups(*policy, Groups(), 1000), before);
}

TEST(Reference, FillsSamplesThatHaveAVerdict) {
  ThreadPool pool(1);
  const auto policy = RandomModel(TwoLayerConfig(), &pool, 3);
  const auto reference = ReferencePolicy::New({ReferenceKind::kStart}, *policy, nullptr);
  std::vector<Group> groups(2);
  for (Group& group : groups) group.prompt.tokens = kPrompt;
  groups[0].samples.resize(1);
  groups[0].samples[0].tokens = kAnswers[1];  // no verdict
  groups[1].samples.resize(2);
  for (size_t i = 0; i < 2; ++i) {
    groups[1].samples[i].tokens = kAnswers[2 * i];
    groups[1].samples[i].verdict.score = 0.5;
  }
  (*reference)->Score(groups, 1000);
  EXPECT_TRUE(groups[0].samples[0].reference.empty());
  const std::vector<float> all = ScoreGroups(*policy, Groups(), 1000);
  EXPECT_EQ(groups[1].samples[0].reference, std::vector<float>(all.begin(), all.begin() + 3));
  EXPECT_EQ(groups[1].samples[1].reference, std::vector<float>(all.begin() + 4, all.end()));
}

// decay 0.75, the policy moves by 0.4 and then stays: the reference is 0.1, then 0.175 away from where it began.
TEST(Reference, OfAnAverageFollowsAndResumes) {
  ThreadPool pool(1);
  const auto policy = RandomModel(TwoLayerConfig(), &pool, 3);
  const ReferenceOptions options{ReferenceKind::kEma, "", 0.75};
  const auto began = WeightsOf(*policy);
  auto reference = ReferencePolicy::New(options, *policy, nullptr);
  ASSERT_TRUE(reference.ok()) << reference.status();
  Shift(*policy, 0.4f);
  (*reference)->Follow(*policy);
  ASSERT_TRUE(MakeFolder("checkpoint").ok());
  ASSERT_TRUE(MakeFolder("checkpoint/state").ok());
  ASSERT_TRUE((*reference)->Save("checkpoint").ok());
  (*reference)->Follow(*policy);
  const StageStart start{"", 0, "checkpoint"};
  auto resumed = ReferencePolicy::New(options, *policy, &start);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  const auto once = WeightsOf((*resumed)->model()), twice = WeightsOf((*reference)->model());
  for (size_t p = 0; p < began.size(); ++p) {
    for (size_t i = 0; i < began[p].size(); ++i) {
      EXPECT_NEAR(once[p][i] - began[p][i], 0.1, 1e-6);
      EXPECT_NEAR(twice[p][i] - began[p][i], 0.175, 1e-6);
    }
  }
  (*resumed)->Follow(*policy);
  EXPECT_EQ(WeightsOf((*resumed)->model()), twice);
}

TEST(Reference, OfTheStartOfANewModelComesFromItsSeed) {
  ThreadPool pool(1);
  const auto policy = std::move(NewModel(TwoLayerConfig(), &pool)).value();
  InitializeWeights(*policy, 8);
  const auto began = WeightsOf(*policy);
  Shift(*policy, 0.1f);
  const StageStart start{"", 8, "nowhere"};
  const auto resumed = ReferencePolicy::New({ReferenceKind::kStart}, *policy, &start);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(WeightsOf((*resumed)->model()), began);
}

TEST(Reference, MissingModelsAndStatesAreNamed) {
  ThreadPool pool(1);
  const auto policy = RandomModel(TwoLayerConfig(), &pool, 3);
  const StageStart start{"no/stage", 0, "no/checkpoint"};
  const auto message = [&](const ReferenceOptions& options) {
    return std::string(ReferencePolicy::New(options, *policy, &start).status().message());
  };
  EXPECT_NE(message({ReferenceKind::kModel, "no/model"}).find("no/model"), std::string::npos);
  EXPECT_NE(message({ReferenceKind::kStart}).find("no/stage"), std::string::npos);
  EXPECT_NE(message({ReferenceKind::kEma, "", 0.9}).find("no/checkpoint/state/reference.safetensors"),
            std::string::npos);
}

}  // namespace
}  // namespace hone
