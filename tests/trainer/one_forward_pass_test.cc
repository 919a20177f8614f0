// The product's first promise: the generator's log-probabilities and the trainer's are the same bits, whatever the batch, the
// memory budget, the threads or the packing.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "engine/base/random.h"
#include "engine/generator.h"
#include "engine/model/model.h"
#include "tests/trainer/family_testing.h"
#include "trainer/batch.h"

namespace hone {
namespace {

std::unique_ptr<Model> SmallModel(ThreadPool* pool) { return RandomModel(WideConfig(), pool, 7); }

// Everything that follows from one pass for all, of each family.
class OneForwardPass : public testing::TestWithParam<std::pair<std::string, ModelConfig>> {
 protected:
  std::unique_ptr<Model> FamilyModel(ThreadPool* pool) const { return RandomModel(GetParam().second, pool, 7); }
};

INSTANTIATE_TEST_SUITE_P(Families, OneForwardPass, testing::ValuesIn(EveryFamily(WideConfig())),
                         [](const auto& info) { return info.param.first; });

// Prompts of 1 .. 40 tokens: shorter and longer than a page of 16, and exactly one page.
std::vector<Prompt> Prompts(int count) {
  std::vector<Prompt> prompts(count);
  RandomSequence random(3, RandomStream::kTask, 0);
  for (int i = 0; i < count; ++i) {
    prompts[i].key = i;
    const uint32_t length = i == 0 ? 1 : i == 1 ? 16 : i == 2 ? 32 : 1 + random.Below(40);
    for (uint32_t j = 0; j < length; ++j) prompts[i].tokens.push_back(static_cast<TokenId>(random.Below(37)));
  }
  return prompts;
}

using Samples = std::map<std::pair<size_t, int32_t>, Sample>;  // (request, index)

Samples Generate(const Model& model, const std::vector<Prompt>& prompts, int32_t n, GeneratorLimits limits) {
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, n});
  GenerationOptions options;
  options.max_new_tokens = 30;
  options.seed = 11;
  Samples samples;
  Generator generator(&model, nullptr, limits);
  const absl::Status status = generator.Run(requests, options, [&](size_t request, Sample sample) {
    EXPECT_TRUE(samples.emplace(std::pair{request, sample.index}, sample).second) << "a sample came twice";
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(samples.size(), prompts.size() * n);
  return samples;
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST_P(OneForwardPass, SamplesDoNotDependOnBatchMemoryOrThreads) {
  ThreadPool one(1), two(2);
  const auto model = FamilyModel(&one), threaded = FamilyModel(&two);
  const std::vector<Prompt> prompts = Prompts(12);
  const Samples expected = Generate(*model, prompts, 5, {});
  const int64_t page = model->config().kv_page_bytes();
  const GeneratorLimits alone{int64_t{1} << 30, 1, 4096}, crowded{page * 9, 7, 13}, chunked{int64_t{1} << 30, 1024, 5};
  for (const auto& [name, samples] :
       {std::pair{"one at a time", Generate(*model, prompts, 5, alone)},
        {"nine pages, seven samples, thirteen rows", Generate(*model, prompts, 5, crowded)},
        {"prompts in chunks of five", Generate(*model, prompts, 5, chunked)},
        {"two threads", Generate(*threaded, prompts, 5, {})}}) {
    for (const auto& [key, sample] : expected) {
      SCOPED_TRACE(absl::StrCat(name, ", prompt ", key.first, ", sample ", key.second));
      EXPECT_EQ(samples.at(key).tokens, sample.tokens);
      ExpectSameBits(samples.at(key).logprobs, sample.logprobs);
    }
  }
}

TEST_P(OneForwardPass, TrainerScoresWithTheGeneratorsBits) {
  ThreadPool one(1), two(2);
  const auto model = FamilyModel(&one), threaded = FamilyModel(&two);
  const std::vector<Prompt> prompts = Prompts(12);
  const Samples samples = Generate(*model, prompts, 5, {});
  std::vector<TrainGroup> groups, singles;
  std::vector<float> sampled;
  for (size_t i = 0; i < prompts.size(); ++i) {
    groups.push_back({&prompts[i].tokens, {}});
    for (int32_t j = 0; j < 5; ++j) {
      const Sample& sample = samples.at({i, j});
      groups.back().samples.push_back({&sample.tokens});
      singles.push_back({&prompts[i].tokens, {{&sample.tokens}}});
      sampled.insert(sampled.end(), sample.logprobs.begin(), sample.logprobs.end());
    }
  }
  ExpectSameBits(ScoreGroups(*model, groups, 1 << 20), sampled);
  ExpectSameBits(ScoreGroups(*model, groups, 50), sampled);
  ExpectSameBits(ScoreGroups(*model, singles, 1 << 20), sampled);
  ExpectSameBits(ScoreGroups(*threaded, groups, 1 << 20), sampled);
}

TEST(Generator, GreedyTakesTheLikeliestToken) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  const std::vector<Prompt> prompts = Prompts(3);
  GenerationOptions options;
  options.temperature = 0;
  options.max_new_tokens = 8;
  Generator generator(model.get(), nullptr, {});
  for (const Prompt& prompt : prompts) {
    const GenerationRequest request{&prompt, 1};
    std::vector<TokenId> answer;
    ASSERT_TRUE(generator.Run({&request, 1}, options, [&](size_t, Sample sample) { answer = sample.tokens; }).ok());
    // Every other token in the first place is at most as likely.
    std::vector<std::vector<TokenId>> others;
    for (TokenId token = 0; token < model->config().vocab_size; ++token) others.push_back({token});
    TrainGroup group{&prompt.tokens, {}};
    for (const auto& other : others) group.samples.push_back({&other});
    const std::vector<float> scores = ScoreGroups(*model, {&group, 1}, 1 << 20);
    EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), answer[0]);
    double total = 0;
    for (const float score : scores) total += std::exp(score);
    EXPECT_NEAR(total, 1, 1e-5);
  }
}

TEST(Generator, ImpossibleRequestsAreRefusedBeforeTheFirstToken) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  std::vector<Prompt> prompts = Prompts(1);
  const auto run = [&](const GenerationOptions& options, GeneratorLimits limits) {
    const GenerationRequest request{prompts.data(), 1};
    return std::string(
        Generator(model.get(), nullptr, limits).Run({&request, 1}, options, [](size_t, Sample) {}).message());
  };
  GenerationOptions options;
  options.max_new_tokens = 200;
  EXPECT_EQ(run(options, {}),
            "prompt 0: 1 tokens and 200 new ones exceed the model's 128 positions; shorten the prompt or lower "
            "max_new_tokens");
  options.max_new_tokens = 100;
  EXPECT_NE(run(options, {model->config().kv_page_bytes() * 3, 8, 64}).find("one sequence needs"), std::string::npos);
  prompts[0].tokens = {99};
  EXPECT_EQ(run(options, {}), "prompt 0: token 99 is outside the vocabulary of 37");
  prompts[0].tokens = {};
  EXPECT_EQ(run(options, {}), "prompt 0 has no tokens; give it at least one");
}

}  // namespace
}  // namespace hone
