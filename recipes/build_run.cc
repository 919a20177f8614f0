// BuildRun: a resolved recipe into plain values and built components.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <thread>

#include "engine/peft.h"
#include "engine/safetensors.h"
#include "recipes/algorithms.h"
#include "recipes/build.h"
#include "recipes/combinations.h"
#include "recipes/preferences.h"
#include "recipes/recipe.pb.h"
#include "recipes/resolve.h"

namespace hone {
namespace {

constexpr absl::string_view kHeader = "# The recipe as it runs, every default filled in.\n";

// Puts the field's place before a component's complaint.
absl::Status At(const RecipeLocations& locations, const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return InputError(locations.Find(path), ": ", absl::string_view(status.message()));
}

#define HONE_BUILD_AT(target, path, expression)                                      \
  auto HONE_CONCAT(built_, __LINE__) = (expression);                                 \
  HONE_RETURN_IF_ERROR(At(locations, path, HONE_CONCAT(built_, __LINE__).status())); \
  target = *std::move(HONE_CONCAT(built_, __LINE__))

ModelSource ToModelSource(const proto::Model& model) {
  ModelSource source;
  source.path = model.path();
  if (!source.path.empty()) return source;
  source.family = model.family();
  source.tokenizer = model.tokenizer();
  source.hidden_size = model.hidden_size();
  source.intermediate_size = model.intermediate_size();
  source.layers = model.layers();
  source.heads = model.heads();
  source.kv_heads = model.kv_heads();
  source.max_position_embeddings = model.max_position_embeddings();
  source.rope_theta = model.rope_theta();
  source.tie_word_embeddings = model.tie_word_embeddings();
  source.initializer_std = model.initializer_std();
  return source;
}

absl::Status CheckModel(const RecipeLocations& locations, proto::Model& model) {
  if (model.has_path()) {
    if (!IsAdapterFolder(model.path())) return absl::OkStatus();
    return At(locations, "model.path",
              InputError("'", model.path(),
                         "' holds a LoRA adapter, not a model; 'hone export --run RUN --output DIR' merges it"));
  }
  HONE_RETURN_IF_ERROR(At(locations, "model.family", CheckModelFamily(model.family())));
  return At(locations, "model.tokenizer", CheckTokenizer(model.tokenizer(), model.mutable_tokenizer()));
}

// What the advantage is made of is there, and is what the loss wants.
absl::Status CheckAdvantage(const RecipeLocations& locations, const std::string& path, const proto::Stage& recipe,
                            const Stage& stage) {
  const std::string loss = recipe.loss().substr(0, recipe.loss().find('('));
  const std::string advantage = recipe.advantage().substr(0, recipe.advantage().find('('));
  if (stage.advantage->needs() == AdvantageNeeds::kGroups && stage.samples_per_prompt < 2) {
    return At(
        locations, path + ".samples_per_prompt",
        InputError("'samples_per_prompt' is ", stage.samples_per_prompt, ", wanted at least 2: advantage '", advantage,
                   "' compares the answers to one prompt with each other; remax, "
                   "reinforce_plus_plus and reward need only 1"));
  }
  if (stage.loss->takes_rewards() && advantage != "reward") {
    return At(locations, path + ".advantage",
              InputError("loss '", loss, "' learns from rewards as they are, advantage '", advantage,
                         "' changes them; use advantage: \"reward\""));
  }
  return absl::OkStatus();
}

// The average that clipping measures from, and the settings of a divided batch.
void UsePolicyEwma(const PolicyEwmaOptions& options, Stage& stage) {
  if (options.beta_prox == 0) return;
  const BatchSizeSettings settings = ForDividedBatch(
      {stage.schedule.peak, stage.adamw.beta1, stage.adamw.beta2, options.beta_prox}, options.divide_batch);
  stage.schedule.peak = settings.learning_rate;
  stage.adamw.beta1 = settings.beta1;
  stage.adamw.beta2 = settings.beta2;
  stage.beta_prox = settings.beta_prox;
}

// What an RL stage has beyond the others.
absl::Status BuildRollout(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe,
                          Stage& stage) {
  stage.prompts_per_step = recipe.prompts_per_step();
  stage.samples_per_prompt = recipe.samples_per_prompt();
  stage.max_new_tokens = recipe.max_new_tokens();
  stage.temperature = static_cast<float>(recipe.temperature());
  stage.minibatches = recipe.minibatches();
  stage.epochs = recipe.epochs();
  stage.entropy_coef = recipe.entropy_coef();
  stage.samples_every = recipe.samples_every();
  HONE_BUILD_AT(stage.curriculum, path + ".curriculum",
                BuildCurriculum(recipe.curriculum(), recipe.mutable_curriculum()));
  for (int i = 0; i < recipe.shaper_size(); ++i) {
    HONE_BUILD_AT(std::unique_ptr<Shaper> shaper, absl::StrCat(path, ".shaper[", i, "]"),
                  BuildShaper(recipe.shaper(i), recipe.mutable_shaper(i)));
    if (shaper != nullptr) stage.shapers.push_back(std::move(shaper));
  }
  HONE_BUILD_AT(stage.gate, path + ".gate", BuildGate(recipe.gate(), recipe.mutable_gate()));
  stage.max_staleness = recipe.max_staleness();
  HONE_BUILD_AT(stage.advantage, path + ".advantage", BuildAdvantage(recipe.advantage(), recipe.mutable_advantage()));
  HONE_RETURN_IF_ERROR(CheckAdvantage(locations, path, recipe, stage));
  HONE_BUILD_AT(stage.value_model, path + ".value_model",
                BuildValueModel(recipe.value_model(), recipe.mutable_value_model()));
  HONE_BUILD_AT(const PolicyEwmaOptions policy_ewma, path + ".policy_ewma",
                BuildPolicyEwma(recipe.policy_ewma(), recipe.mutable_policy_ewma()));
  UsePolicyEwma(policy_ewma, stage);
  HONE_BUILD_AT(stage.kl, path + ".kl", BuildKl(recipe.kl(), recipe.mutable_kl()));
  return absl::OkStatus();
}

absl::StatusOr<Stage> BuildStage(const RecipeLocations& locations, const std::string& path, proto::Stage& recipe) {
  Stage stage;
  const bool is_rl = recipe.kind() == proto::Stage::RL;
  const bool is_preference = recipe.kind() == proto::Stage::PREFERENCE;
  stage.kind = is_rl ? StageKind::kRl : is_preference ? StageKind::kPreference : StageKind::kSft;
  stage.name = recipe.name();
  stage.batch_size = recipe.batch_size();
  HONE_RETURN_IF_ERROR(ReadPreferenceData(locations, path, recipe, stage));
  stage.steps = recipe.steps();
  stage.max_grad_norm = recipe.max_grad_norm();
  stage.microbatch_tokens = recipe.microbatch_tokens();
  stage.activation_checkpointing = recipe.activation_checkpointing();
  stage.parameters = recipe.parameters() == "bfloat16" ? kernels::WeightType::kBfloat16 : kernels::WeightType::kFloat32;
  stage.checkpoint_every = recipe.checkpoint_every();
  stage.evaluate_every = recipe.evaluate_every();
  HONE_BUILD_AT(stage.adamw, path + ".optimizer", BuildOptimizer(recipe.optimizer(), recipe.mutable_optimizer()));
  int64_t total_steps = stage.steps;
  if (is_rl) {
    HONE_BUILD_AT(stage.composer, path + ".composer", BuildComposer(recipe.composer(), recipe.mutable_composer()));
    total_steps *= int64_t{recipe.minibatches()} * recipe.epochs();
  }
  HONE_BUILD_AT(stage.schedule, path + ".schedule",
                BuildSchedule(recipe.schedule(), recipe.learning_rate(), total_steps, recipe.mutable_schedule()));
  HONE_BUILD_AT(stage.loss, path + ".loss", BuildLoss(recipe.loss(), recipe.mutable_loss()));
  HONE_RETURN_IF_ERROR(BuildSelection(locations, path, recipe, stage));
  HONE_BUILD_AT(stage.noise_scale_decay, path + ".noise_scale",
                BuildNoiseScale(recipe.noise_scale(), recipe.mutable_noise_scale()));
  if (is_rl) HONE_RETURN_IF_ERROR(BuildRollout(locations, path, recipe, stage));
  if (stage.pairs || stage.keep_above) recipe.clear_advantage();  // nothing reads it
  if (stage.kind == StageKind::kSft) return stage;
  if (!recipe.has_reference()) recipe.set_reference(AsksForReference(stage) ? "start" : "none");
  HONE_BUILD_AT(stage.reference, path + ".reference", BuildReference(recipe.reference(), recipe.mutable_reference()));
  HONE_RETURN_IF_ERROR(CheckCombinations(locations, path, recipe, stage));
  return stage;
}

// What goes with an adapter: its checkpoint names the base's folder, so what it was trained beside must be what lies there; and a
// reference that follows the policy would be a second adapter.
absl::Status CheckLora(const RecipeLocations& locations, const proto::Recipe& recipe,
                       const std::vector<Stage>& stages) {
  if (!recipe.model().has_lora()) return absl::OkStatus();
  const auto base = SafetensorsFile::OpenFolder(recipe.model().path());
  const bool fits_halves = !base.ok() || base->MatricesAre(StorageType::kBfloat16);
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].reference.kind == ReferenceKind::kEma)
      return At(
          locations, absl::StrCat("stage[", i, "].reference"),
          InputError("'ema' does not go with model.lora; use reference: \"start\", the model without the adapter"));
    if (stages[i].beta_prox > 0)
      return At(locations, absl::StrCat("stage[", i, "].policy_ewma"),
                InputError(
                    "an average of the policy does not go with model.lora, whose weights do not move; leave one of the "
                    "two out"));
    if (stages[i].parameters == kernels::WeightType::kFloat32 || fits_halves) continue;
    return At(locations, absl::StrCat("stage[", i, "].parameters"),
              InputError("bfloat16 would round the frozen model, which '", recipe.model().path(),
                         "' does not store so; write it with 'hone export --dtype bfloat16' first, or leave this out"));
  }
  return absl::OkStatus();
}

