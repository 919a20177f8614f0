// hone bench: how fast this machine generates with a model, or trains it, and how far that is from what the machine can do.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"
#include "engine/base/random.h"
#include "engine/generator.h"
#include "kernels/machine_limits.h"
#include "recipes/build.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "trainer/learner.h"

namespace hone {
namespace {

struct BenchOptions {
  ModelOptions model;
  int64_t prompt_tokens = 128, new_tokens = 128, rounds = 3;
  std::vector<int64_t> batches = {1, 8, 32, 64};
  bool train = false;
};

// What the model costs.
struct ModelWork {
  double weight_bytes = 0;         // read once for each pass
  double flops_per_token = 0;      // products with weights
  double flops_per_target = 0;     // those with the head, which training needs only where a token is learnt
  double flops_per_token_key = 0;  // attention, for each key that a token sees
  double bytes_per_key = 0;        // keys and values read for each key that a token sees
};

ModelWork WorkOf(const Model& model) {
  const ModelConfig& config = model.config();
  ModelWork work;
  for (const Parameter& parameter : model.parameters()) {
    work.weight_bytes += static_cast<double>(parameter.value.nbytes());
    if (parameter.layout != WeightLayout::kPacked) continue;
    // An embedding of its own is looked up, not multiplied.
    if (parameter.name == "model.embed_tokens.weight" && !config.tie_word_embeddings) continue;
    work.flops_per_token += 2.0 * static_cast<double>(parameter.shape[0]) * static_cast<double>(parameter.shape[1]);
  }
  work.flops_per_target = 2.0 * config.hidden_size * config.vocab_size;
  work.flops_per_token_key = 4.0 * config.layers * config.heads * config.head_dim;
  work.bytes_per_key = static_cast<double>(config.kv_page_bytes()) / kernels::kPageTokens;
  return work;
}

double Seconds(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int64_t PeakResidentBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// `batch` different prompts of random tokens, so that nothing is shared.
std::vector<Prompt> RandomPrompts(const BenchOptions& options, int64_t batch, int32_t vocab) {
  std::vector<Prompt> prompts(batch);
  for (int64_t i = 0; i < batch; ++i) {
    RandomSequence random(1, RandomStream::kTask, static_cast<uint64_t>(i));
    prompts[i].key = static_cast<uint64_t>(i);
    for (int64_t t = 0; t < options.prompt_tokens; ++t) {
      prompts[i].tokens.push_back(static_cast<TokenId>(random.Below(static_cast<uint32_t>(vocab))));
    }
  }
  return prompts;
}

// Seconds to give each prompt `new_tokens` tokens at temperature 1; end tokens end nothing.
absl::StatusOr<double> TimeGeneration(Generator& generator, const std::vector<Prompt>& prompts, int64_t new_tokens) {
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, 1});
  GenerationOptions options;
  options.max_new_tokens = static_cast<int32_t>(new_tokens);
  options.ignore_end_tokens = true;
  const auto begin = std::chrono::steady_clock::now();
  HONE_RETURN_IF_ERROR(generator.Run(requests, options, [](size_t, Sample) {}));
  return Seconds(begin);
}

struct Measurement {
  double prefill_s = 0, decode_s = 0;
  int64_t peak_rss_bytes = 0;  // of the process so far
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Prefill is a run that stops after the first token; decoding is what a whole run takes beyond it. Medians over rounds.
absl::StatusOr<Measurement> MeasureBatch(Generator& generator, const BenchOptions& options,
                                         const std::vector<Prompt>& prompts) {
  std::vector<double> prefill, whole;
  for (int64_t round = 0; round < options.rounds; ++round) {
    HONE_ASSIGN_OR_RETURN(const double first, TimeGeneration(generator, prompts, 1));
    HONE_ASSIGN_OR_RETURN(const double all, TimeGeneration(generator, prompts, options.new_tokens));
    prefill.push_back(first);
    whole.push_back(all);
  }
  return Measurement{Median(prefill), std::max(1e-9, Median(whole) - Median(prefill)), PeakResidentBytes()};
}

Json Result(const BenchOptions& options, int64_t batch, const Measurement& timing, const ModelWork& work,
            const kernels::MachineLimits& limits) {
  const double count = static_cast<double>(batch), prompt = static_cast<double>(options.prompt_tokens);
  const double steps = static_cast<double>(options.new_tokens - 1), keys = prompt + steps / 2;
  const double decode_flops = count * steps * (work.flops_per_token + keys * work.flops_per_token_key);
  const double decode_bytes = steps * (work.weight_bytes + count * keys * work.bytes_per_key);
  const double prefill_flops = count * prompt * (work.flops_per_token + prompt / 2 * work.flops_per_token_key);
  // The one of the two limits that takes longer binds.
  const double by_flops = decode_flops / limits.flops, by_bytes = decode_bytes / limits.read_bytes_s;
  return {{"batch", batch},
          {"prompt_tokens", options.prompt_tokens},
          {"new_tokens", options.new_tokens},
          {"prefill_tokens_per_s", count * prompt / timing.prefill_s},
          {"decode_tokens_per_s", count * steps / timing.decode_s},
          {"prefill_share_of_flops", prefill_flops / limits.flops / timing.prefill_s},
          {"decode_share_of_limit", std::max(by_flops, by_bytes) / timing.decode_s},
          {"decode_limit", by_flops > by_bytes ? "flops" : "memory bandwidth"},
          {"peak_rss_bytes", timing.peak_rss_bytes},
          {"limit_gflops", limits.flops * 1e-9},
          {"limit_gbytes_per_s", limits.read_bytes_s * 1e-9}};
}

// Seconds of a supervised update on `batch` answers of new_tokens tokens, each to a prompt of its own: forward, loss, backward, AdamW. Median.
absl::StatusOr<double> TimeUpdate(Model& model, const BenchOptions& options, const std::vector<Prompt>& prompts) {
  Stage stage;
  HONE_ASSIGN_OR_RETURN(stage.loss, BuildLoss("sft"));
  HONE_ASSIGN_OR_RETURN(stage.schedule, BuildSchedule("constant", 1e-6, options.rounds + 1));
  Learner learner(&model, stage);
  BenchOptions answer = options;
  answer.prompt_tokens = options.new_tokens;
  const std::vector<Prompt> answers =
      RandomPrompts(answer, static_cast<int64_t>(prompts.size()), model.config().vocab_size);
  std::vector<TrainGroup> groups;
  for (size_t i = 0; i < prompts.size(); ++i) groups.push_back({&prompts[i].tokens, {{&answers[i].tokens}}});
  learner.Update(groups, 0);  // takes memory
  std::vector<double> seconds;
  for (int64_t round = 0; round < options.rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    learner.Update(groups, round + 1);
    seconds.push_back(Seconds(begin));
  }
  return Median(seconds);
}

// The backward pass has twice the products of the forward pass: with respect to weights, and to what went in.
Json TrainingResult(const BenchOptions& options, int64_t batch, double seconds, const ModelWork& work,
                    const kernels::MachineLimits& limits) {
  const auto count = static_cast<double>(batch), answer = static_cast<double>(options.new_tokens);
  const double length = static_cast<double>(options.prompt_tokens) + answer, tokens = count * length;
  const double flops =
      3 * (tokens * (work.flops_per_token - work.flops_per_target + length / 2 * work.flops_per_token_key) +
           count * answer * work.flops_per_target);
  return {{"batch", batch},
          {"prompt_tokens", options.prompt_tokens},
          {"new_tokens", options.new_tokens},
          {"train_tokens_per_s", tokens / seconds},
          {"train_share_of_flops", flops / limits.flops / seconds},
          {"peak_rss_bytes", PeakResidentBytes()},
          {"limit_gflops", limits.flops * 1e-9}};
}

absl::Status RunTrainBench(const BenchOptions& options) {
  ThreadPool pool(options.model.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load(&pool));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(""));
  const ModelWork work = WorkOf(*model);
  for (const int64_t batch : options.batches) {
    const std::vector<Prompt> prompts = RandomPrompts(options, batch, model->config().vocab_size);
    HONE_ASSIGN_OR_RETURN(const double seconds, TimeUpdate(*model, options, prompts));
    const Json result = TrainingResult(options, batch, seconds, work, kernels::MeasureMachineLimits(pool));
    HONE_RETURN_IF_ERROR(writer.Write(Dump(result)));
  }
  return writer.Close();
}

absl::Status RunBench(const BenchOptions& options) {
  ThreadPool pool(options.model.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load(&pool));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(""));
  std::vector<Measurement> measured;
  ProgressLine progress;
  for (const int64_t batch : options.batches) {
    progress.Show(absl::StrFormat("batch %d", batch), ProgressLine::Urgency::kNow);
    GeneratorLimits room;
    room.sequences = static_cast<int32_t>(batch);
    room.kv_bytes =
        batch * (PagesFor(options.prompt_tokens + options.new_tokens) + 1) * model->config().kv_page_bytes();
    Generator generator(model.get(), nullptr, room);
    const std::vector<Prompt> prompts = RandomPrompts(options, batch, model->config().vocab_size);
    HONE_ASSIGN_OR_RETURN(const Measurement result, MeasureBatch(generator, options, prompts));
    measured.push_back(result);
  }
  // Last: their memory is not the model's.
  const kernels::MachineLimits limits = kernels::MeasureMachineLimits(pool);
  const ModelWork work = WorkOf(*model);
  for (size_t i = 0; i < measured.size(); ++i) {
    HONE_RETURN_IF_ERROR(writer.Write(Dump(Result(options, options.batches[i], measured[i], work, limits))));
  }
  return writer.Close();
}

}  // namespace

int BenchCommand(int argc, char** argv) {
  BenchOptions options;
  Arguments arguments("bench", "Times prefill and decoding, or training; one JSON object for each batch size.");
  DeclareModelOptions(arguments, &options.model);
  arguments.IntList("batch", "sequences at a time", &options.batches, 1, 1 << 16);
  arguments.Int("prompt_tokens", "in each prompt", &options.prompt_tokens, 1, 1 << 20);
  arguments.Int("new_tokens", "for each prompt", &options.new_tokens, 2, 1 << 20);
  arguments.Int("rounds", "of each measurement, whose median counts", &options.rounds, 1, 1000);
  arguments.Flag("train", "times updates instead: forward, backward and optimizer", &options.train);
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(options.train ? RunTrainBench(options) : RunBench(options));
}

}  // namespace hone
