// The gradient noise scale, "An Empirical Model of Large-Batch Training", https://arxiv.org/abs/1812.06162, appendix A.1: the batch at which the
// noise of a gradient is as large as the gradient. Smaller batches learn nearly as much from each sample; larger ones spend samples to save steps.
//
// It wants squared gradient norms at two batch sizes. The learner has both without a second pass or a second copy: the gradient after the first
// micro-batch, times B / b, is the estimate that b of the batch's B samples give, and after the last one that of all. The price is one more
// reading of the gradient an update, and no memory. Samples of a group are not independent; a micro-batch holds whole groups but for its last.
#pragma once

#include <optional>
#include <string>

#include "engine/base/metrics.h"
#include "engine/base/spec.h"

namespace hone {

// Squared gradient norms of one update at two batch sizes, in samples; small < big.
struct GradientNorms {
  double small_batch = 0, big_batch = 0;
  double small_sq = 0, big_sq = 0;
};

// Unbiased estimates of |gradient|^2 and of the trace of a sample's gradient's covariance; either may come out negative.
struct NoiseEstimate {
  double grad_sq = 0;  // (B g_B - b g_b) / (B - b)
  double trace = 0;    // (g_b - g_B) / (1 / b - 1 / B)
};
NoiseEstimate EstimateNoise(const GradientNorms& norms);

// The slot `noise_scale`: how slowly the averages move; no value: not measured.
absl::StatusOr<std::optional<double>> ReadNoNoiseScale(Spec& spec);
absl::StatusOr<std::optional<double>> ReadSimpleNoiseScale(Spec& spec);

// Numerator and denominator are averaged apart, as in the paper: their ratio from one update is biased and may be anything.
class NoiseScale {
 public:
  explicit NoiseScale(double decay) : decay_(decay) {}

  void Add(const GradientNorms& norms);

  // trace / |gradient|^2, in samples. No value before the first update, or while an average is not positive.
  std::optional<double> simple() const;

  // noise_scale/simple, and noise_scale/suggested_batch: samples to roll out for an optimizer step where a share `trained` (0..1] of them carries
  // a gradient.
  void AddTo(Metrics& metrics, double trained) const;

  absl::Status Save(const std::string& path) const;
  absl::Status Load(const std::string& path);

 private:
  double decay_;
  // Weights of the past fall by the same factor in both, so their ratio needs no correction.
  double trace_ = 0, grad_sq_ = 0;
};

}  // namespace hone
