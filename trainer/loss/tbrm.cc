// Trajectory Bellman Residual Minimization, https://arxiv.org/abs/2505.15311, eq. 4: the model's logits as Q-values, without critic, ratio,
// clipping or peers; any policy may have sampled. With a cost beta for leaving the reference f, Q* obeys
//   Q(s_t, a_t) = r_t + V(s_t+1),  V(s) = beta log sum_a f(a|s) exp(Q(s, a) / beta),  V = 0 after the end.
// With the logits z(s, a) = Q(s, a) / beta + log f(a|s), V is beta times their log-sum-exp and Q - V is beta (l - f), l the policy's own
// log-probability. Summed over an answer whose reward R comes at its end, the values of all states but the first cancel:
//   residual = beta (log_sum_exp(s_1) + sum_t (l_t - f_t)) - R,
// and the loss is the mean over samples of its square. (The paper divides the residual by beta; the minimum is the same, and so is
// Adam's step, but for its epsilon and where gradients are clipped.) One value a sample; R comes as the advantage, from the estimator
// `reward`.
#include <ATen/ops/empty.h>

#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "trainer/loss_terms.h"

namespace hone {
namespace {

// [tokens] 1 at the first of each sample, else 0.
Tensor FirstTokens(const Tensor& like, std::span<const int32_t> lengths) {
  const Tensor first = at::empty({like.numel()}, at::kFloat);
  float* next = first.mutable_data_ptr<float>();
  for (const int32_t length : lengths) {
    std::fill_n(next, length, 0.0f);
    if (length > 0) *next = 1;
    next += length;
  }
  return first;
}

class Tbrm : public Loss {
 public:
  explicit Tbrm(double beta) : beta_(beta) {}

  void Compute(const LossInputs& inputs, LossOutputs outputs) const override {
    HONE_CHECK(inputs.reference.defined() && inputs.log_sum_exp.defined());
    const Tensor first = FirstTokens(inputs.logprobs, inputs.lengths);
    const Tensor terms = (inputs.logprobs - inputs.reference + first * inputs.log_sum_exp) * beta_;
    const Tensor residuals = SumPerSample(terms - first * inputs.advantages, inputs.lengths);
    outputs.values = residuals * residuals;
  }

  Aggregation aggregation() const override { return Aggregation::kSampleMean; }
  bool needs_reference() const override { return true; }
  bool takes_rewards() const override { return true; }

 private:
  double beta_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loss>> NewTbrm(Spec& spec) {
  // A reward of 1 is worth 1 / beta nats away from the reference. 0.002 is the paper's, section 4.1.
  const double beta = spec.Double("beta", 0.002, 1e-9, 1e6);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Tbrm>(beta);
}

}  // namespace hone
