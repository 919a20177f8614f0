// A model with more rows than its tokenizer has tokens, as Qwen's have. The rows belong to the distribution, as in transformers and vLLM: generator
// and trainer take the softmax over all of them, so what is drawn has the trainer's log-probability. A token without a text shows as nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/generator.h"
#include "rollout/collector.h"
#include "tests/engine/small_model.h"
#include "tests/engine/tokenizer_testing.h"
#include "tests/trainer/family_testing.h"
#include "trainer/batch.h"

namespace hone {
namespace {

constexpr int32_t kTokens = 259;  // of ByteLevelFile
constexpr int32_t kRows = 320;

std::unique_ptr<Model> PaddedModel(ThreadPool* pool) {
  ModelConfig config = SmallConfig();
  config.family = "qwen2";
  config.vocab_size = kRows;
  config.end_tokens = {258};
  return RandomModel(config, pool, 7);
}

bool IsPadding(TokenId token) { return token >= kTokens; }

TEST(PaddedVocabulary, RowsWithoutATokenAreDrawnScoredAndShownAsNothing) {
  ThreadPool pool(1);
  const auto model = PaddedModel(&pool);
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  std::vector<Prompt> prompts(4);
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].key = i;
    prompts[i].tokens = {'a', static_cast<TokenId>(kTokens + i), 'b'};
  }
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, 8});
  GenerationOptions options;
  options.max_new_tokens = 20;
  options.stop = {"z"};
  std::vector<std::pair<size_t, Sample>> samples;
  Generator generator(model.get(), tokenizer.get(), {});
  ASSERT_TRUE(generator
                  .Run(requests, options,
                       [&](size_t request, Sample sample) { samples.emplace_back(request, std::move(sample)); })
                  .ok());

  int64_t padding = 0;
  for (auto& [request, sample] : samples) {
    padding += std::count_if(sample.tokens.begin(), sample.tokens.end(), IsPadding);
    ASSERT_TRUE(DecodeSample(*tokenizer, options.stop, sample).ok());
    Sample known = sample;
    std::erase_if(known.tokens, IsPadding);
    ASSERT_TRUE(DecodeSample(*tokenizer, options.stop, known).ok());
    EXPECT_EQ(sample.text, known.text);
    std::string streamed;
    StreamDecoder decoder(tokenizer->texts());
    for (const TokenId token : sample.tokens) decoder.Push(token, streamed);
    decoder.Finish(streamed);
    EXPECT_EQ(streamed.substr(0, streamed.find('z')), sample.text);
    const std::vector<TrainGroup> group = {{&prompts[request].tokens, {{&sample.tokens}}}};
    const std::vector<float> scored = ScoreGroups(*model, group, 1000);
    ASSERT_EQ(scored.size(), sample.logprobs.size());
    EXPECT_EQ(std::memcmp(scored.data(), sample.logprobs.data(), scored.size() * sizeof(float)), 0);
  }
  EXPECT_GT(padding, 20);  // 61 of 320 rows
}

TEST(PaddedVocabulary, ProbabilitiesOfAllRowsSumToOne) {
  ThreadPool pool(1);
  const auto model = PaddedModel(&pool);
  const std::vector<TokenId> prompt = {'a', kRows - 1};
  std::vector<std::vector<TokenId>> answers;
  for (TokenId token = 0; token < kRows; ++token) answers.push_back({token});
  TrainGroup group{&prompt, {}};
  for (const std::vector<TokenId>& answer : answers) group.samples.push_back({&answer});
  double sum = 0;
  for (const float logprob : ScoreGroups(*model, std::vector<TrainGroup>{group}, 1000)) sum += std::exp(logprob);
  EXPECT_NEAR(sum, 1, 1e-5);
}

}  // namespace
}  // namespace hone
