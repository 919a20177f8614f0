#include "recipes/resolve.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "recipes/fields.h"

namespace hone {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

enum class Need { kOptional, kRequired };

// A numeric field and its range.
struct Rule {
  const char* field;
  Need need;
  double low, high;
};

constexpr double kAboveZero = std::numeric_limits<double>::denorm_min();
constexpr double kMaxInt = std::numeric_limits<int32_t>::max();
// Bounds of sizes are far beyond what runs; they keep products of sizes within 64 bits and typing errors short.
constexpr int64_t kMaxSamplesPerStep = 1 << 20;
constexpr int kMaxStages = 100;
constexpr int kMaxHeadDim = 256;     // kernels/attention.h
constexpr int kMinPromptTokens = 2;  // the begin token and one of the text
constexpr int kMaxDefaultNewTokens = 256;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kShownBytes = 40;

constexpr Rule kRecipeRules[] = {{"threads", Need::kOptional, 0, 1024}, {"max_no_verdict", Need::kOptional, 0, 1}};

constexpr Rule kNewModelRules[] = {{"hidden_size", Need::kRequired, 1, 1 << 16},
                                   {"intermediate_size", Need::kRequired, 1, 1 << 20},
                                   {"layers", Need::kRequired, 1, 1024},
                                   {"heads", Need::kRequired, 1, 1 << 12},
                                   {"kv_heads", Need::kOptional, 1, 1 << 12},
                                   {"max_position_embeddings", Need::kOptional, kMinPromptTokens + 1, 1 << 22},
                                   {"rope_theta", Need::kOptional, 1, 1e12},
                                   {"initializer_std", Need::kOptional, kAboveZero, 10}};

// A peak of 1 moves every weight by its own size in a few steps of AdamW: beyond it lies only a forgotten exponent.
constexpr Rule kStepRules[] = {{"steps", Need::kRequired, 1, 1e9}};
constexpr Rule kStageRules[] = {{"learning_rate", Need::kRequired, kAboveZero, 1},
                                {"max_grad_norm", Need::kOptional, 0, 1e9},
                                {"microbatch_tokens", Need::kOptional, 1, 1 << 24},
                                {"checkpoint_every", Need::kOptional, 0, kMaxInt},
                                {"evaluate_every", Need::kOptional, 0, kMaxInt}};

constexpr Rule kPreferenceRules[] = {{"batch_size", Need::kRequired, 1, kMaxSamplesPerStep},
                                     {"epochs", Need::kOptional, 1, 1000}};
constexpr Rule kSftRules[] = {{"batch_size", Need::kRequired, 1, kMaxSamplesPerStep}};

constexpr Rule kRlRules[] = {
    {"prompts_per_step", Need::kRequired, 1, kMaxSamplesPerStep},
    {"samples_per_prompt", Need::kRequired, 1, kMaxSamplesPerStep},
    {"max_new_tokens", Need::kRequired, 1, 1 << 22},
    // Colder than this a float's softmax has one winner: nothing is explored, and no group has variance.
    {"temperature", Need::kOptional, 0.01, 100},
    {"minibatches", Need::kOptional, 1, kMaxSamplesPerStep},
    {"epochs", Need::kOptional, 1, 1000},
    {"entropy_coef", Need::kOptional, 0, 100},
    {"max_staleness", Need::kOptional, 0, 1000},
    {"samples_every", Need::kOptional, 0, kMaxInt}};

constexpr Rule kEvaluationRules[] = {{"prompts", Need::kOptional, 0, kMaxSamplesPerStep},
                                     {"samples", Need::kOptional, 1, 1 << 14},
                                     {"temperature", Need::kOptional, 0, 100},
                                     {"max_new_tokens", Need::kOptional, 1, 1 << 22}};

std::string NumberText(double value) {
  char buffer[400];  // a whole number in full, 1000000000 rather than 1e+09
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  const auto end = whole ? std::to_chars(buffer, buffer + sizeof(buffer), static_cast<int64_t>(value))
                         : std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

class Resolver {
 public:
  Resolver(const RecipeLocations& locations, proto::Recipe& recipe) : locations_(locations), recipe_(recipe) {}

  absl::Status Resolve() {
    HONE_RETURN_IF_ERROR(CheckRules(recipe_, "", kRecipeRules));
    HONE_RETURN_IF_ERROR(ResolveName());
    recipe_.set_seed(recipe_.seed());
    recipe_.set_threads(recipe_.threads());
    recipe_.set_max_no_verdict(recipe_.max_no_verdict());
    if (!recipe_.has_model()) return Error("model", "no 'model' in recipe; write model { ... } with a path or sizes");
    if (!recipe_.has_task())
      return Error("task", "no 'task' in recipe, such as task: \"countdown\"; hone list task shows all");
    HONE_RETURN_IF_ERROR(recipe_.model().has_path() ? ResolveModelPath() : ResolveNewModel());
    HONE_RETURN_IF_ERROR(ResolveStages());
    return ResolveEvaluation();
  }

 private:
  template <typename... Parts>
  absl::Status Error(const std::string& path, const Parts&... parts) const {
    return InputError(locations_.Find(path), ": ", parts...);
  }

  template <size_t count>
  absl::Status CheckRules(const Message& message, const std::string& parent, const Rule (&rules)[count]) const {
    const auto* reflection = message.GetReflection();
    for (const Rule& rule : rules) {
      const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(rule.field);
      const std::string path = parent.empty() ? rule.field : absl::StrCat(parent, ".", rule.field);
      if (!reflection->HasField(message, field)) {
        if (rule.need == Need::kOptional) continue;  // the schema's defaults are in range
        return Error(path, "no '", rule.field, "' in ", MessageName(*message.GetDescriptor()), RequiredRemedy(*field));
      }
      const bool is_int = field->cpp_type() == FieldDescriptor::CPPTYPE_INT32;
      const double value = is_int ? reflection->GetInt32(message, field) : reflection->GetDouble(message, field);
      if (value >= rule.low && value <= rule.high) continue;  // NaN is not
      const char* noun = is_int ? "a whole number" : "a number";
      const std::string range = rule.low == kAboveZero
                                    ? absl::StrCat(" above 0, at most ", NumberText(rule.high))
                                    : absl::StrCat(" in ", NumberText(rule.low), " .. ", NumberText(rule.high));
      return Error(path, "'", rule.field, "' is ", NumberText(value), ", wanted ", noun, range);
    }
    return absl::OkStatus();
  }

  std::string RequiredRemedy(const FieldDescriptor& field) const {
    if (field.containing_type() == proto::Model::descriptor())
      return "; a new model needs all its sizes, an existing one its 'path'";
    return "; it is required";
  }

  // Refuses fields of `message` among `names`, for the reason given.
  absl::Status Refuse(const Message& message, const std::string& parent, const std::vector<std::string>& names,
                      absl::string_view reason) const {
    for (const std::string& name : names) {
      const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
      const auto* reflection = message.GetReflection();
      if (field->is_repeated() ? reflection->FieldSize(message, field) == 0 : !reflection->HasField(message, field))
        continue;
      return Error(absl::StrCat(parent, ".", name, field->is_repeated() ? "[0]" : ""), "'", name, "' ", reason);
    }
    return absl::OkStatus();
  }

  // Names become folders and labels of metrics.
  absl::Status CheckName(const std::string& path, const std::string& name) const {
    const auto is_fine = [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.'; };
    if (!name.empty() && name[0] != '.' && name.size() <= kMaxNameBytes &&
        std::all_of(name.begin(), name.end(), is_fine)) {
      return absl::OkStatus();
    }
    return Error(path, "'name' is '", Visible(name, kShownBytes),
                 "', wanted 1 .. 64 letters, digits and _ - . without a dot in front");
  }

  absl::Status ResolveName() {
    if (!recipe_.has_name()) {
      std::string name = std::filesystem::path(locations_.file()).stem().string().substr(0, kMaxNameBytes);
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !absl::ascii_isalnum(c) && c != '_' && c != '-'; }, '_');
      recipe_.set_name(name.empty() ? "run" : name);
    }
    return CheckName("name", recipe_.name());
  }

  absl::Status ResolveModelPath() {
    if (recipe_.model().path().empty()) return Error("model.path", "'path' is empty, wanted the folder of a model");
    return Refuse(recipe_.model(), "model",
                  {"family", "tokenizer", "hidden_size", "intermediate_size", "layers", "heads", "kv_heads",
                   "max_position_embeddings", "rope_theta", "tie_word_embeddings", "initializer_std"},
                  "does not go with 'path': the folder's config.json and tokenizer say it; leave out one of the two");
  }

  absl::Status ResolveNewModel() {
    proto::Model& model = *recipe_.mutable_model();
    HONE_RETURN_IF_ERROR(Refuse(model, "model", {"lora"},
                                "freezes a model that has learnt already, and a new one has not; give its 'path'"));
    HONE_RETURN_IF_ERROR(CheckRules(model, "model", kNewModelRules));
    if (!model.has_tokenizer()) {
      return Error("model.tokenizer", "no 'tokenizer' in model, such as tokenizer: \"sentencepiece(model_type=char)\"");
    }
    if (!model.has_kv_heads()) model.set_kv_heads(model.heads());
    if (!model.has_initializer_std()) model.set_initializer_std(1 / std::sqrt(model.hidden_size()));
    model.set_family(model.family());
    model.set_max_position_embeddings(model.max_position_embeddings());
    model.set_rope_theta(model.rope_theta());
    model.set_tie_word_embeddings(model.tie_word_embeddings());

    const int hidden = model.hidden_size(), heads = model.heads();
    const auto fits = [&](int count) {
      return hidden % count == 0 && hidden / count % 2 == 0 && hidden / count <= kMaxHeadDim;
    };
    if (!fits(heads)) {
      const std::string why = hidden % heads != 0 ? "does not divide"
                              : hidden / heads % 2 != 0
                                  ? "leaves an odd number of dimensions, which rotary positions cannot pair, of"
                                  : "leaves heads of more than 256 dimensions, of";
      return Error("model.heads", "'heads' is ", heads, ", which ", why, " 'hidden_size' ", hidden,
                   Nearest(heads, hidden, fits));
    }
    if (heads % model.kv_heads() != 0) {
      return Error("model.kv_heads", "'kv_heads' is ", model.kv_heads(), ", which does not divide 'heads' ", heads,
                   Nearest(model.kv_heads(), heads, [&](int count) { return heads % count == 0; }));
    }
    return absl::OkStatus();
  }

  // "; 4 or 6 would do": the nearest counts on both sides that fit.
  template <typename Fits>
  static std::string Nearest(int wanted, int limit, const Fits& fits) {
    std::vector<std::string> found;
    for (int count = std::min(wanted - 1, limit); count >= 1 && found.empty(); --count) {
      if (fits(count)) found.push_back(absl::StrCat(count));
    }
    const size_t below = found.size();
    for (int count = wanted + 1; count <= limit && found.size() == below; ++count) {
      if (fits(count)) found.push_back(absl::StrCat(count));
    }
    return found.empty() ? "" : absl::StrCat("; ", absl::StrJoin(found, " or "), " would do");
  }

  absl::Status ResolveStages() {
    if (recipe_.stage_size() == 0) return Error("stage", "no 'stage' in recipe; write stage { kind: RL ... }");
    if (recipe_.stage_size() > kMaxStages)
      return Error("stage[100]", recipe_.stage_size(), " stages; ", kMaxStages, " are the most");
    std::set<std::string> names;
    for (int i = 0; i < recipe_.stage_size(); ++i) {
      const std::string path = absl::StrCat("stage[", i, "]");
      proto::Stage& stage = *recipe_.mutable_stage(i);
      if (stage.kind() == proto::Stage::KIND_UNSPECIFIED)
        return Error(path + ".kind", "no 'kind' in stage; write kind: SFT, RL or PREFERENCE");
      stage.set_name(StageName(stage));
      HONE_RETURN_IF_ERROR(CheckName(path + ".name", stage.name()));
      if (!names.insert(stage.name()).second) {
        return Error(path + ".name", "two stages are named '", stage.name(), "'; give each its own name: \"...\"");
      }
      if (stage.kind() != proto::Stage::PREFERENCE || !stage.has_epochs())
        HONE_RETURN_IF_ERROR(CheckRules(stage, path, kStepRules));
      HONE_RETURN_IF_ERROR(CheckRules(stage, path, kStageRules));
      HONE_RETURN_IF_ERROR(stage.kind() == proto::Stage::SFT          ? ResolveSft(path, stage)
                           : stage.kind() == proto::Stage::PREFERENCE ? ResolvePreference(path, stage)
                                                                      : ResolveRl(path, stage));
      HONE_RETURN_IF_ERROR(ResolveParameters(path, stage));
      stage.set_activation_checkpointing(stage.activation_checkpointing());
      stage.set_optimizer(stage.optimizer());
      stage.set_schedule(stage.schedule());
      stage.set_max_grad_norm(stage.max_grad_norm());
      stage.set_microbatch_tokens(stage.microbatch_tokens());
      stage.set_noise_scale(stage.noise_scale());
      stage.set_checkpoint_every(stage.checkpoint_every());
      stage.set_evaluate_every(stage.evaluate_every());
    }
    return absl::OkStatus();
  }

  absl::Status ResolveParameters(const std::string& path, proto::Stage& stage) const {
    stage.set_parameters(stage.parameters());
    const std::vector<std::string> types = {"float32", "bfloat16"};
    if (std::find(types.begin(), types.end(), stage.parameters()) != types.end()) return absl::OkStatus();
    return Error(path + ".parameters", "'parameters' is '", Visible(stage.parameters(), kShownBytes),
                 "', wanted float32 or bfloat16", DidYouMean(stage.parameters(), types));
  }

  absl::Status ResolveSft(const std::string& path, proto::Stage& stage) const {
    HONE_RETURN_IF_ERROR(Refuse(stage, path, {"prompts_per_step", "samples_per_prompt",
                                              "max_new_tokens",   "temperature",
                                              "advantage",        "minibatches",
                                              "epochs",           "kl",
                                              "reference",        "entropy_coef",
                                              "samples_every",    "value_model",
                                              "policy_ewma",      "pairs",
                                              "keep_above",       "curriculum",
                                              "shaper",           "gate",
                                              "max_staleness",    "composer"},
                                "is for stages of kind RL; this one is SFT"));
    HONE_RETURN_IF_ERROR(Refuse(stage, path, {"data"}, "is for stages of kind PREFERENCE; this one is SFT"));
    HONE_RETURN_IF_ERROR(CheckRules(stage, path, kSftRules));
    if (!stage.has_loss()) stage.set_loss("sft");
    return absl::OkStatus();
  }

  absl::Status ResolvePreference(const std::string& path, proto::Stage& stage) const {
    HONE_RETURN_IF_ERROR(Refuse(stage, path,
                                {"prompts_per_step", "samples_per_prompt", "max_new_tokens", "temperature", "advantage",
                                 "minibatches", "kl", "entropy_coef", "samples_every", "value_model", "policy_ewma",
                                 "pairs", "keep_above", "curriculum", "shaper", "gate", "max_staleness", "composer"},
                                "is for stages of kind RL; this one is PREFERENCE"));
    HONE_RETURN_IF_ERROR(CheckRules(stage, path, kPreferenceRules));
    if (stage.has_epochs())
      HONE_RETURN_IF_ERROR(
          Refuse(stage, path, {"steps"}, "says how long, and so does 'epochs'; leave one of them out"));
    if (stage.data().empty())
      return Error(path + ".data", "no 'data' in stage; a PREFERENCE stage wants a file of lines ",
                   R"({"prompt": "...", "chosen": "...", "rejected": "..."})");
    if (!stage.has_loss()) stage.set_loss("dpo");
    return absl::OkStatus();
  }

  absl::Status ResolveRl(const std::string& path, proto::Stage& stage) const {
    HONE_RETURN_IF_ERROR(Refuse(stage, path, {"data"}, "is for stages of kind PREFERENCE; this one is RL"));
    HONE_RETURN_IF_ERROR(
        Refuse(stage, path, {"batch_size"},
               "is for stages of kind SFT; this one is RL and takes prompts_per_step and samples_per_prompt"));
    HONE_RETURN_IF_ERROR(CheckRules(stage, path, kRlRules));
    if (!stage.has_loss()) stage.set_loss("ppo_clip");
    stage.set_temperature(stage.temperature());
    stage.set_advantage(stage.advantage());
    stage.set_minibatches(stage.minibatches());
    stage.set_epochs(stage.epochs());
    stage.set_kl(stage.kl());
    stage.set_entropy_coef(stage.entropy_coef());
    stage.set_samples_every(stage.samples_every());
    stage.set_curriculum(stage.curriculum());
    stage.set_gate(stage.gate());
    stage.set_max_staleness(stage.max_staleness());
    stage.set_composer(stage.composer());
    stage.set_value_model(stage.value_model());
    stage.set_policy_ewma(stage.policy_ewma());

    const int prompts = stage.prompts_per_step(), samples = stage.samples_per_prompt();
    if (int64_t{prompts} * samples > kMaxSamplesPerStep) {
      return Error(path + ".samples_per_prompt", "prompts_per_step ", prompts, " x samples_per_prompt ", samples,
                   " is more than ", kMaxSamplesPerStep, " samples a step");
    }
    if (prompts % stage.minibatches() != 0) {
      return Error(path + ".minibatches", "'minibatches' is ", stage.minibatches(),
                   ", which does not divide 'prompts_per_step' ", prompts,
                   Nearest(stage.minibatches(), prompts, [&](int count) { return prompts % count == 0; }));
    }
    return CheckLength(path + ".max_new_tokens", stage.max_new_tokens());
  }

  // A prompt and its answer share the positions of the model, which are known here for a new one.
  absl::Status CheckLength(const std::string& path, int max_new_tokens) const {
    if (recipe_.model().has_path()) return absl::OkStatus();
    const int positions = recipe_.model().max_position_embeddings();
    if (max_new_tokens <= positions - kMinPromptTokens) return absl::OkStatus();
    return Error(path, "'max_new_tokens' is ", max_new_tokens,
                 ", which with a prompt does not fit into model.max_position_embeddings ", positions);
  }

  absl::Status ResolveEvaluation() {
    proto::Evaluation& evaluation = *recipe_.mutable_evaluation();
    HONE_RETURN_IF_ERROR(CheckRules(evaluation, "evaluation", kEvaluationRules));
    evaluation.set_samples(evaluation.samples());
    evaluation.set_temperature(evaluation.temperature());
    if (evaluation.has_max_new_tokens()) return CheckLength("evaluation.max_new_tokens", evaluation.max_new_tokens());
    int tokens = 0;
    for (const proto::Stage& stage : recipe_.stage()) tokens = std::max(tokens, stage.max_new_tokens());
    if (tokens == 0) {
      const int positions =
          recipe_.model().has_path() ? 2 * kMaxDefaultNewTokens : recipe_.model().max_position_embeddings();
      tokens = std::clamp(positions / 2, 1, kMaxDefaultNewTokens);
    }
    evaluation.set_max_new_tokens(tokens);
    return absl::OkStatus();
  }

  const RecipeLocations& locations_;
  proto::Recipe& recipe_;
};

}  // namespace

absl::Status ResolveRecipe(const RecipeLocations& locations, proto::Recipe& recipe) {
  return Resolver(locations, recipe).Resolve();
}

}  // namespace hone
