// A sample is a function of model, prompt and key: the batch, the order of prompts, chunks, memory, preemption, shared
// beginnings and threads change nothing, to the bit.
#include "engine/generator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "engine/model/model.h"
#include "engine/tokenizer.h"
#include "tests/engine/small_model.h"

namespace hone {
namespace {

constexpr int32_t kVocabulary = kSmallVocabulary;

// Prompts of 1 .. longest tokens, most of which begin with some of the same tokens.
std::vector<Prompt> SomePrompts(int count, int longest, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> common(longest);
  for (TokenId& token : common) token = static_cast<TokenId>(random() % kVocabulary);
  std::vector<Prompt> prompts(count);
  for (int i = 0; i < count; ++i) {
    prompts[i].key = i;
    const size_t length = 1 + random() % longest, same = random() % 4 == 0 ? 0 : random() % (length + 1);
    prompts[i].tokens.assign(common.begin(), common.begin() + same);
    while (prompts[i].tokens.size() < length) prompts[i].tokens.push_back(static_cast<TokenId>(random() % kVocabulary));
  }
  return prompts;
}

using Samples = std::map<std::pair<uint64_t, int32_t>, Sample>;  // (prompt key, index)

struct Outcome {
  Samples samples;
  GenerationStats stats;
  std::map<std::pair<uint64_t, int32_t>, std::vector<TokenId>> streamed;
  absl::Status status;
};

Outcome Generate(const Model& model, const std::vector<Prompt>& prompts, int32_t n, const GenerationOptions& options,
                 GeneratorLimits limits, const std::function<bool()>& cancelled = nullptr) {
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, n});
  Outcome outcome;
  Generator generator(&model, nullptr, limits);
  outcome.status = generator.Run(
      requests, options,
      [&](size_t request, Sample sample) {
        const auto key = std::pair{prompts[request].key, sample.index};
        EXPECT_EQ(outcome.streamed[key], sample.tokens);
        EXPECT_EQ(sample.logprobs.size(), sample.tokens.size());
        EXPECT_TRUE(outcome.samples.emplace(key, std::move(sample)).second) << "a sample came twice";
      },
      cancelled,
      [&](size_t request, int32_t sample, TokenId token) {
        outcome.streamed[{prompts[request].key, sample}].push_back(token);
      });
  outcome.stats = generator.stats();
  return outcome;
}

void ExpectSame(const Sample& a, const Sample& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.finish_reason, b.finish_reason);
  ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
  EXPECT_EQ(std::memcmp(a.logprobs.data(), b.logprobs.data(), a.logprobs.size() * sizeof(float)), 0);
}

void ExpectSame(const Samples& a, const Samples& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [key, sample] : a) {
    SCOPED_TRACE(absl::StrCat("prompt ", key.first, ", sample ", key.second));
    ExpectSame(sample, b.at(key));
  }
}

GeneratorLimits Pages(const Model& model, int64_t pages, int32_t sequences, int32_t rows) {
  return {pages * model.config().kv_page_bytes(), sequences, rows};
}

