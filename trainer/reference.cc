#include "trainer/reference.h"

#include <ATen/core/grad_mode.h>

#include <optional>

#include "engine/base/check.h"
#include "engine/base/tensor.h"
#include "engine/checkpoint.h"
#include "engine/model_config.h"
#include "engine/safetensors.h"

namespace hone {
namespace {

std::string StatePath(const std::string& checkpoint) { return checkpoint + "/state/reference.safetensors"; }

absl::StatusOr<std::unique_ptr<Model>> CopyOf(const Model& policy, ReferenceKind kind) {
  ModelConfig config = policy.config();
  // What moves by a hundredth of a difference needs more digits than the policy shows.
  if (kind == ReferenceKind::kEma) config.weight_type = kernels::WeightType::kFloat32;
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> copy, NewModel(config, &policy.pool()));
  const at::NoGradGuard no_gradient;
  HONE_CHECK(copy->parameters().size() == policy.parameters().size());
  for (size_t i = 0; i < policy.parameters().size(); ++i)
    copy->parameters()[i].value.copy_(policy.parameters()[i].value);
  return copy;
}

absl::StatusOr<std::unique_ptr<Model>> ModelAtStart(const Model& policy, const StageStart& start) {
  std::unique_ptr<Model> model;
  if (!start.folder.empty()) {
    HONE_ASSIGN_OR_RETURN(model, LoadModel(start.folder, &policy.pool()));
  } else {
    ModelConfig config = policy.config();
    config.weight_type = kernels::WeightType::kFloat32;
    HONE_ASSIGN_OR_RETURN(model, NewModel(config, &policy.pool()));
    InitializeWeights(*model, start.seed);
  }
  model->StoreAs(policy.config().weight_type);  // as the stage did with the policy
  return model;
}

absl::StatusOr<ReferenceOptions> ReadBare(Spec& spec, ReferenceKind kind) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return ReferenceOptions{kind};
}

}  // namespace

absl::StatusOr<ReferenceOptions> ReadNoReference(Spec& spec) { return ReadBare(spec, ReferenceKind::kNone); }
absl::StatusOr<ReferenceOptions> ReadStartReference(Spec& spec) { return ReadBare(spec, ReferenceKind::kStart); }

absl::StatusOr<ReferenceOptions> ReadModelReference(Spec& spec) {
  ReferenceOptions options{ReferenceKind::kModel, spec.Text("path", "")};
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.path.empty()) return InputError("model: needs an option path=DIR, the folder of the reference");
  return options;
}

// Decay 0.99 is WARP's (https://arxiv.org/abs/2406.16768, section 3.1), which anchors the KL term in this way.
absl::StatusOr<ReferenceOptions> ReadEmaReference(Spec& spec) {
  ReferenceOptions options{ReferenceKind::kEma};
  options.decay = spec.Double("decay", 0.99, 0, 1);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

absl::Status CheckReference(const ReferenceOptions& options, int32_t vocab_size) {
  if (options.kind != ReferenceKind::kModel) return absl::OkStatus();
  HONE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(options.path));
  if (config.vocab_size == vocab_size) return absl::OkStatus();
  return InputError("reference ", options.path, " has a vocabulary of ", config.vocab_size, ", the policy has ",
                    vocab_size, "; they must share a tokenizer");
}

absl::StatusOr<std::unique_ptr<ReferencePolicy>> ReferencePolicy::New(const ReferenceOptions& options,
                                                                      const Model& policy, const StageStart* start) {
  HONE_CHECK(options.kind != ReferenceKind::kNone);
  const bool is_base = options.kind == ReferenceKind::kStart && policy.adapter() != nullptr;
  absl::StatusOr<std::unique_ptr<Model>> model;
  if (is_base) {
    model = nullptr;
  } else if (options.kind == ReferenceKind::kModel) {
    HONE_RETURN_IF_ERROR(CheckReference(options, policy.config().vocab_size));
    model = LoadModel(options.path, &policy.pool(), MatrixStorage::kExact);
  } else if (options.kind == ReferenceKind::kStart && start != nullptr) {
    model = ModelAtStart(policy, *start);
  } else {
    HONE_CHECK(policy.adapter() == nullptr);
    model = CopyOf(policy, options.kind);
  }
  HONE_RETURN_IF_ERROR(model.status());
  std::unique_ptr<ReferencePolicy> reference(
      new ReferencePolicy(*std::move(model), is_base ? &policy : nullptr, options));
  if (options.kind == ReferenceKind::kEma && start != nullptr) HONE_RETURN_IF_ERROR(reference->Load(start->checkpoint));
  return reference;
}

std::vector<std::vector<float>> ReferencePolicy::Score(const std::vector<TrainGroup>& groups,
                                                       int64_t token_budget) const {
  std::optional<WithoutAdapter> base;
  if (base_of_ != nullptr) base.emplace(base_of_);
  const std::vector<float> scores = ScoreGroups(model(), groups, token_budget);
  std::vector<std::vector<float>> lists;
  auto next = scores.begin();
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) {
      const auto end = next + static_cast<int64_t>(sample.tokens->size());
      lists.emplace_back(next, end);
      next = end;
    }
  }
  HONE_CHECK(next == scores.end());
  return lists;
}

void ReferencePolicy::Score(std::vector<Group>& groups, int64_t token_budget) const {
  std::vector<TrainGroup> scored;
  std::vector<Sample*> samples;
  for (Group& group : groups) {
    scored.push_back({&group.prompt.tokens, {}});
    for (Sample& sample : group.samples) {
      if (!sample.verdict.score) continue;
      scored.back().samples.push_back({.tokens = &sample.tokens});
      samples.push_back(&sample);
    }
  }
  std::vector<std::vector<float>> lists = Score(scored, token_budget);
  for (size_t i = 0; i < samples.size(); ++i) samples[i]->reference = std::move(lists[i]);
}

void ReferencePolicy::Follow(const Model& policy) {
  if (options_.kind != ReferenceKind::kEma) return;
  const at::NoGradGuard no_gradient;
  for (size_t i = 0; i < policy.parameters().size(); ++i) {
    model_->parameters()[i].value.mul_(options_.decay).add_(policy.parameters()[i].value, 1 - options_.decay);
  }
}

absl::Status ReferencePolicy::Save(const std::string& checkpoint) const {
  if (options_.kind != ReferenceKind::kEma) return absl::OkStatus();
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : model_->parameters()) {
    tensors.push_back(
        {parameter.name, parameter.shape, [&parameter] { return PlainWeights(parameter, parameter.value); }});
  }
  return WriteSafetensors(StatePath(checkpoint), tensors, StorageType::kFloat32);
}

absl::Status ReferencePolicy::Load(const std::string& checkpoint) {
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(StatePath(checkpoint)));
  const at::NoGradGuard no_gradient;
  for (Parameter& parameter : model_->parameters()) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> plain, file.Read(parameter.name, parameter.shape));
    AssignPlainWeights(parameter, plain.data(), parameter.value);
  }
  return absl::OkStatus();
}

}  // namespace hone
