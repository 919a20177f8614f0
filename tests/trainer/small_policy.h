// A policy of a few thousand weights and made-up rollouts for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/base/types.h"
#include "recipes/build.h"
#include "tests/trainer/family_testing.h"
#include "trainer/batch.h"
#include "trainer/run_options.h"

namespace hone {

constexpr int32_t kSmallVocabulary = 23;  // TwoLayerConfig's

inline std::unique_ptr<Model> SmallPolicy(ThreadPool* pool, double initializer_std = 0.3) {
  ModelConfig config = TwoLayerConfig(/*tied=*/false);
  config.initializer_std = initializer_std;
  return RandomModel(config, pool, 3);
}

// Three prompts with three answers each, of 1 .. 9 tokens; rewards 0 or 1.
inline std::vector<Group> SmallGroups() {
  RandomSequence random(5, RandomStream::kTask, 1);
  const auto tokens = [&](uint32_t length) {
    std::vector<TokenId> list;
    for (uint32_t i = 0; i < length; ++i) list.push_back(static_cast<TokenId>(random.Below(kSmallVocabulary)));
    return list;
  };
  std::vector<Group> groups;
  for (const uint32_t length : {3u, 16u, 21u}) {
    Group group;
    group.prompt.tokens = tokens(length);
    for (int j = 0; j < 3; ++j) {
      Sample sample;
      sample.index = j;
      sample.tokens = tokens(1 + random.Below(9));
      for (size_t i = 0; i < sample.tokens.size(); ++i)
        sample.logprobs.push_back(static_cast<float>(-1 - 3 * random.Uniform()));
      sample.policy_version = -1;
      sample.verdict.score = random.Below(2);
      group.samples.push_back(sample);
    }
    groups.push_back(group);
  }
  return groups;
}

inline Stage SmallStage(const std::string& loss, double learning_rate) {
  Stage stage;
  stage.name = "small";
  stage.loss = *BuildLoss(loss);
  stage.advantage = *BuildAdvantage("gae");
  stage.schedule.peak = learning_rate;
  return stage;
}

inline std::vector<std::vector<float>> Weights(const Model& model) {
  std::vector<std::vector<float>> weights;
  for (const Parameter& parameter : model.parameters()) weights.push_back(PlainWeights(parameter, parameter.value));
  return weights;
}

}  // namespace hone