// What the stages ask of the task: prompts, and demonstrations for SFT.
absl::Status CheckTask(const RecipeLocations& locations, const proto::Recipe& recipe, const Task& task) {
  if (task.Size(Split::kTrain) == uint64_t{0}) {
    return At(locations, "task", InputError("the task '", recipe.task(), "' holds no training prompts"));
  }
  for (int i = 0; i < recipe.stage_size(); ++i) {
    const auto size = task.Size(Split::kTrain);
    if (recipe.stage(i).kind() == proto::Stage::RL && size &&
        *size < static_cast<uint64_t>(recipe.stage(i).prompts_per_step())) {
      return At(locations, absl::StrCat("stage[", i, "].prompts_per_step"),
                InputError("'prompts_per_step' is ", recipe.stage(i).prompts_per_step(), ", but the task holds ", *size,
                           " training prompts, and one asked twice in a step gets the same answers"));
    }
    if (recipe.stage(i).kind() != proto::Stage::SFT) continue;
    if (task.Demonstration(task.At(Split::kTrain, 0)).has_value()) continue;
    return At(
        locations, absl::StrCat("stage[", i, "].kind"),
        InputError("the task '", recipe.task(), "' has no demonstrations, which a stage of kind SFT learns from"));
  }
  return absl::OkStatus();
}

