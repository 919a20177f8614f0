#include "engine/peft.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/safetensors.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kConfigFile[] = "/adapter_config.json", kWeightsFile[] = "/adapter_model.safetensors";
constexpr size_t kShownBytes = 60;

// Keys that say where an adapter is from or how it was trained, not what it computes.
constexpr const char* kHarmlessKeys[] = {"auto_mapping",      "base_model_name_or_path",
                                         "inference_mode",    "init_lora_weights",
                                         "lora_dropout",      "megatron_core",
                                         "parent_library",    "peft_version",
                                         "qalora_group_size", "revision",
                                         "runtime_config",    "task_type",
                                         "lora_ga_config",    "loftq_config",
                                         "eva_config",        "corda_config"};

class PeftReader {
 public:
  PeftReader(const std::string& path, const Json& json) : path_(path), json_(json) {}

  absl::StatusOr<PeftConfig> Read() {
    PeftConfig config;
    HONE_RETURN_IF_ERROR(Require("peft_type", "LORA"));
    HONE_RETURN_IF_ERROR(Require("bias", "none"));
    if (!json_.contains("base_model_name_or_path") || !json_["base_model_name_or_path"].is_string())
      return Fail("base_model_name_or_path", "the folder of the base model");
    config.base = json_["base_model_name_or_path"].get<std::string>();
    if (!json_.contains("r") || !json_["r"].is_number_integer() || json_["r"] < 1 || json_["r"] > 4096)
      return Fail("r", "a whole number in 1 .. 4096");
    config.lora.rank = json_["r"].get<int32_t>();
    if (!json_.contains("lora_alpha") || !json_["lora_alpha"].is_number()) return Fail("lora_alpha", "a number");
    config.lora.alpha = json_["lora_alpha"].get<double>();
    HONE_RETURN_IF_ERROR(ReadTargets(config.lora));
    if (json_.contains("use_rslora")) {
      if (!json_["use_rslora"].is_boolean()) return Fail("use_rslora", "true or false");
      config.lora.rank_stabilized = json_["use_rslora"].get<bool>();
    }
    HONE_RETURN_IF_ERROR(RefuseOthers());
    return config;
  }

 private:
  absl::Status Fail(const std::string& key, const std::string& wanted) const {
    const std::string found =
        json_.contains(key) ? Visible(json_[key].dump(-1, ' ', false, Json::error_handler_t::replace), kShownBytes)
                            : "missing";
    return InputError(path_, ": '", key, "' is ", found, ", wanted ", wanted);
  }

  absl::Status Require(const std::string& key, const std::string& value) const {
    if (json_.contains(key) && json_[key] == value) return absl::OkStatus();
    return Fail(key, absl::StrCat("\"", value, "\"; Hone knows no other"));
  }

  absl::Status ReadTargets(LoraOptions& lora) const {
    const std::string key = "target_modules";
    std::vector<std::string> names;
    if (json_.contains(key) && json_[key].is_string()) names = {json_[key].get<std::string>()};
    if (json_.contains(key) && json_[key].is_array()) {
      // PEFT may name each module in full, "model.layers.0.self_attn.q_proj"; a layer left out is then a missing tensor.
      for (const Json& each : json_[key]) {
        const std::string name = each.is_string() ? each.get<std::string>() : each.dump();
        names.push_back(name.substr(name.rfind('.') + 1));
      }
    }
    auto targets = ParseLoraTargets(absl::StrJoin(names, "+"));
    if (!targets.ok())
      return Fail(key, absl::StrCat("all-linear, or a list of some of ", absl::StrJoin(LoraTargets(), ", ")));
    lora.targets = *std::move(targets);
    return absl::OkStatus();
  }

  // All that is left must say nothing.
  absl::Status RefuseOthers() const {
    std::set<std::string> known(std::begin(kHarmlessKeys), std::end(kHarmlessKeys));
    known.insert({"peft_type", "bias", "r", "lora_alpha", "target_modules", "use_rslora"});
    for (const auto& [key, value] : json_.items()) {
      const bool says_nothing = value.is_null() || value == false || (value.is_structured() && value.empty());
      if (known.count(key) == 0 && !says_nothing)
        return InputError(path_, ": '", Visible(key, kShownBytes),
                          "' is not supported; it would change what the adapter computes");
    }
    return absl::OkStatus();
  }

  const std::string& path_;
  const Json& json_;
};

Json ConfigJson(const Adapter& adapter) {
  const double alpha = adapter.options.alpha;
  const auto whole = static_cast<int64_t>(alpha);
  return {{"base_model_name_or_path", adapter.base},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"lora_alpha", static_cast<double>(whole) == alpha ? Json(whole) : Json(alpha)},
          {"lora_dropout", 0.0},
          {"modules_to_save", nullptr},
          {"peft_type", "LORA"},
          {"r", adapter.options.rank},
          {"target_modules", adapter.options.targets},
          {"task_type", "CAUSAL_LM"},
          {"use_dora", false},
          {"use_rslora", adapter.options.rank_stabilized}};
}

}  // namespace

bool IsAdapterFolder(const std::string& folder) {
  std::error_code error;
  return std::filesystem::exists(folder + kConfigFile, error);
}

absl::StatusOr<PeftConfig> ReadPeftConfig(const std::string& folder) {
  const std::string path = folder + kConfigFile;
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InputError(path, ": is not a JSON object");
  HONE_ASSIGN_OR_RETURN(PeftConfig config, PeftReader(path, json).Read());
  std::error_code error;
  if (!std::filesystem::is_directory(config.base, error)) {
    return InputError(path, ": the base model '", Visible(config.base, kShownBytes),
                      "' is no folder here; download it and name its folder in base_model_name_or_path");
  }
  return config;
}

absl::Status FillAdapter(const std::string& folder, Model& model) {
  HONE_CHECK(model.adapter() != nullptr);
  HONE_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(folder + kWeightsFile));
  std::set<std::string> wanted;
  for (Parameter& parameter : model.adapter()->parameters) {
    HONE_ASSIGN_OR_RETURN(const std::vector<float> plain, file.Read(parameter.name, parameter.shape));
    AssignPlainWeights(parameter, plain.data(), parameter.value);
    wanted.insert(parameter.name);
  }
  for (const std::string& name : file.names()) {
    if (wanted.count(name) == 0)
      return InputError(file.Where(name), " has no place: adapter_config.json adapts ",
                        absl::StrJoin(model.adapter()->options.targets, ", "), " of this model");
  }
  return absl::OkStatus();
}

absl::Status SaveAdapter(const Adapter& adapter, const std::string& folder) {
  std::vector<TensorToWrite> tensors;
  for (const Parameter& parameter : adapter.parameters) {
    tensors.push_back(
        {parameter.name, parameter.shape, [&parameter] { return PlainWeights(parameter, parameter.value); }});
  }
  const std::string config = ConfigJson(adapter).dump(2, ' ', false, Json::error_handler_t::replace);
  HONE_RETURN_IF_ERROR(WriteFile(folder + kConfigFile, config + "\n"));
  return WriteSafetensors(folder + kWeightsFile, tensors, StorageType::kFloat32);
}

}  // namespace hone
