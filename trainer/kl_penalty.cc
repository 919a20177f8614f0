#include "trainer/kl_penalty.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/tensor.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

// Of the relative error that one step answers to.
constexpr double kMaxError = 0.2;

std::string StatePath(const std::string& checkpoint) { return checkpoint + "/state/kl.json"; }

Tensor FromFloats(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

}  // namespace

void KlPenalty::Penalize(std::vector<Group>& groups, Metrics& metrics) const {
  if (is_adaptive()) metrics.Set("policy/kl_coef", coef_);
  if (options_.place != KlPlace::kReward || coef_ == 0) return;
  for (Group& group : groups) {
    for (Sample& sample : group.samples) {
      if (sample.reference.empty()) continue;
      const Tensor penalties =
          KlPerToken(options_.estimator, FromFloats(sample.logprobs), FromFloats(sample.reference)) * coef_;
      const float* values = penalties.const_data_ptr<float>();
      sample.penalties.assign(values, values + penalties.numel());
    }
  }
}

void KlPenalty::Adapt(const std::vector<Group>& groups) {
  if (!is_adaptive()) return;
  double divergence = 0, samples = 0;
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) {
      if (sample.reference.empty()) continue;
      ++samples;
      for (size_t i = 0; i < sample.reference.size(); ++i)
        divergence += double{sample.logprobs[i]} - double{sample.reference[i]};
    }
  }
  if (samples == 0) return;
  const double error = std::clamp(divergence / samples / options_.target - 1, -kMaxError, kMaxError);
  // A batch beyond the horizon would otherwise turn the coefficient negative.
  coef_ *= 1 + error * std::min(1.0, samples / options_.horizon);
}

absl::Status KlPenalty::Save(const std::string& checkpoint) const {
  if (!is_adaptive()) return absl::OkStatus();
  return WriteFile(StatePath(checkpoint), Json{{"coef", coef_}}.dump(2) + "\n");
}

absl::Status KlPenalty::Load(const std::string& checkpoint) {
  if (!is_adaptive()) return absl::OkStatus();
  const std::string path = StatePath(checkpoint);
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("coef") || !json["coef"].is_number())
    return InputError(path, ": damaged; remove the folder ", checkpoint, " to resume from an earlier checkpoint");
  coef_ = json["coef"].get<double>();
  return absl::OkStatus();
}

}  // namespace hone