// What remembers prompts meets them again.
absl::Status CheckMemories(const RecipeLocations& locations, const Task& task, const std::vector<Stage>& stages) {
  if (task.Size(Split::kTrain)) return absl::OkStatus();
  for (size_t i = 0; i < stages.size(); ++i) {
    const char* field = stages[i].curriculum != nullptr && stages[i].curriculum->remembers_prompts() ? "curriculum"
                        : stages[i].composer != nullptr && stages[i].composer->remembers_prompts()   ? "composer"
                                                                                                     : nullptr;
    if (field == nullptr) continue;
    return At(locations, absl::StrCat("stage[", i, "].", field),
              InputError("'", field, "' remembers prompts, but the task makes new ones for ever; give it a number of ",
                         "them, such as countdown(problems=2000)"));
  }
  return absl::OkStatus();
}

// The default shrinks to what the task holds out; a number that someone wrote does not.
absl::Status ResolveEvaluationPrompts(const RecipeLocations& locations, const Task& task,
                                      proto::Evaluation& evaluation) {
  const uint64_t held_out = task.Size(Split::kHeldOut).value_or(evaluation.prompts());
  if (static_cast<uint64_t>(evaluation.prompts()) > held_out && evaluation.has_prompts()) {
    return At(locations, "evaluation.prompts",
              InputError("'prompts' is ", evaluation.prompts(), ", but the task holds out ", held_out));
  }
  evaluation.set_prompts(static_cast<int32_t>(std::min<uint64_t>(evaluation.prompts(), held_out)));
  return absl::OkStatus();
}

