#include "trainer/train_loop.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "absl/strings/str_format.h"
#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/checkpoint.h"
#include "engine/prompt_encoder.h"
#include "rollout/collector.h"
#include "rollout/evaluation.h"
#include "trainer/draft_upkeep.h"
#include "trainer/experience.h"
#include "trainer/gradient_guard.h"
#include "trainer/group_source.h"
#include "trainer/kl_penalty.h"
#include "trainer/learner.h"
#include "trainer/mismatched_kl.h"
#include "trainer/new_model.h"
#include "trainer/rollout_metrics.h"
#include "trainer/stage_memory.h"
#include "trainer/update_totals.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kShownBytes = 60;  // of a prompt, in messages

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// What one run holds while it trains.
class TrainLoop {
 public:
  TrainLoop(const RunOptions& options, RunFolder& folder, RunObserver& observer, std::function<bool()> interrupted)
      : options_(options),
        folder_(folder),
        observer_(observer),
        interrupted_(std::move(interrupted)),
        pool_(options.threads) {}

  absl::StatusOr<RunResult> Run() {
    HONE_RETURN_IF_ERROR(Prepare());
    while (!state_.finished) {
      HONE_ASSIGN_OR_RETURN(const bool completed, RunStage(options_.stages[state_.stage]));
      if (!completed) return RunResult{true, folder_.CheckpointPath(state_.step)};
    }
    return RunResult{false, folder_.CheckpointPath(state_.step)};
  }

 private:
  // Model, tokenizer and counters, from the newest checkpoint or from the recipe.
  absl::Status Prepare();
  absl::Status NewModelFromRecipe();
  absl::Status LoadFrom(const std::string& folder);
  // Learner, reference and KL coefficient of a stage that begins or goes on.
  absl::Status PrepareStage(const Stage& stage);
  // True when the stage is done, false when the run was interrupted.
  absl::StatusOr<bool> RunStage(const Stage& stage);
  absl::Status SftStep(const Stage& stage, Metrics& metrics);
  absl::Status PreferenceStep(const Stage& stage, Metrics& metrics);
  absl::Status RlStep(const Stage& stage, Metrics& metrics);
  absl::Status Learn(const Stage& stage, const std::vector<std::vector<TrainGroup>>& batches, Metrics& metrics);
  absl::Status LearnBatch(const Stage& stage, std::span<const TrainGroup> groups, UpdateTotals& totals);
  void CompareWithReference(const Stage& stage, std::vector<Group>& groups, Metrics& metrics) const;
  // A step that trains nothing says why.
  void TellNoSignal(const Stage& stage, NoSignal cause, Metrics& metrics);
  void TellOnce(const std::string& cause);  // the same words once a run
  absl::Status EvaluateInto(Metrics& metrics);
  absl::Status SaveCheckpoint();
  absl::StatusOr<Prompt> NextPrompt();

  const RunOptions& options_;
  RunFolder& folder_;
  RunObserver& observer_;
  std::function<bool()> interrupted_;
  ThreadPool pool_;
  RunState state_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<PromptEncoder> encoder_;
  std::unique_ptr<Model> model_;
  std::vector<PreferenceData> preferences_;  // one for each stage
  std::unique_ptr<Generator> generator_;
  std::unique_ptr<DraftUpkeep> draft_upkeep_;   // null: there is no draft model, or it stays as it is
  std::unique_ptr<Learner> learner_;            // of the current stage, as are the next three
  std::unique_ptr<ReferencePolicy> reference_;  // null: nothing asks for one
  std::optional<KlPenalty> kl_;
  StageMemory memory_;
  GradientGuard guard_;
  std::set<std::string> told_;
};

