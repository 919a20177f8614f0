#include "trainer/learner.h"

#include <ATen/ops/dot.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/base/check.h"

namespace hone {
namespace {

double Total(const Tensor& tensor) { return at::sum(tensor.detach(), at::kDouble).item<double>(); }

Tensor FromFloats(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

// What a batch's samples bring along, token after token.
struct TokenData {
  std::vector<int32_t> lengths;
  std::vector<float> old;        // empty where it is the rollout's
  std::vector<float> rollout;    // the log-probability at sampling, or the present one for supervised data
  std::vector<float> reference;  // empty without one
  std::vector<float> advantages;
};

TokenData Expand(const PackedBatch& batch, const float* logprobs) {
  TokenData data;
  for (const TrainSample* sample : batch.samples) {
    const size_t first = data.rollout.size(), length = sample->tokens->size();
    data.lengths.push_back(static_cast<int32_t>(length));
    const float* rollout = sample->logprobs != nullptr ? sample->logprobs->data() : logprobs + first;
    data.rollout.insert(data.rollout.end(), rollout, rollout + length);
    if (sample->old != nullptr) data.old.insert(data.old.end(), sample->old->begin(), sample->old->end());
    if (sample->reference != nullptr)
      data.reference.insert(data.reference.end(), sample->reference->begin(), sample->reference->end());
    data.advantages.resize(first + length, 0);
    if (sample->advantages != nullptr)
      std::copy_n(sample->advantages->begin(), length, data.advantages.begin() + static_cast<int64_t>(first));
  }
  HONE_CHECK(data.old.empty() || data.old.size() == data.rollout.size());
  HONE_CHECK(data.reference.empty() || data.reference.size() == data.rollout.size());
  return data;
}

void MeasureMismatch(const PackedBatch& batch, const float* logprobs, PolicyVersion version, UpdateStats& stats) {
  for (const TrainSample* sample : batch.samples) {
    const size_t length = sample->tokens->size();
    if (sample->logprobs != nullptr && sample->policy_version == version) {
      for (size_t i = 0; i < length; ++i) {
        const double difference = std::abs(double{logprobs[i]} - double{(*sample->logprobs)[i]});
        stats.mismatch = std::max(stats.mismatch.value_or(0), difference);
      }
    }
    logprobs += length;
  }
}

// The gradient so far, a sum over `first` of `samples` samples, times samples / first is what a batch of the first ones would give.
GradientNorms NormsOfFirst(size_t first, size_t samples, double norm) {
  const double b = static_cast<double>(first), B = static_cast<double>(samples), small = norm * B / b;
  return {.small_batch = b, .big_batch = B, .small_sq = small * small};
}

}  // namespace

Learner::Learner(Model* model, const Stage& stage)
    : model_(model), stage_(stage), optimizer_(&model->pool(), model->TrainedParameters()), kl_coef_(stage.kl.coef) {
  model_->set_activation_checkpointing(stage.activation_checkpointing);
  // Adapters stay float32: they are small, and what they adapt is rounded once.
  if (stage.parameters == kernels::WeightType::kBfloat16 && model_->adapter() == nullptr) optimizer_.KeepMasters();
  model_->StoreAs(stage.parameters);
}

UpdateStats Learner::Update(std::span<const TrainGroup> groups, PolicyVersion policy_version) {
  UpdateStats stats;
  std::vector<int32_t> lengths;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) lengths.push_back(static_cast<int32_t>(sample.tokens->size()));
  }
  const Aggregation aggregation = stage_.loss->aggregation();
  const std::vector<float> weights = LossWeights(aggregation, lengths, stage_.loss->norm_length());
  stats.tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  HONE_CHECK(stats.tokens > 0);
  if (stage_.loss->needs_mismatched_kl()) stats.preference.kl = mismatched_kl_;

