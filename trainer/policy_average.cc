#include "trainer/policy_average.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <numeric>

#include "absl/memory/memory.h"
#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "engine/safetensors.h"
#include "trainer/student.h"

namespace hone {
namespace {

// A count as two floats, each exact.
constexpr int64_t kCountBase = 1 << 20;
constexpr char kTakenIn[] = "taken_in";

}  // namespace

absl::StatusOr<PolicyEwmaOptions> ReadNoPolicyEwma(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return PolicyEwmaOptions();
}

absl::StatusOr<PolicyEwmaOptions> ReadPolicyEwma(Spec& spec) {
  PolicyEwmaOptions options;
  // The paper's default: an age of 8 optimizer steps, as many as an epoch has minibatches.
  options.beta_prox = spec.Double("beta_prox", 0.889, 1e-6, 0.9999999);
  options.divide_batch = spec.Double("divide_batch", options.divide_batch, 1e-6, 1e6);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

BatchSizeSettings ForDividedBatch(const BatchSizeSettings& settings, double c) {
  const double age = c * settings.beta_prox / (1 - settings.beta_prox);
  return {settings.learning_rate / std::sqrt(c), std::pow(settings.beta1, 1 / c), std::pow(settings.beta2, 1 / c),
          age / (1 + age)};
}

absl::StatusOr<std::unique_ptr<PolicyAverage>> PolicyAverage::New(const Model& policy, double beta_prox) {
  HONE_CHECK(beta_prox > 0 && beta_prox < 1);
  std::vector<int32_t> layers(policy.config().layers);
  std::iota(layers.begin(), layers.end(), 0);
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> average,
                        CopyLayers(policy, layers, HeadCopy::kLikePolicy, &policy.pool()));
  return absl::WrapUnique(new PolicyAverage(policy, std::move(average), beta_prox));
}

void PolicyAverage::Add() {
  const at::NoGradGuard no_gradient;
  ++taken_in_;
  const double newest = (1 - beta_prox_) / (1 - std::pow(beta_prox_, static_cast<double>(taken_in_)));
  for (size_t i = 0; i < policy_.parameters().size(); ++i)
    average_->parameters()[i].value.mul_(1 - newest).add_(policy_.parameters()[i].value, newest);
}

void PolicyAverage::Score(std::vector<TrainGroup>& groups, int64_t token_budget) {
  const std::vector<float> logprobs = ScoreGroups(*average_, groups, token_budget);
  size_t samples = 0;
  for (const TrainGroup& group : groups) samples += group.samples.size();
  old_.assign(samples, {});
  size_t sample = 0;
  auto next = logprobs.begin();
  for (TrainGroup& group : groups) {
    for (TrainSample& each : group.samples) {
      const auto end = next + static_cast<int64_t>(each.tokens->size());
      old_[sample].assign(next, end);
      each.old = &old_[sample++];
      next = end;
    }
  }
}

absl::Status PolicyAverage::Save(const std::string& path) const {
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : average_->parameters()) {
    tensors.push_back(
        {parameter.name, parameter.shape, [&parameter] { return PlainWeights(parameter, parameter.value); }});
  }
  tensors.push_back({kTakenIn, {2}, [this] {
                       return std::vector<float>{static_cast<float>(taken_in_ / kCountBase),
                                                 static_cast<float>(taken_in_ % kCountBase)};
                     }});
  return WriteSafetensors(path, tensors, StorageType::kFloat32);
}

absl::Status PolicyAverage::Load(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const at::NoGradGuard no_gradient;
  for (Parameter& parameter : average_->parameters()) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> weights, file.Read(parameter.name, parameter.shape));
    AssignPlainWeights(parameter, weights.data(), parameter.value);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> taken_in, file.Read(kTakenIn, {2}));
  taken_in_ = static_cast<int64_t>(taken_in[0]) * kCountBase + static_cast<int64_t>(taken_in[1]);
  return absl::OkStatus();
}

}  // namespace hone