TEST(Generator, BatchAndPreemptionChangeNothing) {
  ThreadPool one(1), two(2);
  const auto model = SmallModel(&one), threaded = SmallModel(&two);
  const std::vector<Prompt> prompts = SomePrompts(24, 70, 1);
  GenerationOptions options;
  options.max_new_tokens = 50;
  options.seed = 3;
  const Outcome plain = Generate(*model, prompts, 4, options, {int64_t{1} << 30, 1, 4096});
  ASSERT_TRUE(plain.status.ok()) << plain.status;
  ASSERT_EQ(plain.samples.size(), 96u);
  EXPECT_EQ(plain.stats.preemptions, 0);
  int64_t tokens = 0;
  for (const auto& [key, sample] : plain.samples) tokens += static_cast<int64_t>(sample.tokens.size());
  EXPECT_EQ(plain.stats.tokens, tokens);
  for (const int32_t batch : {1, 7, 64}) {
    for (const int64_t pages : {8, 13, 40, 100000}) {  // 70 + 50 - 1 tokens: 8 pages hold the longest sequence
      for (const Model* any : {model.get(), threaded.get()}) {
        SCOPED_TRACE(absl::StrCat("batch ", batch, ", pages ", pages));
        const Outcome outcome = Generate(*any, prompts, 4, options, Pages(*any, pages, batch, 33));
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        ExpectSame(plain.samples, outcome.samples);
        const bool crowded = (batch == 7 && pages <= 13) || (batch == 64 && pages <= 40);
        EXPECT_TRUE(!crowded || outcome.stats.preemptions > 0);
        EXPECT_TRUE(pages < 100000 || outcome.stats.preemptions == 0) << outcome.stats.preemptions;
      }
    }
  }
  std::vector<Prompt> reversed(prompts.rbegin(), prompts.rend());
  ExpectSame(plain.samples, Generate(*model, reversed, 4, options, Pages(*model, 20, 16, 50)).samples);
}

// A prompt's rows go through the model once for its group, and a common beginning once for all prompts.
TEST(Generator, SharedRowsAreComputedOnce) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  std::vector<Prompt> prompts(10);
  for (int i = 0; i < 10; ++i) {
    prompts[i].key = i;
    for (int j = 0; j < 48; ++j) prompts[i].tokens.push_back(j % kVocabulary);  // three full pages of all prompts
    for (int j = 0; j < 5; ++j) prompts[i].tokens.push_back(i);
  }
  GenerationOptions options;
  options.max_new_tokens = 1;
  const Outcome outcome = Generate(*model, prompts, 6, options, {});
  EXPECT_EQ(outcome.samples.size(), 60u);
  EXPECT_EQ(outcome.stats.rows, 48 + 10 * 5);
  EXPECT_EQ(outcome.stats.shared_tokens, 9 * 48);
  EXPECT_EQ(outcome.stats.passes, 1);
  EXPECT_EQ(outcome.stats.tokens, 60);
  // One at a time, each sample's place is taken by the next one, and the prompt still is read once.
  const Outcome alone = Generate(*model, prompts, 6, options, {int64_t{1} << 30, 1, 4096});
  EXPECT_EQ(alone.stats.rows, 48 + 10 * 5);
  ExpectSame(outcome.samples, alone.samples);
}

// Prefixes live for one Run: after a change of the weights nothing of the old keys is left.
TEST(Generator, ForgetsEverythingBetweenRuns) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool), other = SmallModel(&pool, 8);
  const std::vector<Prompt> prompts = SomePrompts(5, 60, 2);
  GenerationOptions options;
  options.max_new_tokens = 20;
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, 2});
  Generator generator(model.get(), nullptr, {});
  Samples samples;
  const auto receive = [&](size_t request, Sample sample) { samples[{request, sample.index}] = std::move(sample); };
  ASSERT_TRUE(generator.Run(requests, options, receive).ok());
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const Parameter& from = other->parameters()[i];
    AssignPlainWeights(from, PlainWeights(from, from.value).data(), model->parameters()[i].value);
  }
  samples.clear();
  ASSERT_TRUE(generator.Run(requests, options, receive).ok());
  ExpectSame(Generate(*other, prompts, 2, options, {}).samples, samples);
}

TEST(Generator, ARequestMayHaveATemperatureOfItsOwn) {
  ThreadPool pool(2);
  const auto model = SmallModel(&pool);
  const std::vector<Prompt> prompts = SomePrompts(12, 60, 11);
  GenerationOptions sampled, greedy;
  sampled.max_new_tokens = greedy.max_new_tokens = 20;
  greedy.temperature = 0;
  const Samples expected = Generate(*model, prompts, 3, sampled, {}).samples;
  const Samples likeliest = Generate(*model, prompts, 1, greedy, {}).samples;
  // Each prompt's samples and its greedy answer beside them, with little room.
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) {
    requests.push_back({&prompt, 3});
    requests.push_back({&prompt, 1, 0.0f});
  }
  Samples samples, beside;
  Generator generator(model.get(), nullptr, Pages(*model, 14, 9, 20));
  const absl::Status status = generator.Run(requests, sampled, [&](size_t request, Sample sample) {
    Samples& place = request % 2 == 0 ? samples : beside;
    place[{prompts[request / 2].key, sample.index}] = std::move(sample);
  });
  ASSERT_TRUE(status.ok()) << status;
  ExpectSame(expected, samples);
  ExpectSame(likeliest, beside);
}

