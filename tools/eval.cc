// hone eval: pass@k, majority vote and lengths on a task's held-out prompts.
#include <algorithm>
#include <cstdio>

#include "engine/prompt_encoder.h"
#include "recipes/build.h"
#include "rollout/collector.h"
#include "rollout/evaluation.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/model_options.h"
#include "tools/progress.h"

namespace hone {
namespace {

struct EvalOptions {
  ModelOptions model;
  std::string task, verifier, output, split = "held_out";
  int64_t n = 1, limit = 500, max_new_tokens = 0, seed = 0;
  std::vector<int64_t> ks = {1};
  double temperature = 1;
};

absl::Status WriteSamples(const std::vector<Group>& groups, LineWriter& writer) {
  for (const Group& group : groups) {
    for (const Sample& sample : group.samples) {
      const Json score = sample.verdict.score ? Json(*sample.verdict.score) : Json(nullptr);
      HONE_RETURN_IF_ERROR(writer.Write(Dump({{"id", group.prompt.key},
                                              {"sample", sample.index},
                                              {"prompt", group.prompt.text},
                                              {"completion", sample.text},
                                              {"prompt_tokens", group.prompt.tokens},
                                              {"tokens", sample.tokens},
                                              {"logprobs", sample.logprobs},
                                              {"score", score},
                                              {"reason", sample.verdict.reason}})));
    }
  }
  return writer.Close();
}

absl::Status RunEval(const EvalOptions& options) {
  for (const int64_t k : options.ks) {
    if (k > options.n) return InputError("--k ", k, " needs at least that many samples, --n is ", options.n);
  }
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Task> task, BuildTask(options.task));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Verifier> verifier,
                        BuildVerifier(options.verifier.empty() ? task->DefaultVerifier() : options.verifier));
  ThreadPool pool(options.model.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(options.model.model));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load(&pool));
  const Split split = options.split == "train" ? Split::kTrain : Split::kHeldOut;
  const auto size = task->Size(split);
  const uint64_t count = std::min<uint64_t>(options.limit, size.value_or(options.limit));
  PromptEncoder encoder(tokenizer.get(), options.model.model);
  std::vector<Prompt> prompts;
  int64_t longest = 0;
  for (uint64_t index = 0; index < count; ++index) {
    prompts.push_back(task->At(split, index));
    HONE_RETURN_IF_ERROR(encoder.Encode(prompts.back()));
    longest = std::max<int64_t>(longest, static_cast<int64_t>(prompts.back().tokens.size()));
  }
  std::unique_ptr<LineWriter> writer;
  if (!options.output.empty()) {
    HONE_ASSIGN_OR_RETURN(LineWriter opened, LineWriter::Open(options.output));
    writer = std::make_unique<LineWriter>(std::move(opened));
  }
  GenerationOptions generation;
  // An answer as long as the model can read, up to the default of `generate`.
  const int64_t room = model->config().max_position_embeddings - longest;
  generation.max_new_tokens =
      static_cast<int32_t>(options.max_new_tokens > 0 ? options.max_new_tokens : std::clamp<int64_t>(room, 1, 256));
  generation.temperature = static_cast<float>(options.temperature);
  generation.seed = static_cast<uint64_t>(options.seed);
  Generator generator(model.get(), tokenizer.get(), GeneratorLimits{});
  const Collector collector(tokenizer.get(), verifier.get(), &generator);
  CatchInterrupts();
  HONE_ASSIGN_OR_RETURN(const Rollout rollout, collector.Collect(std::move(prompts), static_cast<int32_t>(options.n),
                                                                 generation, Interrupted));
  if (writer != nullptr) HONE_RETURN_IF_ERROR(WriteSamples(rollout.groups, *writer));
  Metrics metrics;
  Evaluate(rollout.groups, options.ks).AddTo(metrics, "");
  std::printf("%s\n", metrics.ToJson().c_str());
  return absl::OkStatus();
}

}  // namespace

int EvalCommand(int argc, char** argv) {
  EvalOptions options;
  Arguments arguments("eval", "Measures a model on a task's held-out prompts; the last line is one JSON object.");
  DeclareModelOptions(arguments, &options.model);
  arguments.Text("task", "SPEC", "a task of 'hone list task', e.g. \"countdown\"", &options.task);
  arguments.Text("verifier", "SPEC", "instead of the task's own", &options.verifier);
  arguments.Int("n", "samples for each prompt", &options.n, 1, 1 << 16);
  arguments.IntList("k", "the k of pass@k, each at most n", &options.ks, 1, 1 << 16);
  arguments.Double("temperature", "0 takes the likeliest token", &options.temperature, 0, 100);
  arguments.Int("limit", "prompts", &options.limit, 1, 1 << 24);
  arguments.Int("max_new_tokens", "longest answer; if not given, what the model's positions allow, at most 256",
                &options.max_new_tokens, 1, 1 << 20);
  arguments.Int("seed", "of the random numbers", &options.seed, 0);
  arguments.Choice("split", "train: the prompts that training takes, such as for composer replay(path=FILE)",
                   &options.split, {"held_out", "train"});
  arguments.Text("output", "FILE", "every sample with its tokens, log-probabilities and score", &options.output);
  arguments.Require("task");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunEval(options));
}

}  // namespace hone
