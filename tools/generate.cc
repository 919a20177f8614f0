// hone generate.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_format.h"
#include "engine/generator.h"
#include "recipes/build.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/generate_output.h"
#include "tools/lines.h"
#include "tools/model_options.h"
#include "tools/progress.h"

namespace hone {
namespace {

// More samples in flight make nothing faster, as products are at full speed, but let the first wait longer and hold
// more pages.
constexpr int64_t kDefaultBatch = 256;
constexpr double kMegabyte = 1 << 20;

struct GenerateOptions {
  ModelOptions model;
  std::string prompt, prompts, output, drafter = "none";
  std::vector<std::string> stop;
  int64_t n = 1, max_new_tokens = 0, top_k = 0, seed = 0, threads = 0, batch = kDefaultBatch;
  double temperature = 1, top_p = 1, min_p = 0, kv_mb = 0;
  bool chat = false, logprobs = false, stats = false, check_every_draft = false;
};

absl::Status ReadPrompts(const GenerateOptions& options, const Tokenizer& tokenizer, std::vector<Json>& ids,
                         std::vector<Prompt>& prompts) {
  std::vector<InputLine> lines;
  if (options.prompts.empty()) {
    lines.push_back({"--prompt", {{"prompt", options.prompt}}});
  } else {
    HONE_ASSIGN_OR_RETURN(lines, ReadLines(options.prompts));
  }
  PromptEncoder encoder(&tokenizer, options.model.model,
                        options.chat ? PromptEncoder::Texts::kAsUserMessages : PromptEncoder::Texts::kAsTheyAre);
  HONE_ASSIGN_OR_RETURN(prompts, EncodePrompts(lines, encoder));
  for (size_t i = 0; i < lines.size(); ++i) {
    ids.push_back(lines[i].json.contains("id") ? lines[i].json["id"] : Json(i));
  }
  return absl::OkStatus();
}

int32_t DefaultNewTokens(const std::vector<Prompt>& prompts, const ModelConfig& config) {
  size_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  return static_cast<int32_t>(
      std::clamp<int64_t>(config.max_position_embeddings - static_cast<int64_t>(longest), 1, 256));
}

// A person looks on, and there is one text to look at.
bool StreamsText(const GenerateOptions& options) {
  return isatty(STDOUT_FILENO) != 0 && options.output.empty() && options.prompts.empty() && options.n == 1 &&
         !options.logprobs;
}

// Half of the memory that is free now, so that the machine stays usable. What the samples cannot use is never touched.
int64_t DefaultKvBytes() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (int64_t kilobytes; file >> name >> kilobytes; std::getline(file, unit)) {
    if (name == "MemAvailable:") return kilobytes * 1024 / 2;
  }
  return GeneratorLimits{}.kv_bytes;
}

void PrintStats(const GenerationStats& stats, double seconds) {
  std::fprintf(stderr, "%s\n",
               absl::StrFormat("%d passes, %d rows, %d tokens drawn, %d tokens shared, %d preemptions, %.3f s",
                               stats.passes, stats.rows, stats.tokens, stats.shared_tokens, stats.preemptions, seconds)
                   .c_str());
  const SpeculationStats& drafts = stats.speculation;
  if (drafts.passes == 0) return;
  std::fprintf(
      stderr, "%s\n",
      absl::StrFormat("%d passes with drafts: %d of %d drafted tokens accepted; %.3f s drafting, about %.3f s saved",
                      drafts.passes, drafts.accepted, drafts.drafted, drafts.propose_s, drafts.saved_s)
          .c_str());
}

absl::Status Generate(const GenerateOptions& options, const GenerateJob& job, const Model& model,
                      const Tokenizer& tokenizer, Drafter* drafter, GenerateOutput& output) {
  GenerationOptions generation;
  generation.max_new_tokens = job.max_new_tokens;
  generation.temperature = static_cast<float>(options.temperature);
  generation.top_p = static_cast<float>(options.top_p);
  generation.top_k = static_cast<int32_t>(options.top_k);
  generation.min_p = static_cast<float>(options.min_p);
  generation.stop = options.stop;
  generation.seed = static_cast<uint64_t>(options.seed);
  GeneratorLimits limits;
  limits.sequences = static_cast<int32_t>(options.batch);
  limits.kv_bytes = options.kv_mb > 0 ? static_cast<int64_t>(options.kv_mb * kMegabyte) : DefaultKvBytes();
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : job.prompts) requests.push_back({&prompt, job.n});
  const auto cancelled = [&] {
    output.Tick();
    return Interrupted() || !output.status().ok();
  };
  Generator generator(&model, &tokenizer, limits);
  HONE_RETURN_IF_ERROR(generator.UseDrafter(drafter));
  if (options.check_every_draft && drafter != nullptr) generator.CheckEveryDraft();
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const absl::Status status = generator.Run(
      requests, generation, [&](size_t request, Sample sample) { output.Receive(request, std::move(sample)); },
      cancelled, [&](size_t request, int32_t, TokenId token) { output.Receive(request, token); });
  if (drafter != nullptr) {
    if (const std::string warning = drafter->TakeWarning(); !warning.empty())
      std::fprintf(stderr, "%s\n", warning.c_str());
  }
  if (options.stats) PrintStats(generator.stats(), std::chrono::duration<double>(Clock::now() - start).count());
  return status;
}