TEST(Generator, RandomLimitsEqualOneAtATime) {
  ThreadPool one(1), two(2);
  const auto model = SmallModel(&one), threaded = SmallModel(&two);
  int64_t preemptions = 0, shared = 0;
  for (uint32_t seed = 0; seed < 240; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](int bound) { return static_cast<int32_t>(random() % bound); };
    std::vector<Prompt> prompts = SomePrompts(1 + below(6), 1 + below(70), seed);
    GenerationOptions options;
    options.max_new_tokens = 1 + below(30);
    options.seed = seed;
    options.step = below(3);
    options.temperature = below(3) == 0 ? 0.0f : 0.5f + 0.25f * static_cast<float>(below(4));
    options.top_p = below(2) == 0 ? 1.0f : 0.8f;
    options.top_k = below(2) * 5;
    options.min_p = below(2) == 0 ? 0.0f : 0.05f;
    const int32_t n = 1 + below(5);
    const Outcome plain = Generate(*model, prompts, n, options, {int64_t{1} << 30, 1, 4096});
    ASSERT_TRUE(plain.status.ok()) << plain.status;
    int64_t worst = 0;
    for (const Prompt& prompt : prompts)
      worst = std::max(worst, PagesFor(static_cast<int64_t>(prompt.tokens.size()) + options.max_new_tokens - 1));
    std::shuffle(prompts.begin(), prompts.end(), random);
    const Model& any = below(2) == 0 ? *model : *threaded;
    const Outcome outcome =
        Generate(any, prompts, n, options, Pages(any, worst + below(8), 1 + below(20), 1 + below(60)));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    ExpectSame(plain.samples, outcome.samples);
    preemptions += outcome.stats.preemptions;
    shared += outcome.stats.shared_tokens;
  }
  EXPECT_GT(preemptions, 100);
  EXPECT_GT(shared, 1000);
}

TEST(Generator, WhatCameBeforeACancellationIsWhole) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  const std::vector<Prompt> prompts = SomePrompts(20, 40, 5);
  GenerationOptions options;
  options.max_new_tokens = 40;
  const Outcome all = Generate(*model, prompts, 3, options, {});
  for (const int after : {0, 1, 30, 100}) {
    int passes = 0;
    const Outcome some =
        Generate(*model, prompts, 3, options, Pages(*model, 12, 9, 20), [&] { return passes++ >= after; });
    EXPECT_TRUE(absl::IsCancelled(some.status));
    EXPECT_LE(some.stats.passes, after);
    EXPECT_LT(some.samples.size(), all.samples.size());
    EXPECT_TRUE(after < 100 || !some.samples.empty());
    for (const auto& [key, sample] : some.samples) ExpectSame(all.samples.at(key), sample);
  }
}

TEST(Generator, FinishedSamplesComeAtOnce) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  std::vector<Prompt> prompts = SomePrompts(1, 10, 6);
  GenerationOptions options;
  options.max_new_tokens = 60;
  std::vector<size_t> lengths;
  const GenerationRequest request{prompts.data(), 40};
  Generator generator(model.get(), nullptr, {});
  ASSERT_TRUE(
      generator.Run({&request, 1}, options, [&](size_t, Sample sample) { lengths.push_back(sample.tokens.size()); })
          .ok());
  // All begin together, so they come in the order of their lengths.
  EXPECT_TRUE(std::is_sorted(lengths.begin(), lengths.end()));
  EXPECT_LT(lengths.front(), lengths.back());
}

