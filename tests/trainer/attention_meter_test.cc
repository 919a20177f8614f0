// Forward context influence against the formula in plain loops, on what the layers attend by.
#include "trainer/attention_meter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/base/tensor.h"
#include "tests/trainer/family_testing.h"
#include "tests/trainer/tensors.h"
#include "trainer/batch.h"

namespace hone {
namespace {

std::unique_ptr<Tokenizer> Letters() {
  Spec spec = Spec::Parse("sentencepiece(model_type=char)").value();
  return TrainTokenizer(spec, {"abcd", "a\nb"}).value();
}

// The formula, for steps that begin at `begins` of a text of which `prompt` tokens are the prompt and the last token asks for nothing.
std::vector<double> ByHand(Model& model, const std::vector<TokenId>& prompt, const std::vector<TokenId>& answer,
                           std::vector<int32_t> begins, int32_t distance) {
  const auto rows = static_cast<int32_t>(prompt.size() + answer.size()) - 1;
  std::vector<int32_t> edges = {0};  // of the prompt, the steps, and the end
  for (const int32_t begin : begins) edges.push_back(static_cast<int32_t>(prompt.size()) + begin);
  edges.push_back(rows);
  const size_t steps = edges.size() - 1;
  std::vector<double> influence(steps);
  const ModelConfig& config = model.config();
  model.set_attention_observer([&](int64_t layer, const Tensor& q, const Tensor& k) {
    const std::vector<float> queries = ToVector(q), keys = ToVector(k);
    for (int32_t head = 0; head < config.heads; ++head) {
      std::vector<std::vector<double>> step_attention(steps, std::vector<double>(steps));
      for (size_t j = 0; j < steps; ++j) {
        for (int32_t row = edges[j]; row < edges[j + 1]; ++row) {
          std::vector<double> weights(rows);
          double sum = 0;
          for (int32_t seen = std::max(0, row - config.window(layer) + 1); seen <= row; ++seen) {
            double score = 0;
            for (int32_t i = 0; i < config.head_dim; ++i) {
              const int32_t kv_head = head / (config.heads / config.kv_heads);
              score += queries[(row * config.heads + head) * config.head_dim + i] *
                       keys[(seen * config.kv_heads + kv_head) * config.head_dim + i];
            }
            weights[seen] = std::exp(score / std::sqrt(config.head_dim));
            sum += weights[seen];
          }
          for (size_t s = 0; s < steps; ++s) {
            for (int32_t seen = edges[s]; seen < edges[s + 1]; ++seen)
              step_attention[j][s] += weights[seen] / sum / (edges[j + 1] - edges[j]) / (edges[s + 1] - edges[s]);
          }
        }
      }
      for (size_t s = 0; s < steps; ++s) {
        double sum = 0;
        for (size_t j = s + distance; j < steps; ++j) sum += step_attention[j][s];
        influence[s] = std::max(influence[s], sum);
      }
    }
  });
  const TrainGroup group{&prompt, {{.tokens = &answer}}};
  const std::vector<PackedBatch> batches = PackGroups({&group, 1}, 1000);
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, batches[0].page_count, LayerStorage::kOneForAll);
  model.Forward(batches[0].rows, cache);
  model.set_attention_observer(nullptr);
  return {influence.begin() + 1, influence.end()};
}

TEST(AttentionMeter, MeasuresEveryFamily) {
  ThreadPool pool(2);
  const auto tokenizer = Letters();
  const auto encode = [&](const char* text) { return tokenizer->Encode(text).value(); };
  for (const auto& [name, config] : EveryFamily(TwoLayerConfig())) {
    SCOPED_TRACE(name);
    const auto model = RandomModel(config, &pool, 3);
    const auto meter = NewAttentionMeter(model.get(), tokenizer.get());
    Prompt prompt;
    prompt.tokens = encode("dcba");
    for (const char* text : {"abcdabcdabcddcba", "ab\ncdab\ncda\nb\ncd\ndcba"}) {
      Sample sample;
      sample.tokens = encode(text);
      for (const int32_t distance : {1, 3}) {
        const std::vector<AnswerStep> steps = meter->Measure(prompt, sample, distance);
        std::vector<int32_t> begins;
        for (const AnswerStep& step : steps) begins.push_back(step.begin);
        const std::vector<double> expected = ByHand(*model, prompt.tokens, sample.tokens, begins, distance);
        ASSERT_EQ(steps.size(), expected.size());
        for (size_t i = 0; i < steps.size(); ++i) EXPECT_NEAR(steps[i].influence, expected[i], 1e-5) << i;
        EXPECT_GT(steps[0].influence, 0);
        EXPECT_EQ(steps.back().influence, 0) << "nothing comes later";
      }
    }
  }
}

TEST(AttentionMeter, StepsEndBehindLineBreaks) {
  ThreadPool pool(1);
  const auto tokenizer = Letters();
  const auto model = RandomModel(TwoLayerConfig(), &pool, 3);
  const auto meter = NewAttentionMeter(model.get(), tokenizer.get());
  const auto begins = [&](const char* text) {
    Prompt prompt;
    prompt.tokens = {1};
    Sample sample;
    sample.tokens = tokenizer->Encode(text).value();
    std::vector<int32_t> begins;
    for (const AnswerStep& step : meter->Measure(prompt, sample, 1)) begins.push_back(step.begin);
    return begins;
  };
  EXPECT_EQ(begins("ab\ncd\na"), (std::vector<int32_t>{0, 3, 6}));
  EXPECT_EQ(begins("abc"), (std::vector<int32_t>{0, 1, 2})) << "without a break every token is a step";
  EXPECT_EQ(begins("abc\n"), (std::vector<int32_t>{0, 1, 2, 3})) << "a break at the end parts nothing";
  EXPECT_EQ(begins("a"), (std::vector<int32_t>{0}));
}

}  // namespace
}  // namespace hone
