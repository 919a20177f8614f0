#include "engine/model_config.h"

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/config_reader.h"
#include "engine/model/model.h"

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

// Largest sizes: some times those of any model there is, small enough that products of three fit 63 bits.
constexpr int32_t kMaxVocabulary = 1 << 24, kMaxHidden = 1 << 18, kMaxIntermediate = 1 << 20, kMaxLayers = 1 << 12;
constexpr int32_t kMaxHeads = 1 << 12, kMaxHeadDim = 256, kMaxPositions = 1 << 30;

// Keys without influence on the forward pass.
constexpr const char* kHarmless[] = {
    // where the file comes from, and how Python loads and stores the model
    "_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "transformers.js_config", "torch_dtype",
    "dtype", "torchscript", "tokenizer_class", "_attn_implementation", "attn_implementation",
    "_attn_implementation_autoset", "_flash_attn_2_enabled", "use_flash_attention_2", "unsloth_version",
    "unsloth_fixed", "is_llama_config", "model_max_length", "max_sequence_length", "task_specific_params",
    // what a call returns
    "use_cache", "return_dict", "output_attentions", "output_hidden_states", "problem_type", "id2label", "label2id",
    // training in Python; here training is the generator's pass, without dropout
    "attention_dropout", "hidden_dropout", "gradient_checkpointing",
    // the same products cut differently
    "pretraining_tp", "chunk_size_feed_forward",
    // tokens and sampling that the caller decides about
    "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "max_length", "min_length",
    "do_sample", "num_beams", "temperature", "top_k", "top_p", "repetition_penalty"};

constexpr char kScoreSuffix[] = "ForSequenceClassification";

void ReadLlama3(ConfigReader& reader, const std::string& in, RopeConfig& rope) {
  rope.type = RopeType::kLlama3;
  rope.factor = reader.Positive(in + "factor", std::nullopt);
  rope.low_frequency_factor = reader.Positive(in + "low_freq_factor", std::nullopt);
  rope.high_frequency_factor = reader.Positive(in + "high_freq_factor", std::nullopt);
  if (rope.high_frequency_factor <= rope.low_frequency_factor) {
    reader.Fail(in + "high_freq_factor", "more than low_freq_factor");
  }
}

// Scores grow with the logarithm of the stretch unless the file gives the factor or the two weights of their quotient.
double YarnAttentionFactor(ConfigReader& reader, const std::string& in, double factor) {
  const auto growth = [factor](double weight) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1; };
  const double over = reader.NonNegative(in + "mscale", 0), under = reader.NonNegative(in + "mscale_all_dim", 0);
  const double inferred = over > 0 && under > 0 ? growth(over) / growth(under) : growth(1);
  return reader.NonNegative(in + "attention_factor", inferred);
}

void ReadYarn(ConfigReader& reader, const std::string& in, int32_t positions, RopeConfig& rope) {
  rope.type = RopeType::kYarn;
  std::optional<double> stretch;
  if (reader.Has(in + "original_max_position_embeddings")) stretch = positions / rope.original_positions;
  rope.factor = reader.Positive(in + "factor", stretch);
  rope.attention_factor = YarnAttentionFactor(reader, in, rope.factor);
  if (const double turns = reader.NonNegative(in + "beta_fast", 0); turns > 0) rope.beta_fast = turns;
  if (const double turns = reader.NonNegative(in + "beta_slow", 0); turns > 0) rope.beta_slow = turns;
  rope.truncate = reader.Bool(in + "truncate", true);
  if (rope.theta <= 1) reader.Fail(in + "rope_theta", "more than 1 for yarn");
}

// transformers 5 writes rope_parameters with the base in it; before, rope_scaling and rope_theta stood side by side.
RopeConfig ReadRope(ConfigReader& reader, int32_t positions) {
  const std::string in = reader.Has("rope_scaling") ? "rope_scaling/" : "rope_parameters/";
  RopeConfig rope;
  rope.theta = reader.Positive(in + "rope_theta", reader.Positive("rope_theta", 10000));
  const std::string older = reader.Text(in + "type", "default"), type = reader.Text(in + "rope_type", older);
  reader.Require("partial_rotary_factor", "1.0");
  reader.Require(in + "partial_rotary_factor", "1.0");
  if (type == "llama3" || type == "yarn") {
    rope.original_positions = reader.Positive(in + "original_max_position_embeddings", positions);
  }
  if (type == "linear") {
    rope.type = RopeType::kLinear;
    rope.factor = reader.Positive(in + "factor", std::nullopt);
  } else if (type == "llama3") {
    ReadLlama3(reader, in, rope);
  } else if (type == "yarn") {
    ReadYarn(reader, in, positions, rope);
  } else if (type != "default") {
    const bool by_length = type == "dynamic" || type == "longrope";
    reader.Fail(
        reader.Has(in + "rope_type") ? in + "rope_type" : in + "type",
        absl::StrCat("default, linear, llama3 or yarn",
                     by_length ? "; angles that change with a text's length would make cached keys stale" : ""));
  }
  return rope;
}