absl::Status TrainLoop::Prepare() {
  const std::vector<int64_t> checkpoints = ListCheckpoints(folder_.path());
  if (checkpoints.empty()) {
    HONE_RETURN_IF_ERROR(options_.model.path.empty() ? NewModelFromRecipe() : LoadFrom(options_.model.path));
    // The base's place for whoever loads a checkpoint, from wherever.
    if (options_.model.lora)
      AttachLora(*model_, *options_.model.lora, std::filesystem::absolute(options_.model.path).lexically_normal(),
                 options_.seed);
  } else {
    const std::string checkpoint = folder_.CheckpointPath(checkpoints.back());
    HONE_ASSIGN_OR_RETURN(state_, ReadRunState(checkpoint));
    guard_ = GradientGuard(state_.skipped_updates);
    HONE_RETURN_IF_ERROR(LoadFrom(checkpoint));
    observer_.OnMessage(absl::StrCat("resuming from ", checkpoint));
  }
  for (const Stage& stage : options_.stages) HONE_RETURN_IF_ERROR(CheckFits(stage, model_->config()));
  HONE_RETURN_IF_ERROR(folder_.TruncateAfter(state_.step));
  generator_ = std::make_unique<Generator>(model_.get(), tokenizer_.get(), GeneratorLimits{});
  HONE_RETURN_IF_ERROR(generator_->UseDrafter(options_.drafter.get()));
  if (options_.check_every_draft && options_.drafter != nullptr) generator_->CheckEveryDraft();
  if (const DraftTarget target = options_.drafter ? options_.drafter->upkeep() : DraftTarget(); target.model != nullptr)
    draft_upkeep_ = std::make_unique<DraftUpkeep>(target, *model_);
  for (const Stage& stage : options_.stages) {  // all of them, before the first step of any
    HONE_ASSIGN_OR_RETURN(
        PreferenceData data,
        PreferenceData::Encode(stage.preferences, model_->config().max_position_embeddings, *encoder_));
    preferences_.push_back(std::move(data));
  }
  observer_.OnMessage(absl::StrFormat("model: %s, %d parameters, %d tokens in the vocabulary, %d threads",
                                      model_->config().family, model_->parameter_count(), model_->config().vocab_size,
                                      options_.threads));
  if (const Adapter* adapter = model_->adapter(); adapter != nullptr) {
    observer_.OnMessage(absl::StrFormat("lora: %d of them frozen, %d in adapters of rank %d learn",
                                        model_->parameter_count(),
                                        LoraParameterCount(model_->config(), adapter->options), adapter->options.rank));
  }
  return absl::OkStatus();
}

absl::Status TrainLoop::NewModelFromRecipe() {
  HONE_ASSIGN_OR_RETURN(tokenizer_, TrainTaskTokenizer(options_.model, *options_.task));
  encoder_.emplace(tokenizer_.get(), folder_.path());
  HONE_ASSIGN_OR_RETURN(model_, NewModel(NewModelConfig(options_.model, *tokenizer_), &pool_));
  InitializeWeights(*model_, options_.seed);
  return absl::OkStatus();
}

absl::Status TrainLoop::LoadFrom(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(tokenizer_, LoadTokenizer(folder));
  encoder_.emplace(tokenizer_.get(), folder);
  HONE_ASSIGN_OR_RETURN(model_, LoadModel(folder, &pool_));
  return absl::OkStatus();
}

absl::Status TrainLoop::PrepareStage(const Stage& stage) {
  learner_ = std::make_unique<Learner>(model_.get(), stage);
  kl_.emplace(stage.kl);
  reference_.reset();
  HONE_ASSIGN_OR_RETURN(memory_, StageMemory::New(*model_, *tokenizer_, stage));
  if (memory_.value_model != nullptr && memory_.value_model->shared())
    learner_->UseValueModel(memory_.value_model.get());
  const std::string checkpoint = folder_.CheckpointPath(state_.step);
  const bool goes_on = state_.stage_step > 0;
  if (goes_on) {
    HONE_RETURN_IF_ERROR(learner_->Load(checkpoint + "/state/optimizer.safetensors", state_.optimizer_steps));
    learner_->set_extra_updates(state_.extra_updates);
    HONE_RETURN_IF_ERROR(kl_->Load(checkpoint));
    HONE_RETURN_IF_ERROR(memory_.Load(checkpoint));
  }
  if (stage.reference.kind == ReferenceKind::kNone) return absl::OkStatus();
  const bool first = state_.stage == 0;
  const StageStart start{first ? options_.model.path : folder_.CheckpointPath(state_.step - state_.stage_step),
                         options_.seed, checkpoint};
  HONE_ASSIGN_OR_RETURN(reference_, ReferencePolicy::New(stage.reference, *model_, goes_on ? &start : nullptr));
  return absl::OkStatus();
}