TEST(Generator, StopTextsEndAnswers) {
  Spec spec = *Spec::Parse("sentencepiece(model_type=char)");
  const auto tokenizer = *TrainTokenizer(spec, {"abcdefghijklmnopqrstuvwxyz0123456789"});
  ThreadPool pool(1);
  ModelConfig config = SmallConfig();
  config.vocab_size = tokenizer->vocabulary_size();
  const auto model = NewLlama(config, &pool);
  InitializeWeights(*model, 3);
  Prompt prompt;
  prompt.tokens = {1, 5};
  const GenerationRequest request{&prompt, 60};
  GenerationOptions options;
  options.max_new_tokens = 40;
  const auto run = [&] {
    std::map<int32_t, Sample> samples;
    Generator generator(model.get(), tokenizer.get(), {});
    EXPECT_TRUE(
        generator.Run({&request, 1}, options, [&](size_t, Sample sample) { samples[sample.index] = std::move(sample); })
            .ok());
    return samples;
  };
  const auto free = run();
  // A text of two letters from the middle of an answer, so that it is bound to come.
  const std::string text = *tokenizer->Decode(free.at(0).tokens);
  ASSERT_GT(text.size(), 12u);
  options.stop = {text.substr(9, 2), text.substr(3, 3)};
  int stopped = 0;
  for (const auto& [index, sample] : run()) {
    // The reference: the shortest beginning of the free answer whose text holds a stop text.
    const std::vector<TokenId>& whole = free.at(index).tokens;
    size_t end = 1;
    const auto hit = [&](size_t length) {
      const std::string part = *tokenizer->Decode({whole.begin(), whole.begin() + length});
      return part.find(options.stop[0]) != std::string::npos || part.find(options.stop[1]) != std::string::npos;
    };
    while (end < whole.size() && !hit(end)) ++end;
    EXPECT_EQ(sample.tokens, std::vector<TokenId>(whole.begin(), whole.begin() + end));
    if (hit(end)) {
      EXPECT_EQ(sample.finish_reason, FinishReason::kStop);
      ++stopped;
    }
  }
  EXPECT_GT(stopped, 0);
  options.stop = {""};
  Generator generator(model.get(), tokenizer.get(), {});
  EXPECT_EQ(generator.Run({&request, 1}, options, [](size_t, Sample) {}).message(),
            "a stop text is empty; leave it out");
}

// The budget is enough exactly where one sequence fits: 20 + 29 - 1 tokens are 3 pages.
TEST(Generator, TheSmallestBudgetWorks) {
  ThreadPool pool(1);
  const auto model = SmallModel(&pool);
  std::vector<Prompt> prompts = SomePrompts(3, 20, 9);
  for (Prompt& prompt : prompts) prompt.tokens.resize(20, 4);
  GenerationOptions options;
  options.max_new_tokens = 29;
  const Outcome plain = Generate(*model, prompts, 5, options, {});
  const Outcome tight = Generate(*model, prompts, 5, options, Pages(*model, 3, 64, 100));
  ASSERT_TRUE(tight.status.ok()) << tight.status;
  ExpectSame(plain.samples, tight.samples);
  options.max_new_tokens = 30;
  EXPECT_EQ(Generate(*model, prompts, 5, options, Pages(*model, 3, 64, 100)).status.message(),
            "prompt 0: one sequence needs 4 pages of 3072 bytes for keys and values, the budget of 9216 bytes holds 3; "
            "raise it (--kv_mb) or lower max_new_tokens");
  options.max_new_tokens = 0;
  EXPECT_EQ(Generate(*model, prompts, 5, options, {}).status.message(), "max_new_tokens is 0, wanted at least 1");
  options.max_new_tokens = 1;
  prompts[0].tokens.resize(160, 4);
  EXPECT_EQ(Generate(*model, prompts, 5, options, {}).status.message(),
            "prompt 0: 160 tokens leave no room for an answer in the model's 160 positions; shorten the prompt");
}

}  // namespace
}  // namespace hone
