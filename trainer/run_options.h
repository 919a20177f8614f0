// A recipe after its names have been looked up: plain values and built components, no Protobuf.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/drafter.h"
#include "engine/lora.h"
#include "rewards/shaper.h"
#include "rewards/verifier.h"
#include "rollout/curriculum.h"
#include "rollout/gate.h"
#include "rollout/task.h"
#include "trainer/adamw.h"
#include "trainer/advantage.h"
#include "trainer/composer.h"
#include "trainer/kl.h"
#include "trainer/loss.h"
#include "trainer/preference_data.h"
#include "trainer/reference.h"
#include "trainer/selection.h"
#include "trainer/value_options.h"

namespace hone {

enum class StageKind { kSft, kRl, kPreference };

enum class ScheduleShape { kConstant, kLinear, kCosine };

// Learning rate over a stage's optimizer steps: a linear rise over warmup_steps, then `shape` down to final * peak.
struct Schedule {
  ScheduleShape shape = ScheduleShape::kConstant;
  double peak = 0;
  double final_fraction = 0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;

  double At(int64_t step) const;  // step from 0
};

struct Stage {
  StageKind kind = StageKind::kSft;
  std::string name;
  int64_t steps = 0;
  Schedule schedule;
  AdamWOptions adamw;
  double max_grad_norm = 1;
  int64_t microbatch_tokens = 16384;
  bool activation_checkpointing = false;
  kernels::WeightType parameters = kernels::WeightType::kFloat32;
  std::unique_ptr<Loss> loss;
  double entropy_coef = 0;  // times the mean entropy, which the loss rewards

  std::optional<double> noise_scale_decay;  // no value: the gradient noise scale is not measured

  int64_t batch_size = 0;                   // SFT, PREFERENCE
  std::vector<PreferenceLine> preferences;  // PREFERENCE

  int64_t prompts_per_step = 0;  // RL, and all below
  int64_t samples_per_prompt = 0;
  int32_t max_new_tokens = 0;
  float temperature = 1;
  std::unique_ptr<Curriculum> curriculum;
  std::vector<std::unique_ptr<Shaper>> shapers;  // in recipe order
  std::unique_ptr<Gate> gate;                    // null: every group trains
  int64_t max_staleness = 0;                     // steps that a group which a gate kept may wait
  std::unique_ptr<Composer> composer;            // null: the step's groups, as they come
  std::unique_ptr<Advantage> advantage;
  std::optional<PairRule> pairs;       // with a loss over pairs
  std::optional<KeepRule> keep_above;  // with loss sft
  KlOptions kl;
  ReferenceOptions reference;
  ValueModelOptions value_model;
  double beta_prox = 0;  // of the average that is the proximal policy (PPO-EWMA); 0: the policy that sampled is
  int64_t minibatches = 1;
  int64_t epochs = 1;  // passes over a step's groups, each of `minibatches` optimizer steps

  int64_t checkpoint_every = 0;  // 0: only at the stage's end
  int64_t evaluate_every = 0;    // 0: only at the stage's end
  int64_t samples_every = 0;     // RL: steps whose samples are kept; 0: none
};

// Sizes of a new Llama, or the folder of an existing model.
struct ModelSource {
  std::string path;  // empty: a new model of the sizes below
  std::string family;
  std::string tokenizer;  // spec
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t max_position_embeddings = 0;
  double rope_theta = 0;
  bool tie_word_embeddings = true;
  double initializer_std = 0;
  std::optional<LoraOptions> lora;  // with `path`
};

struct EvaluationOptions {
  int64_t prompts = 500;
  int64_t samples = 1;
  float temperature = 1;
  int32_t max_new_tokens = 0;
};

struct RunOptions {
  std::string name;
  std::string recipe_text;  // resolved, as kept in the run
  uint64_t seed = 1;
  int threads = 1;
  ModelSource model;
  std::unique_ptr<Task> task;
  std::unique_ptr<Verifier> verifier;
  double max_no_verdict = 0.05;      // share of an RL step's samples; above it the run stops
  std::unique_ptr<Drafter> drafter;  // of all rollouts and evaluations; null: plain decoding
  bool check_every_draft = false;
  std::vector<Stage> stages;
  EvaluationOptions evaluation;
};

}  // namespace hone
