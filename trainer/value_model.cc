#include "trainer/value_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "absl/memory/memory.h"
#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "engine/safetensors.h"
#include "kernels/gemm.h"
#include "trainer/student.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kWeightsFile[] = "/value_model.safetensors";
constexpr char kOptimizerFile[] = "/value_optimizer.safetensors";
// The count of optimizer steps, as two floats, each exact.
constexpr char kSteps[] = "steps";
constexpr int64_t kStepsBase = 1 << 20;

// As for the policy: a gradient that stays non-finite does not heal by itself.
constexpr int kMaxSkippedUpdates = 5;

Tensor FromFloats(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

double Total(const Tensor& tensor) { return at::sum(tensor.detach(), at::kDouble).item<double>(); }

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Hidden states that predict the targets, [targets, hidden_size].
Tensor TargetStates(const Model& model, const PackedBatch& batch) {
  const ModelConfig& config = model.config();
  const KvCache cache(config.layers, config.kv_heads, config.head_dim, batch.page_count, LayerStorage::kOneForAll);
  return ops::SelectRows(model.Forward(batch.rows, cache), batch.target_rows);
}

int64_t CountTokens(std::span<const TrainGroup> groups) {
  int64_t tokens = 0;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) tokens += static_cast<int64_t>(sample.tokens->size());
  }
  return tokens;
}

}  // namespace

Tensor ValueLoss(const Tensor& values, const Tensor& old, const Tensor& returns, double clip, Tensor& clipped) {
  const Tensor error = values - returns, plain = error * error;
  if (clip == 0) return plain * 0.5;
  const Tensor bounded_error = at::maximum(at::minimum(values, old + clip), old - clip) - returns;
  const Tensor bounded = bounded_error * bounded_error;
  clipped = at::gt(bounded, plain);
  return at::maximum(plain, bounded) * 0.5;
}

std::optional<double> ExplainedVariance(std::span<const TrainGroup> groups) {
  std::vector<double> returns, errors;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) {
      for (size_t t = 0; t < sample.tokens->size(); ++t) {
        returns.push_back((*sample.returns)[t]);
        errors.push_back(double{(*sample.returns)[t]} - double{(*sample.values)[t]});
      }
    }
  }
  const auto squares = [](const std::vector<double>& x) {
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
    return std::accumulate(x.begin(), x.end(), 0.0,
                           [mean](double sum, double value) { return sum + (value - mean) * (value - mean); });
  };
  // The mean of equal numbers may round to another one.
  if (returns.empty() || std::equal(returns.begin() + 1, returns.end(), returns.begin())) return std::nullopt;
  return 1 - squares(errors) / squares(returns);
}

absl::StatusOr<std::unique_ptr<ValueModel>> ValueModel::New(const Model& policy, const Stage& stage) {
  HONE_CHECK(stage.value_model.trunk != ValueTrunk::kNone);
  HONE_RETURN_IF_ERROR(CheckValueLayers(stage.value_model, policy.config().layers));
  std::unique_ptr<Model> trunk;
  if (stage.value_model.trunk == ValueTrunk::kOwn) {
    const int32_t layers = stage.value_model.layers > 0 ? stage.value_model.layers : policy.config().layers;
    std::vector<int32_t> sources(layers);
    std::iota(sources.begin(), sources.end(), 0);
    HONE_ASSIGN_OR_RETURN(trunk, CopyLayers(policy, sources, HeadCopy::kNone, &policy.pool()));
  }
  return absl::WrapUnique(new ValueModel(policy, stage, std::move(trunk)));
}

ValueModel::ValueModel(const Model& policy, const Stage& stage, std::unique_ptr<Model> trunk)
    : policy_(policy), stage_(stage), options_(stage.value_model), trunk_(std::move(trunk)) {
  const int64_t width = policy.config().hidden_size;
  head_.push_back(
      {"value_head.weight", {1, width}, WeightLayout::kPacked, at::zeros({kernels::PackedSize(1, width)}, at::kFloat)});
  head_.push_back({"value_head.bias", {1}, WeightLayout::kPlain, at::zeros({1}, at::kFloat)});
  for (Parameter& parameter : head_) {
    parameter.value.set_requires_grad(true);
    parameters_.push_back(&parameter);
  }
  if (trunk_ != nullptr) {
    trunk_->set_activation_checkpointing(stage.activation_checkpointing);
    for (Parameter& parameter : trunk_->parameters()) parameters_.push_back(&parameter);
  }
  optimizer_ = std::make_unique<AdamW>(&policy.pool(), parameters_);
}

Tensor ValueModel::Values(const Tensor& hidden) const {
  ThreadPool& pool = policy_.pool();
  return ops::AddBias(pool, ops::Linear(pool, hidden, head_[0].value, 1), head_[1].value).reshape({-1});
}