std::string ResolvedText(const proto::Recipe& recipe) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string text;
  printer.PrintToString(recipe, &text);
  return absl::StrCat(kHeader, text);
}

}  // namespace

absl::StatusOr<RunOptions> BuildRun(const LoadedRecipe& loaded) {
  RecipeLocations locations = loaded.locations();
  proto::Recipe recipe = loaded.recipe();
  HONE_RETURN_IF_ERROR(ExpandAlgorithms(recipe, locations));
  HONE_RETURN_IF_ERROR(ResolveRecipe(locations, recipe));
  RunOptions options;
  options.name = recipe.name();
  options.seed = recipe.seed();
  options.threads =
      recipe.threads() > 0 ? recipe.threads() : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  HONE_RETURN_IF_ERROR(CheckModel(locations, *recipe.mutable_model()));
  options.model = ToModelSource(recipe.model());
  if (recipe.model().has_lora()) {
    HONE_BUILD_AT(options.model.lora, "model.lora",
                  BuildLora(recipe.model().lora(), recipe.mutable_model()->mutable_lora()));
  }

  HONE_BUILD_AT(options.task, "task", BuildTask(recipe.task(), recipe.mutable_task()));
  if (!recipe.has_verifier()) recipe.set_verifier(options.task->DefaultVerifier());
  HONE_BUILD_AT(options.verifier, "verifier", BuildVerifier(recipe.verifier(), recipe.mutable_verifier()));
  options.max_no_verdict = recipe.max_no_verdict();
  HONE_BUILD_AT(options.drafter, "drafter", BuildDrafter(recipe.drafter(), recipe.mutable_drafter()));
  options.check_every_draft = recipe.check_every_draft();
  recipe.set_check_every_draft(options.check_every_draft);  // says so in the resolved text
  HONE_RETURN_IF_ERROR(CheckTask(locations, recipe, *options.task));
  for (int i = 0; i < recipe.stage_size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Stage stage, BuildStage(locations, absl::StrCat("stage[", i, "]"), *recipe.mutable_stage(i)));
    options.stages.push_back(std::move(stage));
  }
  HONE_RETURN_IF_ERROR(CheckLora(locations, recipe, options.stages));
  HONE_RETURN_IF_ERROR(CheckMemories(locations, *options.task, options.stages));

  proto::Evaluation& evaluation = *recipe.mutable_evaluation();
  HONE_RETURN_IF_ERROR(ResolveEvaluationPrompts(locations, *options.task, evaluation));
  options.evaluation.prompts = evaluation.prompts();
  options.evaluation.samples = evaluation.samples();
  options.evaluation.temperature = static_cast<float>(evaluation.temperature());
  options.evaluation.max_new_tokens = evaluation.max_new_tokens();
  options.recipe_text = ResolvedText(recipe);
  return options;
}

}  // namespace hone
