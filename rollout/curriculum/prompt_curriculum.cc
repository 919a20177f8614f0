// Prompt Curriculum Learning, https://arxiv.org/abs/2510.01135: a value model tells from each candidate prompt what share of its answers would be right,
// and those whose share is nearest to `target` are asked. No rollout is spent on choosing, and the model learns from the rollouts of those chosen.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "rollout/curriculum.h"

namespace hone {
namespace {

class PromptCurriculum : public Curriculum {
 public:
  PromptCurriculum(int64_t candidates, double target, double learning_rate)
      : candidates_(candidates), target_(target), options_{learning_rate} {}

  int64_t candidates_per_prompt() const override { return candidates_; }
  std::optional<PredictorOptions> predictor_options() const override { return options_; }
  void UsePredictor(PassRatePredictor* predictor) override { predictor_ = predictor; }

  std::vector<size_t> Choose(std::span<const Prompt> candidates, size_t count, RandomSequence& /*random*/) override {
    const std::vector<double> rates = predictor_->Predict(candidates);
    std::vector<size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return std::abs(rates[a] - target_) < std::abs(rates[b] - target_); });
    order.resize(count);
    return order;
  }

  absl::Status Learn(std::span<const Group> groups, Metrics& metrics) override {
    return predictor_->Learn(groups, metrics);
  }

 private:
  const int64_t candidates_;
  const double target_;
  const PredictorOptions options_;
  PassRatePredictor* predictor_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Curriculum>> NewPromptCurriculum(Spec& spec) {
  const int64_t candidates = spec.Int("candidates", 4, 1, 1024);  // for each prompt wanted
  const double target = spec.Double("target", 0.5, 0, 1);
  const double learning_rate = spec.Double("learning_rate", 1e-4, 1e-12, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<PromptCurriculum>(candidates, target, learning_rate);
}

}  // namespace hone