  stage_.activation_checkpointing ? optimizer_.ZeroGradients() : optimizer_.ClearGradients();
  if (value_model_ != nullptr) value_model_->ForgetGradients();
  const float* batch_weights = weights.data();
  const std::vector<PackedBatch> batches =
      PackGroups(groups, stage_.microbatch_tokens, aggregation == Aggregation::kPairMean ? 2 : 1);
  for (const PackedBatch& batch : batches) {
    batch_weights += AccumulateGradient(batch, batch_weights, policy_version, stats);
    stats.rows += static_cast<int64_t>(batch.rows.tokens.size());
    if (stage_.noise_scale_decay && batches.size() > 1 && &batch == &batches.front()) {
      stats.gradient_norms = NormsOfFirst(batch.samples.size(), lengths.size(), GradientNorm());
    }
  }
  const auto tokens = static_cast<double>(stats.tokens);
  stats.entropy /= tokens;
  if (stats.clip_fraction) *stats.clip_fraction /= tokens;
  if (stats.kl_reference) *stats.kl_reference /= tokens;

  stats.grad_norm = GradientNorm();
  if (stats.gradient_norms) stats.gradient_norms->big_sq = stats.grad_norm * stats.grad_norm;
  stats.learning_rate = stage_.schedule.At(optimizer_.steps() - extra_updates_);
  stats.applied = std::isfinite(stats.grad_norm);
  if (stats.applied) {
    const bool clip = stage_.max_grad_norm > 0 && stats.grad_norm > stage_.max_grad_norm;
    const double scale = clip ? stage_.max_grad_norm / stats.grad_norm : 1;
    if (value_model_ != nullptr) value_model_->Step(scale);
    optimizer_.Step(stage_.adamw, stats.learning_rate, scale);
  } else {
    const Parameter* first = optimizer_.FirstNotFinite();
    stats.not_finite = first != nullptr ? first->name : "value head";
  }
  return stats;
}

int64_t Learner::AccumulateGradient(const PackedBatch& batch, const float* weights, PolicyVersion policy_version,
                                    UpdateStats& stats) {
  const ModelConfig& config = model_->config();
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
  const Tensor hidden = ops::SelectRows(model_->Forward(batch.rows, cache), batch.target_rows);
  Tensor entropy, log_sum_exp;
  const Tensor logprobs =
      ops::TokenLogprob(model_->pool(), hidden, model_->head(), config.vocab_size, batch.targets, entropy, log_sum_exp);

  const float* values = logprobs.const_data_ptr<float>();
  MeasureMismatch(batch, values, policy_version, stats);
  const TokenData data = Expand(batch, values);
  const Tensor rollout = FromFloats(data.rollout), advantages = FromFloats(data.advantages);
  const Tensor reference = data.reference.empty() ? Tensor() : FromFloats(data.reference);
  Tensor losses, clipped, rewards;
  const Tensor old = data.old.empty() ? rollout : FromFloats(data.old);
  stage_.loss->Compute({logprobs, old, rollout, reference, log_sum_exp, advantages, data.lengths, mismatched_kl_},
                       {losses, clipped, &rewards});
  if (rewards.defined()) stats.preference.Add(rewards);
  const int64_t count = losses.numel();
  if (reference.defined()) AddKl(logprobs, reference, losses, stats);
  if (stage_.entropy_coef != 0) losses = losses - entropy * stage_.entropy_coef;
  const Tensor loss = at::dot(losses, FromFloats({weights, weights + count}));
  (value_model_ == nullptr ? loss : loss + value_model_->Loss(hidden, batch, stats.tokens)).backward();

  stats.loss += loss.item<double>();
  stats.entropy += Total(entropy);
  if (clipped.defined()) stats.clip_fraction = stats.clip_fraction.value_or(0) + Total(clipped);
  return count;
}

// What leads away from the reference costs, token by token, and is measured by k3, which is never negative.
void Learner::AddKl(const Tensor& logprobs, const Tensor& reference, Tensor& losses, UpdateStats& stats) const {
  stats.kl_reference =
      stats.kl_reference.value_or(0) + Total(KlPerToken(KlEstimator::kK3, logprobs.detach(), reference));
  if (stage_.kl.place != KlPlace::kLoss || kl_coef_ == 0) return;
  losses = losses + KlPerToken(stage_.kl.estimator, logprobs, reference) * kl_coef_;
}

double Learner::GradientNorm() const {
  const double policy = optimizer_.GradientNorm();
  return value_model_ == nullptr ? policy : std::hypot(policy, value_model_->GradientNorm());
}

}  // namespace hone
