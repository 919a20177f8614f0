#include "trainer/trained_parameters.h"

namespace hone {
namespace {

// A count as two floats, each exact.
constexpr int64_t kCountBase = 1 << 20;
constexpr char kSteps[] = "steps";

}  // namespace

std::vector<TensorToWrite> TrainedParameters::Tensors() const {
  std::vector<TensorToWrite> tensors = optimizer_.State();
  for (const Parameter* parameter : parameters_) {
    tensors.push_back(
        {parameter->name, parameter->shape, [parameter] { return PlainWeights(*parameter, parameter->value); }});
  }
  tensors.push_back(
      {kSteps, {2}, [this] {
         const int64_t steps = optimizer_.steps();
         return std::vector<float>{static_cast<float>(steps / kCountBase), static_cast<float>(steps % kCountBase)};
       }});
  return tensors;
}

absl::Status TrainedParameters::Load(const SafetensorsFile& file) {
  for (Parameter* parameter : parameters_) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> weights, file.Read(parameter->name, parameter->shape));
    Tensor value = parameter->value.detach();
    AssignPlainWeights(*parameter, weights.data(), value);
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<float> steps, file.Read(kSteps, {2}));
  return optimizer_.Load(file, static_cast<int64_t>(steps[0]) * kCountBase + static_cast<int64_t>(steps[1]));
}

}  // namespace hone