absl::StatusOr<bool> TrainLoop::RunStage(const Stage& stage) {
  HONE_RETURN_IF_ERROR(PrepareStage(stage));
  observer_.OnStageBegin(stage, state_.stage_step);
  while (state_.stage_step < stage.steps) {
    if (interrupted_()) {
      HONE_RETURN_IF_ERROR(SaveCheckpoint());
      return false;
    }
    const Clock::time_point start = Clock::now();
    Metrics metrics;
    metrics.Set("stage", stage.name);
    metrics.Set("step", static_cast<double>(state_.step + 1));
    metrics.Set("policy_version", static_cast<double>(state_.policy_version));
    HONE_RETURN_IF_ERROR(stage.kind == StageKind::kSft          ? SftStep(stage, metrics)
                         : stage.kind == StageKind::kPreference ? PreferenceStep(stage, metrics)
                                                                : RlStep(stage, metrics));
    ++state_.step;
    ++state_.stage_step;
    const bool last = state_.stage_step == stage.steps;
    const auto due = [&](int64_t every) { return last || (every > 0 && state_.stage_step % every == 0); };
    const double step_s = SecondsSince(start);
    metrics.Set("time/step_s", step_s);
    double other_s = step_s;
    for (const char* part :
         {"time/choose_s", "time/generate_s", "time/verify_s", "time/reference_s", "time/value_s", "time/train_s"})
      other_s -= metrics.Find(part).value_or(0);
    metrics.Set("time/other_s", other_s);
    metrics.Set("memory/rss_bytes", ResidentBytes());
    if (due(stage.evaluate_every)) HONE_RETURN_IF_ERROR(EvaluateInto(metrics));
    HONE_RETURN_IF_ERROR(folder_.AppendMetrics(metrics));
    observer_.OnStep(stage, state_.stage_step, metrics);
    if (last) break;  // the stage's last checkpoint already points to the next stage
    if (due(stage.checkpoint_every)) HONE_RETURN_IF_ERROR(SaveCheckpoint());
  }
  ++state_.stage;
  state_.stage_step = 0;
  state_.optimizer_steps = state_.extra_updates = 0;
  state_.finished = state_.stage == static_cast<int64_t>(options_.stages.size());
  HONE_RETURN_IF_ERROR(SaveCheckpoint());
  return true;
}

absl::StatusOr<Prompt> TrainLoop::NextPrompt() {
  const uint64_t index = state_.next_prompt++;
  const auto size = options_.task->Size(Split::kTrain);
  Prompt prompt = options_.task->At(Split::kTrain, size ? index % *size : index);
  HONE_RETURN_IF_ERROR(encoder_->Encode(prompt));
  return prompt;
}

absl::Status TrainLoop::SftStep(const Stage& stage, Metrics& metrics) {
  std::vector<Prompt> prompts(stage.batch_size);
  std::vector<std::vector<TokenId>> answers(stage.batch_size);
  std::vector<TrainGroup> groups;
  for (int64_t i = 0; i < stage.batch_size; ++i) {
    HONE_ASSIGN_OR_RETURN(prompts[i], NextPrompt());
    const auto demonstration = options_.task->Demonstration(prompts[i]);
    if (!demonstration)
      return InputError("the task has no demonstration for '", Visible(prompts[i].text, kShownBytes), "', stage '",
                        stage.name, "' needs them");
    HONE_ASSIGN_OR_RETURN(answers[i], encoder_->EncodeAnswer(*demonstration));
    const size_t length = prompts[i].tokens.size() + answers[i].size();
    if (const auto most = static_cast<size_t>(model_->config().max_position_embeddings); length > most)
      return InputError("prompt and demonstration of '", Visible(prompts[i].text, kShownBytes), "' are ", length,
                        " tokens, more than the model's ", most, " positions");
    groups.push_back({&prompts[i].tokens, {{&answers[i]}}});
  }
  return Learn(stage, {std::move(groups)}, metrics);
}

