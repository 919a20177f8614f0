#include "trainer/trained_parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "engine/base/tensor.h"
#include "kernels/elementwise.h"

namespace hone {
namespace {

// A count as two floats, each exact.
constexpr int64_t kCountBase = 1 << 20;
constexpr char kSteps[] = "steps";

}  // namespace

TrainedParameters::TrainedParameters(std::vector<Parameter*> parameters) : parameters_(std::move(parameters)) {
  for (const Parameter* parameter : parameters_) {
    exp_avg_.push_back(at::zeros(parameter->value.sizes(), at::kFloat));
    exp_avg_sq_.push_back(at::zeros(parameter->value.sizes(), at::kFloat));
  }
}

void TrainedParameters::ForgetGradients() {
  for (Parameter* parameter : parameters_) parameter->value.mutable_grad().reset();
}

double TrainedParameters::SquaredGradientNorm(ThreadPool& pool) const {
  double squares = 0;
  for (const Parameter* parameter : parameters_) {
    const Tensor& gradient = parameter->value.grad();
    if (gradient.defined()) squares += kernels::SumOfSquares(pool, gradient.const_data_ptr<float>(), gradient.numel());
  }
  return squares;
}

void TrainedParameters::Step(const AdamWOptions& adamw, double learning_rate, double gradient_scale) {
  const at::NoGradGuard no_gradient;
  ++steps_;
  const Tensor step = at::full({}, static_cast<double>(steps_), at::kFloat);
  // The fused kernel divides gradients by the scale it is given.
  const Tensor scale = at::full({}, 1 / gradient_scale, at::kFloat);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor gradient = parameters_[i]->value.grad();
    if (!gradient.defined()) continue;
    at::_fused_adamw_(parameters_[i]->value, gradient, exp_avg_[i], exp_avg_sq_[i], {}, step, learning_rate,
                      adamw.beta1, adamw.beta2, adamw.weight_decay, adamw.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, scale);
  }
}

std::vector<TensorToWrite> TrainedParameters::Tensors() const {
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& parameter = *parameters_[i];
    const auto add = [&](const std::string& prefix, const Tensor& value) {
      tensors.push_back(
          {prefix + parameter.name, parameter.shape, [&parameter, &value] { return PlainWeights(parameter, value); }});
    };
    add("", parameter.value);
    add("exp_avg.", exp_avg_[i]);
    add("exp_avg_sq.", exp_avg_sq_[i]);
  }
  tensors.push_back(
      {kSteps, {2}, [this] {
         return std::vector<float>{static_cast<float>(steps_ / kCountBase), static_cast<float>(steps_ % kCountBase)};
       }});
  return tensors;
}

absl::Status TrainedParameters::Load(const SafetensorsFile& file) {
  const at::NoGradGuard no_gradient;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = *parameters_[i];
    HONE_ASSIGN_OR_RETURN(const std::vector<float> weights, file.Read(parameter.name, parameter.shape));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> average, file.Read("exp_avg." + parameter.name, parameter.shape));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> square, file.Read("exp_avg_sq." + parameter.name, parameter.shape));
    AssignPlainWeights(parameter, weights.data(), parameter.value);
    AssignPlainWeights(parameter, average.data(), exp_avg_[i]);
    AssignPlainWeights(parameter, square.data(), exp_avg_sq_[i]);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> steps, file.Read(kSteps, {2}));
  steps_ = static_cast<int64_t>(steps[0]) * kCountBase + static_cast<int64_t>(steps[1]);
  return absl::OkStatus();
}

}  // namespace hone
