#include "engine/model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "kernels/gemm.h"

namespace hone {
namespace {

const std::vector<ModelFamily>& Families() {
  static const std::vector<ModelFamily> families = {
      LlamaFamily(),
      MistralFamily(),
      Qwen2Family(),
      Qwen3Family(),
  };
  return families;
}

}  // namespace

int64_t Model::parameter_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) {
    int64_t size = 1;
    for (const int64_t extent : parameter.shape) size *= extent;
    count += size;
  }
  return count;
}

void Model::Attach(Adapter adapter) {
  HONE_CHECK(!adapter_ && adapter.places.size() == parameters_.size());
  adapter_ = std::move(adapter);
  for (Parameter& parameter : parameters_) {
    parameter.value.set_requires_grad(false);
    parameter.value.mutable_grad().reset();
  }
  for (Parameter& parameter : adapter_->parameters) parameter.value.set_requires_grad(true);
}

Adapter Model::Detach() {
  HONE_CHECK(adapter_.has_value());
  Adapter adapter = *std::exchange(adapter_, std::nullopt);
  for (Parameter& parameter : adapter.parameters) parameter.value.set_requires_grad(false);
  for (Parameter& parameter : parameters_)
    parameter.value.set_requires_grad(parameter.value.scalar_type() == at::kFloat);
  return adapter;
}

std::vector<Parameter*> Model::TrainedParameters() {
  std::vector<Parameter*> trained;
  for (Parameter& parameter : adapter_ ? adapter_->parameters : parameters_) {
    if (parameter.value.requires_grad()) trained.push_back(&parameter);
  }
  return trained;
}

std::optional<ops::LowRank> Model::low_rank(size_t index) const {
  if (!adapter_ || !adapter_is_on_ || adapter_->places[index] < 0) return std::nullopt;
  const Parameter* a = &adapter_->parameters[adapter_->places[index]];
  return ops::LowRank{&a->value, &(a + 1)->value, adapter_->options.rank, adapter_->options.scale()};
}

void Model::StoreAs(kernels::WeightType type) {
  if (type == config_.weight_type) return;
  const bool halves = type == kernels::WeightType::kBfloat16;
  for (Parameter& parameter : parameters_) {
    const Tensor before = parameter.value.detach();
    const bool learns = parameter.value.requires_grad(), matrix = parameter.layout == WeightLayout::kPacked;
    if (!matrix && (!learns || !halves)) continue;
    Tensor after = matrix ? memory_.Zeros(before.numel(), halves ? at::kBFloat16 : at::kFloat) : at::empty_like(before);
    if (halves) {
      RoundToBfloat16(*pool_, before, after);
    } else {
      after.copy_(before);
    }
    after.set_requires_grad(learns);
    if (learns && halves) after.set_grad_dtype(at::kFloat);
    parameter.value = after;
  }
  config_.weight_type = type;
}

std::vector<float> PlainWeights(const Parameter& parameter, const Tensor& value) {
  if (value.scalar_type() == at::kBFloat16) return PlainWeights(parameter, value.to(at::kFloat));
  const float* data = value.const_data_ptr<float>();
  if (parameter.layout == WeightLayout::kPlain) return std::vector<float>(data, data + parameter.shape[0]);
  std::vector<float> plain(parameter.shape[0] * parameter.shape[1]);
  kernels::Unpack(data, parameter.shape[0], parameter.shape[1], plain.data());
  return plain;
}

void AssignPlainWeights(const Parameter& parameter, const float* plain, Tensor& value) {
  AssignPlainRows(parameter, 0, parameter.shape[0], plain, value);
}

void AssignPlainRows(const Parameter& parameter, int64_t first, int64_t count, const float* plain, Tensor& value) {
  HONE_CHECK(first % kernels::kPanel == 0 && first + count <= parameter.shape[0]);
  if (parameter.layout == WeightLayout::kPlain) {
    std::memcpy(value.mutable_data_ptr<float>() + first, plain, count * sizeof(float));
    return;
  }
  const int64_t width = parameter.shape[1], offset = kernels::PackedSize(first, width);
  ThreadPool serial(1);
  if (value.scalar_type() == at::kFloat) {
    kernels::Pack(serial, {plain, width, 1}, count, width, value.mutable_data_ptr<float>() + offset);
    return;
  }
  std::vector<float> packed(kernels::PackedSize(count, width));
  kernels::Pack(serial, {plain, width, 1}, count, width, packed.data());
  Encode(StorageType::kBfloat16, packed.data(), static_cast<int64_t>(packed.size()),
         static_cast<char*>(value.mutable_data_ptr()) + offset * BytesOf(StorageType::kBfloat16));
}

void RoundToBfloat16(ThreadPool& pool, const Tensor& exact, const Tensor& stored) {
  constexpr int64_t kPiece = 1 << 16;
  const int64_t count = exact.numel();
  const float* from = exact.const_data_ptr<float>();
  pool.Run((count + kPiece - 1) / kPiece, [&](int64_t piece) {
    const int64_t first = piece * kPiece, size = std::min(kPiece, count - first);
    if (stored.scalar_type() == at::kBFloat16) {
      auto* to = static_cast<char*>(stored.mutable_data_ptr()) + first * BytesOf(StorageType::kBfloat16);
      return Encode(StorageType::kBfloat16, from + first, size, to);
    }
    std::vector<char> halves(size * BytesOf(StorageType::kBfloat16));
    Encode(StorageType::kBfloat16, from + first, size, halves.data());
    Decode(StorageType::kBfloat16, halves.data(), size, stored.mutable_data_ptr<float>() + first);
  });
}

const ModelFamily* FindModelFamily(const std::string& name) {
  for (const ModelFamily& family : Families()) {
    if (name == family.name) return &family;
  }
  return nullptr;
}

std::string NoModelFamily(const std::string& name) {
  std::vector<std::string> names;
  for (const ModelFamily& family : Families()) names.push_back(family.name);
  return absl::StrCat("no model family '", Visible(name, 60), "'; have: ", absl::StrJoin(names, ", "),
                      DidYouMean(name, names));
}

absl::StatusOr<std::unique_ptr<Model>> NewModel(const ModelConfig& config, ThreadPool* pool) {
  const ModelFamily* family = FindModelFamily(config.family);
  if (family == nullptr) return InputError(NoModelFamily(config.family));
  return family->make(config, pool);
}

void InitializeWeights(Model& model, uint64_t seed) {
  const ModelConfig& config = model.config();
  const double residual = 1 / std::sqrt(2.0 * config.layers);
  uint64_t index = 0;
  for (Parameter& parameter : model.parameters()) {
    RandomSequence random(seed, RandomStream::kWeights, index++);
    const bool vector = parameter.layout == WeightLayout::kPlain;
    const float constant = absl::EndsWith(parameter.name, ".bias") ? 0.0f : 1.0f;
    const bool writes_residual =
        absl::EndsWith(parameter.name, "o_proj.weight") || absl::EndsWith(parameter.name, "down_proj.weight");
    const double std = config.initializer_std * (writes_residual ? residual : 1);
    std::vector<float> plain(vector ? parameter.shape[0] : parameter.shape[0] * parameter.shape[1]);
    for (float& weight : plain) weight = vector ? constant : static_cast<float>(std * random.Normal());
    AssignPlainWeights(parameter, plain.data(), parameter.value);
  }
}

}  // namespace hone
