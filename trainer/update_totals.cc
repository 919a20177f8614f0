#include "trainer/update_totals.h"

#include <algorithm>

namespace hone {
namespace {

void AddIfAny(const std::optional<double>& more, std::optional<double>& sum) {
  if (more) sum = sum.value_or(0) + *more;
}

}  // namespace

void UpdateTotals::Add(const UpdateStats& stats) {
  ++updates_;
  skipped_ += stats.applied ? 0 : 1;
  sum_.loss += stats.loss;
  sum_.entropy += stats.entropy;
  AddIfAny(stats.clip_fraction, sum_.clip_fraction);
  AddIfAny(stats.kl_reference, sum_.kl_reference);
  if (stats.mismatch) sum_.mismatch = std::max(sum_.mismatch.value_or(0), *stats.mismatch);
  sum_.preference.Add(stats.preference);
  sum_.grad_norm += stats.grad_norm;
  sum_.learning_rate = stats.learning_rate;
  sum_.rows += stats.rows;
}

void UpdateTotals::AddTo(double train_s, Metrics& metrics) const {
  if (updates_ > 0) {
    const auto count = static_cast<double>(updates_);
    metrics.Set("policy/loss", sum_.loss / count);
    metrics.Set("policy/entropy", sum_.entropy / count);
    if (sum_.clip_fraction) metrics.Set("policy/clip_fraction", *sum_.clip_fraction / count);
    if (sum_.kl_reference) metrics.Set("policy/kl_ref", *sum_.kl_reference / count);
    sum_.preference.AddTo(metrics);
    metrics.Set("policy/grad_norm", sum_.grad_norm / count);
    metrics.Set("policy/learning_rate", sum_.learning_rate);
    if (sum_.mismatch) metrics.Set("mismatch/logprob_abs_max", *sum_.mismatch);
    metrics.Set("throughput/train_tokens_per_s", static_cast<double>(sum_.rows) / std::max(train_s, 1e-9));
  }
  if (skipped_ > 0) metrics.Set("policy/skipped_updates", static_cast<double>(skipped_));
  metrics.Set("time/train_s", train_s);
}

}  // namespace hone