absl::Status RunGenerate(const GenerateOptions& options) {
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Drafter> drafter, BuildDrafter(options.drafter));
  ThreadPool pool(options.model.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(options.model.model));
  std::vector<Json> ids;
  std::vector<Prompt> prompts;
  HONE_RETURN_IF_ERROR(ReadPrompts(options, *tokenizer, ids, prompts));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(options.output));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load(&pool));
  GenerateJob job{std::move(ids), std::move(prompts), static_cast<int32_t>(options.n), 0,
                  options.stop,   options.logprobs};
  job.max_new_tokens = options.max_new_tokens > 0 ? static_cast<int32_t>(options.max_new_tokens)
                                                  : DefaultNewTokens(job.prompts, model->config());
  CatchInterrupts();
  const std::unique_ptr<GenerateOutput> output =
      StreamsText(options) ? NewTextOutput(job, *tokenizer) : NewJsonOutput(job, *tokenizer, writer);
  const absl::Status generated = Generate(options, job, *model, *tokenizer, drafter.get(), *output);
  if (!generated.ok() && !absl::IsCancelled(generated)) return generated;
  HONE_RETURN_IF_ERROR(output->Finish());
  return absl::IsCancelled(generated) ? absl::CancelledError("interrupted; the finished samples were written")
                                      : absl::OkStatus();
}

}  // namespace

int GenerateCommand(int argc, char** argv) {
  GenerateOptions options;
  Arguments arguments("generate", "Samples answers to prompts; one JSON object a sample.");
  DeclareModelOptions(arguments, &options.model);
  arguments.Text("prompt", "TEXT", "one prompt", &options.prompt);
  arguments.Text("prompts", "FILE", "prompts, one JSON object a line with 'prompt', 'messages' or 'tokens'",
                 &options.prompts);
  arguments.Flag("chat", "puts prompts through the model's chat template, as messages of a user", &options.chat);
  arguments.Int("n", "samples for each prompt", &options.n, 1, 1 << 20);
  arguments.Int("max_new_tokens", "longest answer; if not given, what the model's positions allow, at most 256",
                &options.max_new_tokens, 1, 1 << 20);
  arguments.Double("temperature", "0 takes the likeliest token", &options.temperature, 0, 100);
  arguments.Double("top_p", "keeps the likeliest tokens up to this probability", &options.top_p, 1e-6, 1);
  arguments.Int("top_k", "keeps the k likeliest tokens; 0 keeps all", &options.top_k, 0, 1 << 30);
  arguments.Double("min_p", "keeps tokens with this share of the likeliest one's probability", &options.min_p, 0, 1);
  arguments.Int("seed", "of the random numbers", &options.seed, 0);
  arguments.List("stop", "TEXT", "ends an answer", &options.stop);
  arguments.Text("drafter", "SPEC",
                 "speculative decoding, which changes speed and no token: auto, history, ngram, draft_model(path=DIR); "
                 "hone list drafter",
                 &options.drafter);
  arguments.Flag("check_every_draft",
                 "checks all drafted tokens, whether it pays or not: to see what a drafter is worth",
                 &options.check_every_draft);
  arguments.Flag("logprobs", "adds the log-probability of every token", &options.logprobs);
  arguments.Text("output", "FILE", "instead of standard output", &options.output);
  arguments.Int("batch", "most samples in flight", &options.batch, 1, 1 << 16);
  arguments.Double("kv_mb", "megabytes (2^20 bytes) for keys and values; if not given, half of the free memory",
                   &options.kv_mb, 1e-3, 1 << 24);
  arguments.Flag("stats", "says on standard error what the generator did", &options.stats);
  arguments.ExactlyOne({"prompt", "prompts"});
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunGenerate(options));
}

}  // namespace hone