void ReadSizes(ConfigReader& reader, const ConfigDefaults& defaults, ModelConfig& config) {
  config.vocab_size = reader.Int("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = reader.Int("hidden_size", 1, kMaxHidden);
  config.intermediate_size = reader.Int("intermediate_size", 1, kMaxIntermediate);
  config.layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.heads = reader.Int("num_attention_heads", 1, kMaxHeads);
  const int32_t kv_heads = defaults.kv_heads > 0 ? defaults.kv_heads : config.heads;
  config.kv_heads = reader.Int("num_key_value_heads", 1, kMaxHeads, {.missing = kv_heads, .null = config.heads});
  if (config.heads % config.kv_heads != 0) {
    reader.Fail("num_key_value_heads", absl::StrCat("a divisor of num_attention_heads, ", config.heads));
  }
  const int32_t split = config.hidden_size / config.heads;
  config.head_dim = reader.Int("head_dim", 1, kMaxHeadDim,
                               {.missing = defaults.head_dim > 0 ? defaults.head_dim : split, .null = split});
  if (config.head_dim < 2 || config.head_dim % 2 != 0 || config.head_dim > kMaxHeadDim) {
    reader.Fail("head_dim", absl::StrCat("an even number up to ", kMaxHeadDim,
                                         "; if missing, it is hidden_size / "
                                         "num_attention_heads, here ",
                                         split));
  }
  config.max_position_embeddings =
      reader.Int("max_position_embeddings", 1, kMaxPositions, {.missing = defaults.positions});
}

// transformers' class of this head on the body of a family's XForCausalLM.
std::string ArchitectureOf(absl::string_view architecture, ModelHead head) {
  if (head == ModelHead::kVocabulary) return std::string(architecture);
  return absl::StrCat(absl::StripSuffix(architecture, "ForCausalLM"), kScoreSuffix);
}

// The heads of other tasks compute something else from the same body.
void CheckArchitecture(ConfigReader& reader, absl::string_view wanted) {
  for (const std::string& name : reader.Texts("architectures")) {
    if (!absl::EqualsIgnoreCase(name, wanted)) reader.Fail("architectures", absl::StrCat("[\"", wanted, "\"]"));
  }
}

// The number of labels is that of id2label, else num_labels; where both are missing the weights tell.
void ReadScoreHead(ConfigReader& reader, ModelConfig& config) {
  reader.CheckSize("id2label", 1);
  if (reader.Int("num_labels", 1, INT32_MAX, {.missing = 1}) != 1 && !reader.Has("id2label")) {
    reader.Fail("num_labels", "1: a reward model gives one number");
  }
  config.pad_token = reader.Int("pad_token_id", INT32_MIN, INT32_MAX, {.missing = -1});
  config.tie_word_embeddings = true;
}

// generation_config.json goes first: an instruction-tuned model often ends its answers with more tokens than it was trained with.
absl::Status ReadGenerationConfig(const std::string& folder, ModelConfig& config) {
  const std::string path = folder + "/generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return absl::OkStatus();
  HONE_ASSIGN_OR_RETURN(config.generation_text, ReadFile(path));
  HONE_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Parse(path, config.generation_text));
  const std::vector<TokenId> end_tokens = reader.Tokens("eos_token_id", {});
  if (!end_tokens.empty()) config.end_tokens = end_tokens;
  return reader.status();
}

absl::Status CheckTokens(const std::string& path, const ModelConfig& config) {
  for (const TokenId token : config.end_tokens) {
    if (token >= config.vocab_size) {
      return InputError(path, ": eos_token_id ", token, " is outside the vocabulary of ", config.vocab_size);
    }
  }
  return absl::OkStatus();
}

void AddTokens(const ModelConfig& config, Json& json) {
  if (config.begin_token >= 0) json["bos_token_id"] = config.begin_token;
  if (config.end_tokens.size() == 1) json["eos_token_id"] = config.end_tokens[0];
  if (config.end_tokens.size() > 1) json["eos_token_id"] = config.end_tokens;
}

}  // namespace