void ValueModel::Evaluate(std::vector<Group>& groups) {
  const Clock::time_point start = Clock::now();
  const at::NoGradGuard no_gradient;
  std::vector<TrainGroup> asked;
  std::vector<Sample*> samples;
  for (Group& group : groups) {
    asked.push_back({&group.prompt.tokens, {}});
    for (Sample& sample : group.samples) {
      asked.back().samples.push_back({.tokens = &sample.tokens});
      samples.push_back(&sample);
    }
  }
  size_t next = 0;
  for (const PackedBatch& batch : PackGroups(asked, stage_.microbatch_tokens)) {
    const Tensor values = Values(TargetStates(body(), batch));
    const float* value = values.const_data_ptr<float>();
    for (size_t i = 0; i < batch.samples.size(); ++i) {
      Sample& sample = *samples[next++];
      sample.values.assign(value, value + sample.tokens.size());
      value += sample.tokens.size();
    }
  }
  loss_ = clipped_ = grad_norm_ = 0;
  tokens_ = updates_ = 0;
  seconds_ = SecondsSince(start);
}

Tensor ValueModel::Loss(const Tensor& hidden, const PackedBatch& batch, int64_t tokens) {
  std::vector<float> old, returns;
  for (const TrainSample* sample : batch.samples) {
    old.insert(old.end(), sample->values->begin(), sample->values->end());
    returns.insert(returns.end(), sample->returns->begin(), sample->returns->end());
  }
  Tensor clipped;
  const Tensor losses = ValueLoss(Values(hidden), FromFloats(old), FromFloats(returns), options_.clip, clipped);
  loss_ += Total(losses);
  if (clipped.defined()) clipped_ += Total(clipped);
  tokens_ += losses.numel();
  return at::sum(losses) * (options_.loss_coef / static_cast<double>(tokens));
}

void ValueModel::Step(double gradient_scale) {
  const double scale = options_.learning_rate > 0 ? options_.learning_rate / stage_.schedule.peak : 1;
  optimizer_->Step(stage_.adamw, stage_.schedule.At(optimizer_->steps()) * scale, gradient_scale);
}

absl::Status ValueModel::Update(std::span<const TrainGroup> groups) {
  const int64_t tokens = CountTokens(groups);
  stage_.activation_checkpointing ? optimizer_->ZeroGradients() : optimizer_->ClearGradients();
  for (const PackedBatch& batch : PackGroups(groups, stage_.microbatch_tokens))
    Loss(TargetStates(*trunk_, batch), batch, tokens).backward();
  const double norm = GradientNorm();
  grad_norm_ += norm;
  ++updates_;
  if (std::isfinite(norm)) {
    Step(stage_.max_grad_norm > 0 && norm > stage_.max_grad_norm ? stage_.max_grad_norm / norm : 1);
    skipped_ = 0;
    return absl::OkStatus();
  }
  if (++skipped_ < kMaxSkippedUpdates) return absl::OkStatus();
  return WorkError("the gradient of the value model was not finite ", skipped_, " times in a row; lower stage '",
                   stage_.name, "' value_model's learning_rate");
}

absl::Status ValueModel::Learn(std::span<const TrainGroup> groups, Metrics& metrics) {
  const Clock::time_point start = Clock::now();
  if (!shared()) {
    const size_t minibatches = std::min<size_t>(stage_.minibatches, groups.size());
    for (size_t pass = 0; pass < minibatches * static_cast<size_t>(stage_.epochs); ++pass) {
      const size_t part = pass % minibatches;
      const size_t begin = groups.size() * part / minibatches, end = groups.size() * (part + 1) / minibatches;
      HONE_RETURN_IF_ERROR(Update(groups.subspan(begin, end - begin)));
    }
    if (!stage_.activation_checkpointing) ForgetGradients();  // their memory is the rollout's now
  }
  seconds_ += SecondsSince(start);
  if (tokens_ > 0) {
    metrics.Set("value/loss", loss_ / static_cast<double>(tokens_));
    if (options_.clip > 0) metrics.Set("value/clip_fraction", clipped_ / static_cast<double>(tokens_));
  }
  if (updates_ > 0) metrics.Set("value/grad_norm", grad_norm_ / static_cast<double>(updates_));
  if (const auto explained = ExplainedVariance(groups)) metrics.Set("value/explained_variance", *explained);
  metrics.Set("time/value_s", seconds_);
  return absl::OkStatus();
}

absl::Status ValueModel::Save(const std::string& folder) const {
  std::vector<TensorToWrite> tensors;
  for (const Parameter* parameter : parameters_) {
    tensors.push_back(
        {parameter->name, parameter->shape, [parameter] { return PlainWeights(*parameter, parameter->value); }});
  }
  const std::vector<float> steps = {static_cast<float>(optimizer_->steps() / kStepsBase),
                                    static_cast<float>(optimizer_->steps() % kStepsBase)};
  tensors.push_back({kSteps, {2}, [&steps] { return steps; }});
  HONE_RETURN_IF_ERROR(WriteSafetensors(folder + kWeightsFile, tensors, StorageType::kFloat32));
  return optimizer_->Save(folder + kOptimizerFile);
}

absl::Status ValueModel::Load(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(folder + kWeightsFile));
  for (Parameter* parameter : parameters_) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> weights, file.Read(parameter->name, parameter->shape));
    Tensor value = parameter->value.detach();
    AssignPlainWeights(*parameter, weights.data(), value);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> steps, file.Read(kSteps, {2}));
  return optimizer_->Load(folder + kOptimizerFile,
                          static_cast<int64_t>(steps[0]) * kStepsBase + static_cast<int64_t>(steps[1]));
}

}  // namespace hone
