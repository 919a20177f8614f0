#include "trainer/adamw.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "engine/safetensors.h"
#include "kernels/elementwise.h"

namespace hone {
namespace {

// In double, so that finite numbers have a finite sum.
double SumOfSquares(ThreadPool& pool, const Parameter& parameter) {
  const Tensor& gradient = parameter.value.grad();
  return gradient.defined() ? kernels::SumOfSquares(pool, gradient.const_data_ptr<float>(), gradient.numel()) : 0;
}

std::string AverageName(const Parameter& parameter) { return "exp_avg." + parameter.name; }
std::string MasterName(const Parameter& parameter) { return "master." + parameter.name; }
std::string SquareName(const Parameter& parameter) { return "exp_avg_sq." + parameter.name; }

}  // namespace

AdamW::AdamW(ThreadPool* pool, std::vector<Parameter*> parameters) : pool_(pool), parameters_(std::move(parameters)) {
  for (const Parameter* parameter : parameters_) {
    averages_.push_back(
        {at::zeros(parameter->value.sizes(), at::kFloat), at::zeros(parameter->value.sizes(), at::kFloat)});
  }
}

void AdamW::KeepMasters() {
  masters_.clear();
  for (const Parameter* parameter : parameters_) {
    // A float32 matrix is left to the master as it lies, and StoreAs takes other memory; a vector may stay where it is.
    const Tensor exact = parameter->value.detach().to(at::kFloat);
    masters_.push_back(parameter->layout == WeightLayout::kPlain ? exact.clone() : exact);
  }
}

void AdamW::ClearGradients() {
  for (Parameter* parameter : parameters_) parameter->value.mutable_grad().reset();
}

void AdamW::ZeroGradients() {
  for (Parameter* parameter : parameters_) {
    Tensor& gradient = parameter->value.mutable_grad();
    if (gradient.defined()) {
      gradient.zero_();
    } else {
      gradient = at::zeros(parameter->value.sizes(), at::kFloat);
    }
  }
}

double AdamW::SquaredGradientNorm() const {
  double squares = 0;
  for (const Parameter* parameter : parameters_) squares += SumOfSquares(*pool_, *parameter);
  return squares;
}

double AdamW::GradientNorm() const { return std::sqrt(SquaredGradientNorm()); }

const Parameter* AdamW::FirstNotFinite() const {
  for (auto parameter = parameters_.rbegin(); parameter != parameters_.rend(); ++parameter) {
    if (!std::isfinite(SumOfSquares(*pool_, **parameter))) return *parameter;
  }
  return nullptr;
}

void AdamW::Step(const AdamWOptions& options, double learning_rate, double gradient_scale) {
  const at::NoGradGuard no_gradient;
  ++steps_;
  const Tensor step = at::full({}, static_cast<double>(steps_), at::kFloat);
  // The fused kernel divides gradients by the scale it is given.
  const Tensor scale = at::full({}, 1 / gradient_scale, at::kFloat);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor gradient = parameters_[i]->value.grad();
    if (!gradient.defined()) continue;
    at::_fused_adamw_(masters_.empty() ? parameters_[i]->value : masters_[i], gradient, averages_[i].gradient,
                      averages_[i].square, {}, step, learning_rate, options.beta1, options.beta2, options.weight_decay,
                      options.epsilon,
                      /*amsgrad=*/false, /*maximize=*/false, scale);
    if (!masters_.empty()) RoundToBfloat16(*pool_, masters_[i], parameters_[i]->value);
  }
}

std::vector<TensorToWrite> AdamW::State() const {
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& parameter = *parameters_[i];
    const auto add = [&](const std::string& name, const Tensor& value) {
      tensors.push_back({name, parameter.shape, [&parameter, &value] { return PlainWeights(parameter, value); }});
    };
    add(AverageName(parameter), averages_[i].gradient);
    add(SquareName(parameter), averages_[i].square);
    if (!masters_.empty()) add(MasterName(parameter), masters_[i]);
  }
  return tensors;
}

absl::Status AdamW::Save(const std::string& path) const {
  return WriteSafetensors(path, State(), StorageType::kFloat32);
}

absl::Status AdamW::Load(const std::string& path, int64_t steps) {
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  return Load(file, steps);
}

absl::Status AdamW::Load(const SafetensorsFile& file, int64_t steps) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& parameter = *parameters_[i];
    HONE_ASSIGN_OR_RETURN(const std::vector<float> average, file.Read(AverageName(parameter), parameter.shape));
    HONE_ASSIGN_OR_RETURN(const std::vector<float> square, file.Read(SquareName(parameter), parameter.shape));
    AssignPlainWeights(parameter, average.data(), averages_[i].gradient);
    AssignPlainWeights(parameter, square.data(), averages_[i].square);
    if (masters_.empty()) continue;
    HONE_ASSIGN_OR_RETURN(const std::vector<float> master, file.Read(MasterName(parameter), parameter.shape));
    AssignPlainWeights(parameter, master.data(), masters_[i]);
  }
  steps_ = steps;
  return absl::OkStatus();
}

}  // namespace hone
