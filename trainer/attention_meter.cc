#include "trainer/attention_meter.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "engine/base/tensor.h"
#include "trainer/batch.h"

namespace hone {
namespace {

class Meter : public AttentionMeter {
 public:
  Meter(Model* policy, const Tokenizer* tokenizer) : policy_(policy), tokenizer_(tokenizer) {}

  std::vector<AnswerStep> Measure(const Prompt& prompt, const Sample& sample, int32_t distance) override {
    const at::NoGradGuard no_gradient;
    std::vector<int32_t> begins = StepBegins(sample.tokens);
    const TrainGroup group{&prompt.tokens, {{.tokens = &sample.tokens}}};
    const std::vector<PackedBatch> batches = PackGroups({&group, 1}, std::numeric_limits<int64_t>::max());
    const auto rows = static_cast<int64_t>(batches[0].rows.tokens.size());
    const Tensor means = StepMeans(static_cast<int64_t>(prompt.tokens.size()), begins, rows);
    Tensor influence = at::zeros({means.size(0)}, at::kFloat);
    policy_->set_attention_observer([&](int64_t layer, const Tensor& q, const Tensor& k) {
      const ModelConfig& config = policy_->config();
      const Tensor hidden = Hidden(rows, config.window(layer));
      for (int64_t head = 0; head < config.heads; ++head) {
        const int64_t kv_head = head / (config.heads / config.kv_heads), width = config.head_dim;
        const Tensor asks = q.narrow(1, head * width, width), asked = k.narrow(1, kv_head * width, width);
        const Tensor scores = at::matmul(asks, asked.t()) * (1 / std::sqrt(static_cast<double>(width))) + hidden;
        const Tensor steps =
            at::matmul(at::matmul(means, at::softmax(scores, 1)), means.t());  // [who asks, who is asked]
        influence = at::maximum(influence, at::sum(at::tril(steps, -distance), {0}));
      }
    });
    const KvCache cache(policy_->config().layers, policy_->config().kv_heads, policy_->config().head_dim,
                        batches[0].page_count, LayerStorage::kOneForAll);
    policy_->Forward(batches[0].rows, cache);
    policy_->set_attention_observer(nullptr);
    std::vector<AnswerStep> steps;
    for (size_t i = 0; i < begins.size(); ++i) steps.push_back({begins[i], influence[i + 1].item<double>()});
    return steps;
  }

 private:
  std::vector<int32_t> StepBegins(const std::vector<TokenId>& tokens) const {
    for (const char* end : {"\n\n", "\n", ""}) {
      std::vector<int32_t> begins = {0};
      for (size_t i = 0; i + 1 < tokens.size(); ++i) {
        const auto text = tokenizer_->Decode({tokens[i]});
        if (text.ok() && absl::StrContains(*text, end)) begins.push_back(static_cast<int32_t>(i) + 1);
      }
      if (begins.size() > 1) return begins;
    }
    return {0};
  }

  // [1 + steps, rows]: row s times a vector over the rows is its mean over step s, the prompt being step 0. The answer's last token has no row.
  static Tensor StepMeans(int64_t prompt, const std::vector<int32_t>& begins, int64_t rows) {
    Tensor means = at::zeros({static_cast<int64_t>(begins.size()) + 1, rows}, at::kFloat);
    const auto fill = [&](int64_t step, int64_t begin, int64_t end) {
      if (begin < end) means[step].narrow(0, begin, end - begin).fill_(1.0 / static_cast<double>(end - begin));
    };
    fill(0, 0, prompt);
    for (size_t i = 0; i < begins.size(); ++i) {
      const int64_t end = i + 1 < begins.size() ? prompt + begins[i + 1] : rows;
      fill(static_cast<int64_t>(i) + 1, prompt + begins[i], end);
    }
    return means;
  }

  // [rows, rows]: minus infinity where a row does not see another, else 0.
  static Tensor Hidden(int64_t rows, int32_t window) {
    const Tensor at = at::arange(rows, at::kLong), distance = at.unsqueeze(1) - at.unsqueeze(0);
    return at::zeros({rows, rows}, at::kFloat)
        .masked_fill((distance < 0).logical_or(distance >= window), -std::numeric_limits<float>::infinity());
  }

  Model* policy_;
  const Tokenizer* tokenizer_;
};

}  // namespace

std::unique_ptr<AttentionMeter> NewAttentionMeter(Model* policy, const Tokenizer* tokenizer) {
  return std::make_unique<Meter>(policy, tokenizer);
}

}  // namespace hone
