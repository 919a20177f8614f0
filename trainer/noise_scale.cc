#include "trainer/noise_scale.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/check.h"
#include "engine/base/file.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

NoiseEstimate EstimateNoise(const GradientNorms& norms) {
  const double b = norms.small_batch, B = norms.big_batch;
  HONE_CHECK(b > 0 && b < B);
  return {(B * norms.big_sq - b * norms.small_sq) / (B - b), (norms.small_sq - norms.big_sq) / (1 / b - 1 / B)};
}

absl::StatusOr<std::optional<double>> ReadNoNoiseScale(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::optional<double>();
}

absl::StatusOr<std::optional<double>> ReadSimpleNoiseScale(Spec& spec) {
  // Our choice: about 20 updates. A single estimate is off by its own size.
  const double decay = spec.Double("decay", 0.95, 0, 0.9999999);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::optional<double>(decay);
}

void NoiseScale::Add(const GradientNorms& norms) {
  if (!std::isfinite(norms.small_sq) || !std::isfinite(norms.big_sq)) return;
  const NoiseEstimate estimate = EstimateNoise(norms);
  trace_ = decay_ * trace_ + (1 - decay_) * estimate.trace;
  grad_sq_ = decay_ * grad_sq_ + (1 - decay_) * estimate.grad_sq;
}

std::optional<double> NoiseScale::simple() const {
  if (trace_ <= 0 || grad_sq_ <= 0) return std::nullopt;
  return trace_ / grad_sq_;
}

void NoiseScale::AddTo(Metrics& metrics, double trained) const {
  const std::optional<double> scale = simple();
  if (!scale) return;
  metrics.Set("noise_scale/simple", *scale);
  metrics.Set("noise_scale/suggested_batch", std::max(1.0, std::round(*scale / trained)));
}

absl::Status NoiseScale::Save(const std::string& path) const {
  return WriteFile(path, Json({{"trace", trace_}, {"grad_sq", grad_sq_}}).dump(2) + "\n");
}

absl::Status NoiseScale::Load(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is_number = [&](const char* key) {
    return json.is_object() && json.contains(key) && json[key].is_number();
  };
  if (!is_number("trace") || !is_number("grad_sq"))
    return InputError(path, ": damaged; remove its checkpoint to resume from an earlier one");
  trace_ = json["trace"].get<double>();
  grad_sq_ = json["grad_sq"].get<double>();
  return absl::OkStatus();
}

}  // namespace hone