absl::Status TrainLoop::PreferenceStep(const Stage& stage, Metrics& metrics) {
  std::vector<TrainGroup> groups =
      preferences_[state_.stage].Batch(state_.stage_step * stage.batch_size, stage.batch_size, options_.seed);
  const Clock::time_point start = Clock::now();
  std::vector<std::vector<float>> reference;
  if (reference_ != nullptr) {
    reference = reference_->Score(groups, stage.microbatch_tokens);
    auto next = reference.begin();
    for (TrainGroup& group : groups) {
      for (TrainSample& sample : group.samples) sample.reference = &*next++;
    }
    metrics.Set("time/reference_s", SecondsSince(start));
  }
  return Learn(stage, {std::move(groups)}, metrics);
}

absl::Status TrainLoop::RlStep(const Stage& stage, Metrics& metrics) {
  const uint64_t first_prompt = state_.next_prompt;
  const GenerationOptions generation{.max_new_tokens = stage.max_new_tokens,
                                     .temperature = stage.temperature,
                                     .seed = options_.seed,
                                     .step = static_cast<uint64_t>(state_.step) + 1,
                                     .policy_version = state_.policy_version};
  const Collector collector(tokenizer_.get(), options_.verifier.get(), generator_.get());
  const GroupSource source(
      stage, collector, [this] { return NextPrompt(); }, options_.task->Size(Split::kTrain));
  NoSignal no_signal;
  bool too_few_verdicts = false;
  auto gathered = source.Gather(
      generation, memory_.waiting,
      [&](const Rollout& rollout) -> absl::Status {
        AddRolloutMetrics(rollout, metrics);
        const absl::Status verdicts = CheckVerdicts(rollout.groups, options_.max_no_verdict);
        too_few_verdicts = !verdicts.ok();
        HONE_RETURN_IF_ERROR(verdicts);
        no_signal = WhyNoSignal(rollout.groups);
        return absl::OkStatus();
      },
      metrics);
  if (too_few_verdicts) {
    state_.next_prompt = first_prompt;  // the step has not been: it is the next one of whoever resumes
    HONE_RETURN_IF_ERROR(SaveCheckpoint());
    return WorkError("step ", state_.step + 1, ": ", gathered.status().message());
  }
  HONE_RETURN_IF_ERROR(gathered.status());
  const Rollout& rollout = gathered->rollout;
  std::vector<Group>& trained = gathered->trained;
  if (!gathered->missing.empty()) TellOnce(gathered->missing);
  const ComposerStep composing{options_.seed, state_.step + 1};
  if (stage.composer != nullptr) {
    stage.composer->Blend(composing, trained, metrics);
    for (Group& group : trained) ShapeRewards(stage, group);  // what was added earned its reward beside others
  }
  CompareWithReference(stage, trained, metrics);
  ValueModel* const value_model = memory_.value_model.get();
  if (value_model != nullptr) value_model->Evaluate(trained);
  std::vector<TrainGroup> groups = GroupsToTrain(stage, state_.stage_step, kl_->coef(), trained, metrics);
  if (groups.empty() || (!stage.loss->takes_rewards() && !HasAdvantage(trained)))
    TellNoSignal(stage, trained.empty() ? NoSignal{"gate_kept_none", gathered->missing} : no_signal, metrics);
  if (stage.samples_every > 0 && state_.stage_step % stage.samples_every == 0)
    HONE_RETURN_IF_ERROR(folder_.WriteSamples(state_.step + 1, {trained, rollout.groups, memory_.waiting}));
  std::vector<std::vector<TrainGroup>> batches = {groups};
  if (stage.composer != nullptr) batches = stage.composer->Compose(composing, std::move(groups), metrics);
  AddDrafterMetrics(rollout, metrics);
  AddStaleness(batches, state_.policy_version, metrics);
  metrics.Set("time/generate_s", rollout.generate_s);
  metrics.Set("time/verify_s", rollout.verify_s);
  metrics.Set("throughput/generate_tokens_per_s",
              static_cast<double>(rollout.tokens) / std::max(rollout.generate_s, 1e-9));
  learner_->set_kl_coef(kl_->coef());
  if (value_model == nullptr || !value_model->IsWarmup(state_.stage_step))
    HONE_RETURN_IF_ERROR(Learn(stage, batches, metrics));
  if (value_model != nullptr) HONE_RETURN_IF_ERROR(value_model->Learn(batches.front(), metrics));
  kl_->Adapt(trained);
  if (draft_upkeep_ != nullptr) draft_upkeep_->Update(trained, metrics);
  if (options_.drafter != nullptr) {
    if (const std::string warning = options_.drafter->TakeWarning(); !warning.empty()) observer_.OnMessage(warning);
  }
  return absl::OkStatus();
}

