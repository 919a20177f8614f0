// Direct Nash Optimization, https://arxiv.org/abs/2404.03715, algorithm 1, eq. 8. The policy plays against itself: r is an answer's win rate
// against the other answers to its prompt, and the policy's log-ratios are regressed on r by a binary cross-entropy,
//   p = sigmoid(r_1 - r_2),   -p log sigmoid(eta D) - (1 - p) log sigmoid(-eta D),   D = d_1 - d_2,
// d the log-ratio to the policy that sampled the answers: each step's samples are an iteration of the algorithm. With labels=hard p is 1,
// which is the contrastive step of the paper's practical algorithm (DPO against the last iteration, section 4, eq. 13).
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>

#include "engine/base/tensor.h"
#include "trainer/loss.h"
#include "trainer/pairs.h"

namespace hone {
namespace {

struct DnoOptions {
  double eta = 0.1;  // the paper's beta of the practical algorithm, section 5.1: 0.1 or 0.05
  bool soft_labels = true;
};

class Dno : public Loss {
 public:
  explicit Dno(DnoOptions options) : options_(options) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    const Tensor rewards = SampleSums(inputs.logprobs - inputs.rollout, inputs.lengths) * options_.eta;
    const Tensor margin = Better(rewards) - Worse(rewards);
    // The win rate stands on every token of an answer.
    const Tensor win_rates = SampleSums(inputs.advantages, inputs.lengths) / SampleLengths(inputs.lengths);
    const Tensor label =
        options_.soft_labels ? at::sigmoid(Better(win_rates) - Worse(win_rates)) : at::ones_like(margin);
    GivePairs(-label * at::log_sigmoid(margin) - (1 - label) * at::log_sigmoid(-margin), rewards, outputs);
  }

  Aggregation aggregation() const override { return Aggregation::kPairMean; }
  bool compares_with_rollout() const override { return true; }

 private:
  DnoOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewDno(Spec& spec) {
  DnoOptions options;
  options.eta = spec.Double("eta", options.eta, 1e-9, 1e9);
  options.soft_labels = spec.Choice("labels", "win_rates", {"win_rates", "hard"}) == "win_rates";
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Dno>(options);
}

}  // namespace hone
