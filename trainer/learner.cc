#include "trainer/learner.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"
#include "engine/safetensors.h"
#include "kernels/elementwise.h"

namespace hone {
namespace {

Tensor FromFloats(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

// Per token: the log-probability at sampling (or the present one for supervised data) and the advantage.
struct TokenData {
  std::vector<float> old;
  std::vector<float> advantages;
};

TokenData Expand(const PackedBatch& batch, const float* logprobs) {
  TokenData data;
  for (const TrainSample* sample : batch.samples) {
    const size_t first = data.old.size(), length = sample->tokens->size();
    const float* old = sample->logprobs != nullptr ? sample->logprobs->data() : logprobs + first;
    data.old.insert(data.old.end(), old, old + length);
    data.advantages.insert(data.advantages.end(), length, sample->advantage);
  }
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

}  // namespace

Learner::Learner(Model* model, const Stage& stage) : model_(model), stage_(stage) {
  for (const Parameter& parameter : model_->parameters()) {
    exp_avg_.push_back(at::zeros(parameter.value.sizes(), at::kFloat));
    exp_avg_sq_.push_back(at::zeros(parameter.value.sizes(), at::kFloat));
  }
}

UpdateStats Learner::Update(std::span<const TrainGroup> groups, PolicyVersion policy_version) {
  UpdateStats stats;
  std::vector<int32_t> lengths;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) lengths.push_back(static_cast<int32_t>(sample.tokens->size()));
  }
  const std::vector<float> weights = TokenWeights(stage_.loss->aggregation(), lengths, stage_.loss->norm_length());
  stats.tokens = static_cast<int64_t>(weights.size());
  HONE_CHECK(stats.tokens > 0);

  for (Parameter& parameter : model_->parameters()) parameter.value.mutable_grad().reset();
  const float* batch_weights = weights.data();
  for (const PackedBatch& batch : PackGroups(groups, stage_.microbatch_tokens)) {
    AccumulateGradient(batch, batch_weights, policy_version, stats);
    batch_weights += batch.targets.size();
    stats.rows += static_cast<int64_t>(batch.rows.tokens.size());
  }
  stats.entropy /= static_cast<double>(stats.tokens);
  if (stats.clip_fraction) *stats.clip_fraction /= static_cast<double>(stats.tokens);

  stats.grad_norm = GradientNorm();
  stats.learning_rate = stage_.schedule.At(optimizer_steps_);
  stats.applied = std::isfinite(stats.grad_norm);
  if (stats.applied) {
    const bool clip = stage_.max_grad_norm > 0 && stats.grad_norm > stage_.max_grad_norm;
    Apply(stats.learning_rate, clip ? stage_.max_grad_norm / stats.grad_norm : 1);
  }
  return stats;
}

void Learner::AccumulateGradient(const PackedBatch& batch, const float* weights, PolicyVersion policy_version,
                                 UpdateStats& stats) {
  const ModelConfig& config = model_->config();
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
  const Tensor hidden = ops::SelectRows(model_->Forward(batch.rows, cache), batch.target_rows);
  Tensor entropy;
  const Tensor logprobs =
      ops::TokenLogprob(model_->pool(), hidden, model_->head(), config.vocab_size, batch.targets, entropy);

  const float* values = logprobs.const_data_ptr<float>();
  MeasureMismatch(batch, values, policy_version, stats);
  const TokenData data = Expand(batch, values);
  const Tensor old = FromFloats(data.old), advantages = FromFloats(data.advantages);
  Tensor losses, clipped;
  stage_.loss->Compute({logprobs, old, advantages}, {losses, clipped});
  const Tensor loss = at::dot(losses, FromFloats({weights, weights + batch.targets.size()}));
  loss.backward();

  stats.loss += loss.item<double>();
  stats.entropy += at::sum(entropy, at::kDouble).item<double>();
  if (clipped.defined())
    stats.clip_fraction = stats.clip_fraction.value_or(0) + at::sum(clipped, at::kDouble).item<double>();
}

double Learner::GradientNorm() const {
  double squares = 0;
  for (const Parameter& parameter : model_->parameters()) {
    const Tensor& gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    squares += kernels::SumOfSquares(model_->pool(), gradient.const_data_ptr<float>(), gradient.numel());
  }
  return std::sqrt(squares);
}

void Learner::Apply(double learning_rate, double gradient_scale) {
  const at::NoGradGuard no_gradient;
  ++optimizer_steps_;
  const AdamWOptions& adamw = stage_.adamw;
  const Tensor step = at::full({}, static_cast<double>(optimizer_steps_), at::kFloat);
  // The fused kernel divides gradients by the scale it is given.
  const Tensor scale = at::full({}, 1 / gradient_scale, at::kFloat);
  size_t index = 0;
  for (Parameter& parameter : model_->parameters()) {
    const size_t i = index++;
    Tensor gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    at::_fused_adamw_(parameter.value, gradient, exp_avg_[i], exp_avg_sq_[i], {}, step, learning_rate, adamw.beta1,
                      adamw.beta2, adamw.weight_decay, adamw.epsilon, /*amsgrad=*/false, /*maximize=*/false, scale);
  }
}

absl::Status Learner::Save(const std::string& path) const {
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < exp_avg_.size(); ++i) {
    const Parameter& parameter = model_->parameters()[i];
    tensors.push_back({"exp_avg." + parameter.name, parameter.shape,
                       [this, &parameter, i] { return PlainWeights(parameter, exp_avg_[i]); }});
    tensors.push_back({"exp_avg_sq." + parameter.name, parameter.shape,
                       [this, &parameter, i] { return PlainWeights(parameter, exp_avg_sq_[i]); }});
  }
  return WriteSafetensors(path, tensors, StorageType::kFloat32);
}

absl::Status Learner::Load(const std::string& path, int64_t optimizer_steps) {
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  for (size_t i = 0; i < exp_avg_.size(); ++i) {
    const Parameter& parameter = model_->parameters()[i];
    HONE_ASSIGN_OR_RETURN(const std::vector<float> average, file.Read("exp_avg." + parameter.name, parameter.shape));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> square, file.Read("exp_avg_sq." + parameter.name, parameter.shape));
    AssignPlainWeights(parameter, average.data(), exp_avg_[i]);
    AssignPlainWeights(parameter, square.data(), exp_avg_sq_[i]);
  }
  optimizer_steps_ = optimizer_steps;
  return absl::OkStatus();
}

}  // namespace hone
