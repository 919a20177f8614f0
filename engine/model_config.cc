#include "engine/model_config.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/file.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

// Reads typed values from config.json; the first wrong one is remembered.
class ConfigReader {
 public:
  ConfigReader(std::string path, Json json) : path_(std::move(path)), json_(std::move(json)) {}

  int32_t Int(const char* key, std::optional<int32_t> fallback) {
    constexpr int64_t kMax = 1 << 30;
    const Json* value = Find(key);
    if (value == nullptr && fallback) return *fallback;
    const bool fits =
        value != nullptr && value->is_number_integer() && value->get<int64_t>() >= 0 && value->get<int64_t>() <= kMax;
    if (!fits) Fail(key, "a whole number from 0 to 1073741824");
    return fits ? value->get<int32_t>() : 0;
  }

  double Number(const char* key, double fallback) {
    const Json* value = Find(key);
    if (value != nullptr && !(value->is_number() && value->get<double>() > 0)) Fail(key, "a positive number");
    return value != nullptr && value->is_number() ? value->get<double>() : fallback;
  }

  bool Bool(const char* key, bool fallback) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_boolean()) Fail(key, "true or false");
    return value != nullptr && value->is_boolean() ? value->get<bool>() : fallback;
  }

  std::string Text(const char* key, const std::string& fallback) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_string()) Fail(key, "a text");
    return value != nullptr && value->is_string() ? value->get<std::string>() : fallback;
  }

  // The first entry where a list is given: generation then stops at that token.
  int32_t Token(const char* key, int32_t fallback) {
    const Json* value = Find(key);
    if (value != nullptr && value->is_array() && !value->empty()) value = &value->front();
    if (value == nullptr) return fallback;
    if (!value->is_number_unsigned()) Fail(key, "a token id");
    return value->is_number_unsigned() ? value->get<int32_t>() : fallback;
  }

  // Only `supported` keeps the arithmetic that this program has.
  void Require(const char* key, const Json& supported) {
    const Json* value = Find(key);
    if (value != nullptr && *value != supported) Fail(key, supported.dump() + ", nothing else is supported");
  }

  // transformers 5 keeps rope_theta inside rope_parameters.
  double RopeTheta() {
    const Json* parameters = Find("rope_parameters");
    if (parameters == nullptr) return Number("rope_theta", 10000);
    const bool plain = parameters->is_object() && parameters->value("rope_type", "default") == "default";
    if (!plain) Fail("rope_parameters", "rope_type \"default\", nothing else is supported");
    const bool given = plain && parameters->contains("rope_theta") && (*parameters)["rope_theta"].is_number();
    return given ? (*parameters)["rope_theta"].get<double>() : Number("rope_theta", 10000);
  }

  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  void Fail(const char* key, const std::string& wanted) {
    if (!status_.ok()) return;
    const Json* value = Find(key);
    status_ = InputError(path_, ": '", key, "' is ", value == nullptr ? "missing" : value->dump().substr(0, 80),
                         ", wanted ", wanted);
  }

  std::string path_;
  Json json_;
  absl::Status status_;
};

absl::Status CheckSizes(const std::string& path, const ModelConfig& config) {
  const std::pair<const char*, int32_t> sizes[] = {
      {"vocab_size", config.vocab_size},     {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.layers},  {"intermediate_size", config.intermediate_size},
      {"num_attention_heads", config.heads}, {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_dim},         {"max_position_embeddings", config.max_position_embeddings}};
  for (const auto& [name, value] : sizes) {
    if (value < 1) return InputError(path, ": '", name, "' is ", value, ", wanted at least 1");
  }
  if (config.heads % config.kv_heads != 0) {
    return InputError(path, ": num_key_value_heads ", config.kv_heads, " does not divide num_attention_heads ",
                      config.heads);
  }
  if (config.head_dim % 2 != 0 || config.head_dim > 256) {
    return InputError(path, ": head_dim is ", config.head_dim, ", wanted an even number up to 256");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder) {
  const std::string path = folder + "/config.json";
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object())
    return InputError(path, ": not a JSON object; copy the model folder again");
  ConfigReader reader(path, std::move(json));
  ModelConfig config;
  config.family = reader.Text("model_type", "");
  if (config.family != "llama") return InputError(path, ": no model family '", config.family, "'; have: llama");
  config.vocab_size = reader.Int("vocab_size", std::nullopt);
  config.hidden_size = reader.Int("hidden_size", std::nullopt);
  config.intermediate_size = reader.Int("intermediate_size", std::nullopt);
  config.layers = reader.Int("num_hidden_layers", std::nullopt);
  config.heads = reader.Int("num_attention_heads", std::nullopt);
  config.kv_heads = reader.Int("num_key_value_heads", config.heads);
  config.head_dim = reader.Int("head_dim", config.heads > 0 ? config.hidden_size / config.heads : 0);
  config.max_position_embeddings = reader.Int("max_position_embeddings", 2048);
  config.rope_theta = reader.RopeTheta();
  config.rms_norm_eps = reader.Number("rms_norm_eps", 1e-6);
  config.tie_word_embeddings = reader.Bool("tie_word_embeddings", false);
  config.initializer_std = reader.Number("initializer_range", 0.02);
  config.begin_token = reader.Token("bos_token_id", 1);
  config.end_token = reader.Token("eos_token_id", 2);
  reader.Require("hidden_act", "silu");
  reader.Require("attention_bias", false);
  reader.Require("mlp_bias", false);
  reader.Require("rope_scaling", nullptr);
  HONE_RETURN_IF_ERROR(reader.status());
  HONE_RETURN_IF_ERROR(CheckSizes(path, config));
  return config;
}

std::string ModelConfigText(const ModelConfig& config, StorageType type) {
  const Json json = {{"architectures", {"LlamaForCausalLM"}},
                     {"model_type", "llama"},
                     {"vocab_size", config.vocab_size},
                     {"hidden_size", config.hidden_size},
                     {"intermediate_size", config.intermediate_size},
                     {"num_hidden_layers", config.layers},
                     {"num_attention_heads", config.heads},
                     {"num_key_value_heads", config.kv_heads},
                     {"head_dim", config.head_dim},
                     {"max_position_embeddings", config.max_position_embeddings},
                     {"rope_theta", config.rope_theta},
                     {"rms_norm_eps", config.rms_norm_eps},
                     {"tie_word_embeddings", config.tie_word_embeddings},
                     {"initializer_range", config.initializer_std},
                     {"hidden_act", "silu"},
                     {"attention_bias", false},
                     {"mlp_bias", false},
                     {"bos_token_id", config.begin_token},
                     {"eos_token_id", config.end_token},
                     {"torch_dtype", type == StorageType::kFloat32 ? "float32" : "bfloat16"}};
  return json.dump(2) + "\n";
}

std::string GenerationConfigText(const ModelConfig& config) {
  const Json json = {{"bos_token_id", config.begin_token}, {"eos_token_id", config.end_token}, {"do_sample", true}};
  return json.dump(2) + "\n";
}

}  // namespace hone
