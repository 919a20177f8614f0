#include "tools/explain.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "engine/checkpoint.h"
#include "engine/prompt_encoder.h"
#include "trainer/new_model.h"

namespace hone {
namespace {

constexpr double kMegabyte = 1e6;
// Prompts looked at for the mean length.
constexpr uint64_t kSampledPrompts = 200;

// Floats that autograd keeps for one row: per layer the inputs of its two norms, seven products, attention and SwiGLU; or with activation
// checkpointing a layer's input, and all that for one layer at a time.
int64_t SavedFloatsPerRow(const ModelConfig& c, bool activation_checkpointing) {
  const int64_t query = int64_t{c.heads} * c.head_dim, kv = int64_t{c.kv_heads} * c.head_dim, hidden = c.hidden_size;
  const int64_t layer = 4 * hidden + 2 * query + 2 * kv + 3 * int64_t{c.intermediate_size};
  return (activation_checkpointing ? c.layers * hidden + layer : c.layers * layer) + 2 * hidden;
}

// Of weights, masters, gradients and AdamW's averages.
int64_t LearnerBytes(const RunOptions& options, const Stage& stage, const ModelConfig& config) {
  const int64_t weights = config.estimated_parameters();
  const bool halves = stage.parameters == kernels::WeightType::kBfloat16;
  if (options.model.lora) return weights * (halves ? 2 : 4) + LoraParameterCount(config, *options.model.lora) * 16;
  return weights * (halves ? 2 + 16 : 16);
}

// Bytes of what the most demanding stage keeps beside the policy: a value model with its gradients and AdamW, an average of the weights.
double BesideThePolicy(const RunOptions& options, const ModelConfig& config) {
  const auto parameters = static_cast<double>(config.estimated_parameters());
  const double embedding = static_cast<double>(config.vocab_size) * config.hidden_size;
  double most = 0;
  for (const Stage& stage : options.stages) {
    double bytes = stage.beta_prox > 0 ? 4 * parameters : 0;
    if (stage.value_model.trunk == ValueTrunk::kOwn) {
      const int32_t layers = stage.value_model.layers > 0 ? stage.value_model.layers : config.layers;
      bytes += 4 * 4 * (embedding + (parameters - embedding) * layers / config.layers);
    }
    if (stage.curriculum != nullptr && stage.curriculum->predictor_options()) bytes += 4 * 4 * parameters;
    most = std::max(most, bytes);
  }
  return most;
}

struct Lengths {
  double prompt = 0;
  double answer = 0;  // of demonstrations, with the end token
};

absl::StatusOr<Lengths> MeanLengths(const Task& task, const Tokenizer& tokenizer, const std::string& folder) {
  Lengths lengths;
  PromptEncoder encoder(&tokenizer, folder);
  const uint64_t count = std::min(task.Size(Split::kTrain).value_or(kSampledPrompts), kSampledPrompts);
  for (uint64_t index = 0; index < count; ++index) {
    Prompt prompt = task.At(Split::kTrain, index);
    HONE_RETURN_IF_ERROR(encoder.Encode(prompt));
    lengths.prompt += static_cast<double>(prompt.tokens.size());
    const auto demonstration = task.Demonstration(prompt);
    if (!demonstration) continue;
    HONE_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, tokenizer.Encode(*demonstration));
    lengths.answer += static_cast<double>(tokens.size() + 1);
  }
  lengths.prompt /= static_cast<double>(std::max<uint64_t>(1, count));
  lengths.answer /= static_cast<double>(std::max<uint64_t>(1, count));
  return lengths;
}

// Samples and the greedy answers beside them.
int64_t AnswersPerStep(const Stage& stage) {
  const bool greedy = stage.advantage != nullptr && stage.advantage->needs() == AdvantageNeeds::kGreedy;
  return stage.prompts_per_step * (stage.samples_per_prompt + (greedy ? 1 : 0));
}

void ExplainStage(const Stage& stage, const Lengths& lengths, std::string& text) {
  if (stage.kind == StageKind::kSft) {
    const auto batch = static_cast<double>(stage.batch_size);
    absl::StrAppendFormat(
        &text,
        "# stage %s: %d steps, each %d demonstrations, about %.0f tokens through the model, %.0f of them trained\n",
        stage.name, stage.steps, stage.batch_size, batch * (lengths.prompt + lengths.answer - 1),
        batch * lengths.answer);
    return;
  }
  if (stage.kind == StageKind::kPreference) {
    absl::StrAppendFormat(
        &text, "# stage %s: %d steps, each %d of %d pairs: %.1f times the data\n", stage.name, stage.steps,
        stage.batch_size, stage.preferences.size(),
        static_cast<double>(stage.steps * stage.batch_size) / static_cast<double>(stage.preferences.size()));
    return;
  }
  const int64_t samples = stage.prompts_per_step * stage.samples_per_prompt, answers = AnswersPerStep(stage);
  absl::StrAppendFormat(&text,
                        "# stage %s: %d steps, each %d prompts x %d samples = %d samples%s, at most %d sampled tokens, "
                        "%d optimizer step%s\n",
                        stage.name, stage.steps, stage.prompts_per_step, stage.samples_per_prompt, samples,
                        answers == samples ? "" : absl::StrFormat(" and %d greedy answers", answers - samples),
                        answers * stage.max_new_tokens, stage.minibatches, stage.minibatches == 1 ? "" : "s");
  if (stage.gate != nullptr && stage.gate->max_rounds() > 1) {
    absl::StrAppendFormat(&text,
                          "#   groups that the gate leaves out are replaced: up to %d rounds of as many samples\n",
                          stage.gate->max_rounds());
  }
}

}  // namespace