void TrainLoop::CompareWithReference(const Stage& stage, std::vector<Group>& groups, Metrics& metrics) const {
  if (reference_ == nullptr) return;
  const Clock::time_point start = Clock::now();
  reference_->Score(groups, stage.microbatch_tokens);
  kl_->Penalize(groups, metrics);
  metrics.Set("time/reference_s", SecondsSince(start));
}

void TrainLoop::TellNoSignal(const Stage& stage, NoSignal cause, Metrics& metrics) {
  if (cause.name == "equal_rewards" && (stage.keep_above || (stage.pairs && stage.pairs->margin > 0))) {
    cause = {"none_selected", "no sample scores above keep_above, or no pair differs by the margin; lower it"};
  }
  metrics.Set("group/no_signal", cause.name);
  TellOnce(absl::StrCat("nothing to learn from: ", cause.explanation));
}

void TrainLoop::TellOnce(const std::string& cause) {
  if (!told_.insert(cause).second) return;
  observer_.OnMessage(absl::StrCat("step ", state_.step + 1, ": ", cause));
}

absl::Status TrainLoop::Learn(const Stage& stage, const std::vector<std::vector<TrainGroup>>& batches,
                              Metrics& metrics) {
  const Clock::time_point start = Clock::now();
  UpdateTotals totals;
  for (size_t i = 0; i < batches.size(); ++i) {
    const int64_t before = learner_->optimizer_steps();
    HONE_RETURN_IF_ERROR(LearnBatch(stage, batches[i], totals));
    if (i > 0) state_.extra_updates += learner_->optimizer_steps() - before;
    learner_->set_extra_updates(state_.extra_updates);
  }
  state_.optimizer_steps = learner_->optimizer_steps();
  state_.skipped_updates = guard_.in_a_row();
  totals.AddTo(SecondsSince(start), metrics);
  if (memory_.noise_scale != nullptr) {
    const double taken = metrics.Find("group/trained").value_or(1) * metrics.Find("gate/kept").value_or(1);
    if (taken > 0) memory_.noise_scale->AddTo(metrics, taken);
  }
  return absl::OkStatus();
}

