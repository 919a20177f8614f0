#include "trainer/student.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/tensor.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

// The layers' windows after each other, as config.json says them: a list for each layer, or the first layer that has one.
void WriteWindows(const std::vector<int32_t>& sources, const std::vector<int32_t>& windows, Json& json) {
  if (json.contains("layer_types") && json["layer_types"].is_array()) {
    const Json types = json["layer_types"];
    json["layer_types"] = Json::array();
    for (const int32_t source : sources) json["layer_types"].push_back(types[source]);
  } else if (json.contains("use_sliding_window") && json["use_sliding_window"] == true) {
    json["max_window_layers"] = std::count(windows.begin(), windows.end(), kernels::kWholeSequence);
  }
}

ModelConfig StudentConfig(const ModelConfig& policy, const std::vector<int32_t>& sources) {
  ModelConfig config = policy;
  config.layers = static_cast<int32_t>(sources.size());
  config.weight_type = kernels::WeightType::kFloat32;
  for (int32_t layer = 0; layer < config.layers && !policy.windows.empty(); ++layer)
    config.windows[layer] = policy.windows[sources[layer]];
  if (!policy.windows.empty()) config.windows.resize(config.layers);
  if (policy.config_text.empty()) return config;
  Json json = Json::parse(policy.config_text);
  json["num_hidden_layers"] = config.layers;
  WriteWindows(sources, config.windows, json);
  config.config_text = json.dump(2) + "\n";
  return config;
}

// "model.layers.1.mlp..." of the student -> "model.layers.29.mlp..." of the policy; other names are the same.
std::string SourceName(absl::string_view name, const std::vector<int32_t>& sources) {
  constexpr absl::string_view kPrefix = "model.layers.";
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, kPrefix)) return std::string(name);
  const size_t dot = rest.find('.');
  int32_t layer = 0;
  HONE_CHECK(absl::SimpleAtoi(rest.substr(0, dot), &layer));
  return absl::StrCat(kPrefix, sources[layer], rest.substr(dot));
}

}  // namespace

int32_t SourceLayer(int32_t layer, int32_t layers, int32_t policy_layers) {
  if (layers == 1) return 0;
  // layer * (policy_layers - 1) / (layers - 1), to the nearest.
  const int64_t gaps = layers - 1;
  return static_cast<int32_t>((2 * int64_t{layer} * (policy_layers - 1) + gaps) / (2 * gaps));
}

absl::Status CheckStudentLayers(int64_t layers, int32_t policy_layers) {
  if (policy_layers < 2) return InputError("the model has a single layer; a student with fewer does not exist");
  if (layers >= 1 && layers < policy_layers) return absl::OkStatus();
  return InputError("a student of ", layers, " layers, the model has ", policy_layers, "; wanted 1 to ",
                    policy_layers - 1);
}

absl::StatusOr<std::unique_ptr<Model>> CopyLayers(const Model& policy, const std::vector<int32_t>& sources,
                                                  HeadCopy head, ThreadPool* pool) {
  ModelConfig config = StudentConfig(policy.config(), sources);
  if (head == HeadCopy::kNone) config.tie_word_embeddings = true;
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Model> copy, NewModel(config, pool));
  std::map<std::string, const Tensor*> weights;
  for (const Parameter& parameter : policy.parameters()) weights[parameter.name] = &parameter.value;
  const at::NoGradGuard no_gradient;
  // The layout does not depend on the type, so a copy converts bfloat16 as it stands.
  for (Parameter& parameter : copy->parameters()) {
    const auto source = weights.find(SourceName(parameter.name, sources));
    HONE_CHECK(source != weights.end());
    parameter.value.copy_(*source->second);
  }
  return copy;
}

absl::StatusOr<std::unique_ptr<Model>> NewStudent(const Model& policy, int32_t layers, ThreadPool* pool) {
  HONE_RETURN_IF_ERROR(CheckStudentLayers(layers, policy.config().layers));
  std::vector<int32_t> sources;
  for (int32_t layer = 0; layer < layers; ++layer)
    sources.push_back(SourceLayer(layer, layers, policy.config().layers));
  return CopyLayers(policy, sources, HeadCopy::kLikePolicy, pool);
}

}  // namespace hone