absl::StatusOr<std::string> Explain(const RunOptions& options) {
  std::unique_ptr<Tokenizer> tokenizer;
  ModelConfig config;
  if (options.model.path.empty()) {
    HONE_ASSIGN_OR_RETURN(tokenizer, TrainTaskTokenizer(options.model, *options.task));
    config = NewModelConfig(options.model, *tokenizer);
  } else {
    HONE_ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(options.model.path));
    HONE_ASSIGN_OR_RETURN(config, ReadModelConfig(options.model.path));
  }
  HONE_ASSIGN_OR_RETURN(const Lengths lengths, MeanLengths(*options.task, *tokenizer, options.model.path));
  const int64_t parameters = config.estimated_parameters();
  std::string text = options.recipe_text;
  absl::StrAppendFormat(&text, "\n# model: %d parameters, vocabulary of %d tokens; %d threads\n", parameters,
                        config.vocab_size, options.threads);
  if (options.model.lora) {
    absl::StrAppendFormat(&text, "# lora: %d parameters learn\n", LoraParameterCount(config, *options.model.lora));
  }
  absl::StrAppendFormat(&text, "# task: prompts of %.1f tokens, demonstrations of %.1f tokens on average\n",
                        lengths.prompt, lengths.answer);
  int64_t samples = 0, new_tokens = 0, state = 0, activations = 0;
  for (const Stage& stage : options.stages) {
    ExplainStage(stage, lengths, text);
    state = std::max(state, LearnerBytes(options, stage, config));
    activations =
        std::max(activations, 4 * stage.microbatch_tokens * SavedFloatsPerRow(config, stage.activation_checkpointing));
    samples = std::max(samples, AnswersPerStep(stage));
    new_tokens = std::max<int64_t>(new_tokens, stage.max_new_tokens);
  }
  const bool refers = std::any_of(options.stages.begin(), options.stages.end(), [&](const Stage& stage) {
    const bool is_base = options.model.lora.has_value() && stage.reference.kind == ReferenceKind::kStart;
    return stage.reference.kind != ReferenceKind::kNone && !is_base;
  });
  const double reference = refers ? 4.0 * static_cast<double>(parameters) : 0;
  const double cache =
      std::min(static_cast<double>(int64_t{1} << 30),
               static_cast<double>(samples * PagesFor(new_tokens + static_cast<int64_t>(lengths.prompt)) *
                                   config.kv_page_bytes()));
  absl::StrAppendFormat(
      &text,
      "# memory, at most: weights, gradients and AdamW %.0f MB, %sactivations %.0f MB, keys and values "
      "%.0f MB; the libraries take about 200 MB more\n",
      static_cast<double>(state) / kMegabyte,
      refers ? absl::StrFormat("reference %.0f MB, ", reference / kMegabyte) : "",
      static_cast<double>(activations) / kMegabyte, cache / kMegabyte);
  if (const double beside = BesideThePolicy(options, config); beside > 0) {
    absl::StrAppendFormat(&text, "# memory of the value model and the averaged policy beside these: %.0f MB\n",
                          beside / kMegabyte);
  }
  return text;
}

}  // namespace hone