absl::Status TrainLoop::LearnBatch(const Stage& stage, std::span<const TrainGroup> groups, UpdateTotals& totals) {
  const int64_t minibatches = std::min<int64_t>(stage.minibatches, static_cast<int64_t>(groups.size()));
  for (int64_t pass = 0; pass < minibatches * stage.epochs; ++pass) {
    const int64_t part = pass % minibatches;
    const size_t begin = groups.size() * part / minibatches, end = groups.size() * (part + 1) / minibatches;
    std::vector<TrainGroup> minibatch(groups.begin() + begin, groups.begin() + end);
    if (memory_.policy_average != nullptr) memory_.policy_average->Score(minibatch, stage.microbatch_tokens);
    if (stage.loss->needs_mismatched_kl())
      learner_->set_mismatched_kl(MismatchedKl(minibatch, *model_, *reference_, stage.microbatch_tokens));
    const UpdateStats stats = learner_->Update(minibatch, state_.policy_version);
    if (memory_.policy_average != nullptr && stats.applied) memory_.policy_average->Add();
    if (memory_.noise_scale != nullptr && stats.gradient_norms) memory_.noise_scale->Add(*stats.gradient_norms);
    if (stats.mismatch.value_or(0) != 0) {
      return WorkError(
          "step ", state_.step + 1, ": the trainer's log-probabilities differ from the generator's by ",
          *stats.mismatch,
          " on-policy; they must be equal bit for bit, so this is a defect in hone or in this machine's memory");
    }
    totals.Add(stats);
    if (const absl::Status finite = guard_.Note(stats, stage.name); !finite.ok())
      return WorkError("step ", state_.step + 1, ": ", finite.message());
    state_.policy_version += stats.applied ? 1 : 0;
    if (stats.applied && reference_ != nullptr) reference_->Follow(*model_);
  }
  return absl::OkStatus();
}

absl::Status TrainLoop::EvaluateInto(Metrics& metrics) {
  const EvaluationOptions& evaluation = options_.evaluation;
  if (evaluation.prompts == 0) return absl::OkStatus();
  const auto size = options_.task->Size(Split::kHeldOut);
  const uint64_t count = std::min<uint64_t>(evaluation.prompts, size.value_or(evaluation.prompts));
  std::vector<Prompt> prompts;
  for (uint64_t index = 0; index < count; ++index) {
    prompts.push_back(options_.task->At(Split::kHeldOut, index));
    HONE_RETURN_IF_ERROR(encoder_->Encode(prompts.back()));
  }
  // Step 0: the same random numbers at every evaluation, so that two checkpoints are compared on the same draws.
  GenerationOptions generation;
  generation.max_new_tokens = evaluation.max_new_tokens;
  generation.temperature = evaluation.temperature;
  generation.seed = options_.seed;
  const Collector collector(tokenizer_.get(), options_.verifier.get(), generator_.get());
  HONE_ASSIGN_OR_RETURN(const Rollout rollout,
                        collector.Collect(std::move(prompts), static_cast<int32_t>(evaluation.samples), generation));
  Evaluate(rollout.groups, {1}).AddTo(metrics, "eval/");
  return absl::OkStatus();
}

absl::Status TrainLoop::SaveCheckpoint() {
  HONE_ASSIGN_OR_RETURN(FolderWriter writer, FolderWriter::Begin(folder_.CheckpointPath(state_.step)));
  HONE_RETURN_IF_ERROR(SaveModel(*model_, *tokenizer_, writer.path(), ExactType(*model_)));
  HONE_RETURN_IF_ERROR(MakeFolder(writer.path() + "/state"));
  if (state_.stage_step > 0) {
    HONE_RETURN_IF_ERROR(learner_->Save(writer.path() + "/state/optimizer.safetensors"));
    HONE_RETURN_IF_ERROR(kl_->Save(writer.path()));
    if (reference_ != nullptr) HONE_RETURN_IF_ERROR(reference_->Save(writer.path()));
    HONE_RETURN_IF_ERROR(memory_.Save(writer.path()));
  }
  HONE_RETURN_IF_ERROR(WriteRunState(writer.path(), state_));
  return writer.Commit();
}

}  // namespace

absl::StatusOr<RunResult> Train(const RunOptions& options, RunFolder& folder, RunObserver& observer,
                                const std::function<bool()>& interrupted) {
  return TrainLoop(options, folder, observer, interrupted).Run();
}

}  // namespace hone