int64_t ModelConfig::estimated_parameters() const {
  const int64_t hidden = hidden_size, query = int64_t{heads} * head_dim, kv = int64_t{kv_heads} * head_dim;
  const int64_t layer = 2 * hidden + 2 * hidden * query + 2 * hidden * kv + 3 * hidden * intermediate_size;
  return layers * layer + hidden + (tie_word_embeddings ? 1 : 2) * int64_t{vocab_size} * hidden;
}

absl::StatusOr<ModelHead> ReadModelHead(const std::string& folder) {
  const std::string path = folder + "/config.json";
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  HONE_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Parse(path, text));
  const std::vector<std::string> names = reader.Texts("architectures");
  HONE_RETURN_IF_ERROR(reader.status());
  const bool scores = !names.empty() && absl::EndsWith(names[0], kScoreSuffix);
  return scores ? ModelHead::kScore : ModelHead::kVocabulary;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder, ModelHead head) {
  const std::string path = folder + "/config.json";
  ModelConfig config;
  HONE_ASSIGN_OR_RETURN(config.config_text, ReadFile(path));
  HONE_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Parse(path, config.config_text));
  config.family = reader.Text("model_type", "");
  HONE_RETURN_IF_ERROR(reader.status());
  const ModelFamily* family = FindModelFamily(config.family);
  if (family == nullptr) return InputError(path, ": ", NoModelFamily(config.family));
  config.head = head;
  CheckArchitecture(reader, ArchitectureOf(family->architecture, head));
  ReadSizes(reader, family->defaults, config);
  config.rope = ReadRope(reader, config.max_position_embeddings);
  config.rms_norm_eps = reader.Positive("rms_norm_eps", 1e-6);
  config.tie_word_embeddings = reader.Bool("tie_word_embeddings", false);
  if (head == ModelHead::kScore) ReadScoreHead(reader, config);
  config.initializer_std = reader.NonNegative("initializer_range", 0.02);
  const std::vector<TokenId> begin = reader.Tokens("bos_token_id", family->defaults.begin_tokens);
  config.begin_token = begin.empty() ? -1 : begin[0];
  config.end_tokens = reader.Tokens("eos_token_id", family->defaults.end_tokens);
  reader.Require("hidden_act", "\"silu\"");
  for (const char* key : kHarmless) reader.Ignore(key);
  family->read(reader, config);
  HONE_RETURN_IF_ERROR(reader.Finish());
  HONE_RETURN_IF_ERROR(ReadGenerationConfig(folder, config));
  HONE_RETURN_IF_ERROR(CheckTokens(folder, config));
  return config;
}

int32_t ReadVocabularySize(const std::string& folder) {
  const std::string path = folder + "/config.json";
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return -1;
  absl::StatusOr<ConfigReader> reader = ConfigReader::Parse(path, *text);
  if (!reader.ok()) return -1;
  const int32_t size = reader->Int("vocab_size", 1, kMaxVocabulary, {.missing = -1});
  return reader->status().ok() ? size : -1;
}

std::string ModelConfigText(const ModelConfig& config, StorageType type) {
  const char* dtype = type == StorageType::kFloat32 ? "float32" : "bfloat16";
  if (!config.config_text.empty()) {
    Json json = Json::parse(config.config_text);
    json[json.contains("dtype") ? "dtype" : "torch_dtype"] = dtype;
    return json.dump(2) + "\n";
  }
  // What a recipe can ask for; transformers' defaults for absent keys differ by family, so every key is written.
  HONE_CHECK(config.rope.type == RopeType::kDefault && config.windows.empty());
  Json json = {{"architectures", {FindModelFamily(config.family)->architecture}},
               {"model_type", config.family},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.layers},
               {"num_attention_heads", config.heads},
               {"num_key_value_heads", config.kv_heads},
               {"head_dim", config.head_dim},
               {"max_position_embeddings", config.max_position_embeddings},
               {"rope_theta", config.rope.theta},
               {"sliding_window", nullptr},
               {"rms_norm_eps", config.rms_norm_eps},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"initializer_range", config.initializer_std},
               {"hidden_act", "silu"},
               {"attention_bias", config.attention_bias},
               {"mlp_bias", config.mlp_bias}};
  AddTokens(config, json);
  json["torch_dtype"] = dtype;
  return json.dump(2) + "\n";
}

std::string GenerationConfigText(const ModelConfig& config) {
  if (!config.generation_text.empty()) return config.generation_text;
  Json json;
  AddTokens(config, json);
  json["do_sample"] = true;
  return json.dump(2) + "\n";
}

}  // namespace hone
