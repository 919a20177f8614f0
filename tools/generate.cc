// hone generate.
#include <algorithm>
#include <thread>

#include "absl/strings/str_format.h"
#include "engine/checkpoint.h"
#include "engine/generator.h"
#include "rollout/collector.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/progress.h"

namespace hone {
namespace {

struct GenerateOptions {
  std::string model, prompt, prompts, output, drafter;
  std::vector<std::string> stop;
  int64_t n = 1, max_new_tokens = 0, top_k = 0, seed = 0, threads = 0;
  double temperature = 1, top_p = 1;
  bool chat = false, logprobs = false;
};

// The line of one sample; `id` is the prompt's own.
std::string SampleLine(const Json& id, const Prompt& prompt, const Sample& sample, bool logprobs) {
  Json json = {{"id", id},
               {"sample", sample.index},
               {"prompt_tokens", prompt.tokens},
               {"tokens", sample.tokens},
               {"text", sample.text},
               {"finish_reason", sample.finish_reason == FinishReason::kStop ? "stop" : "length"}};
  return logprobs ? LineWithLogprobs(json, sample.logprobs) : Dump(json);
}

// Writes samples in the order of the prompts, each as soon as those before it are done.
class OrderedSamples {
 public:
  OrderedSamples(const GenerateOptions& options, const Tokenizer& tokenizer, const std::vector<Json>& ids,
                 const std::vector<Prompt>& prompts, LineWriter& writer)
      : options_(options),
        tokenizer_(tokenizer),
        ids_(ids),
        prompts_(prompts),
        writer_(writer),
        waiting_(prompts.size() * options.n) {}

  void Receive(size_t request, Sample sample) {
    tokens_ += static_cast<int64_t>(sample.tokens.size());
    const size_t place = request * options_.n + sample.index;
    if (absl::Status status = DecodeSample(tokenizer_, options_.stop, sample); !status.ok()) status_ = status;
    waiting_[place] = SampleLine(ids_[request], prompts_[request], sample, options_.logprobs);
    while (next_ < waiting_.size() && !waiting_[next_].empty()) Write(next_++);
    progress_.Show(absl::StrFormat("%d of %d samples, %d tokens", ++done_, waiting_.size(), tokens_),
                   ProgressLine::Urgency::kWhenDue);
  }

  // What an interrupt left waiting for earlier samples is written too.
  absl::Status Finish() {
    for (; next_ < waiting_.size(); ++next_) {
      if (!waiting_[next_].empty()) Write(next_);
    }
    HONE_RETURN_IF_ERROR(status_);
    return writer_.Close();
  }

 private:
  void Write(size_t place) {
    if (absl::Status status = writer_.Write(waiting_[place]); !status.ok() && status_.ok()) status_ = status;
    waiting_[place].clear();
    waiting_[place].shrink_to_fit();
  }

  const GenerateOptions& options_;
  const Tokenizer& tokenizer_;
  const std::vector<Json>& ids_;
  const std::vector<Prompt>& prompts_;
  LineWriter& writer_;
  std::vector<std::string> waiting_;
  size_t next_ = 0;
  int64_t done_ = 0, tokens_ = 0;
  absl::Status status_;
  ProgressLine progress_;
};

absl::Status ReadPrompts(const GenerateOptions& options, const Tokenizer& tokenizer, std::vector<Json>& ids,
                         std::vector<Prompt>& prompts) {
  std::vector<InputLine> lines;
  if (options.prompts.empty()) {
    lines.push_back({"--prompt", {{"prompt", options.prompt}}});
  } else {
    HONE_ASSIGN_OR_RETURN(lines, ReadLines(options.prompts));
  }
  PromptReader reader(tokenizer, options.model,
                      options.chat ? PromptReader::Texts::kAsUserMessages : PromptReader::Texts::kAsTheyAre);
  for (size_t i = 0; i < lines.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Prompt prompt, reader.Read(lines[i], i));
    prompts.push_back(std::move(prompt));
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

absl::Status RunGenerate(const GenerateOptions& options) {
  if (!options.drafter.empty())
    return InputError("no drafter '", options.drafter, "'; this build decodes without drafts, leave --drafter out");
  ThreadPool pool(options.threads > 0 ? static_cast<int>(options.threads)
                                      : std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(options.model));
  std::vector<Json> ids;
  std::vector<Prompt> prompts;
  HONE_RETURN_IF_ERROR(ReadPrompts(options, *tokenizer, ids, prompts));
  HONE_ASSIGN_OR_RETURN(LineWriter writer, LineWriter::Open(options.output));
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, LoadModel(options.model, &pool));
  GenerationOptions generation;
  generation.max_new_tokens = options.max_new_tokens > 0 ? static_cast<int32_t>(options.max_new_tokens)
                                                         : DefaultNewTokens(prompts, model->config());
  generation.temperature = static_cast<float>(options.temperature);
  generation.top_p = static_cast<float>(options.top_p);
  generation.top_k = static_cast<int32_t>(options.top_k);
  generation.stop = options.stop;
  generation.seed = static_cast<uint64_t>(options.seed);
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : prompts) requests.push_back({&prompt, static_cast<int32_t>(options.n)});
  CatchInterrupts();
  OrderedSamples samples(options, *tokenizer, ids, prompts, writer);
  Generator generator(model.get(), tokenizer.get(), GeneratorLimits{});
  const absl::Status generated = generator.Run(
      requests, generation, [&](size_t request, Sample sample) { samples.Receive(request, std::move(sample)); },
      Interrupted);
  if (!generated.ok() && !absl::IsCancelled(generated)) return generated;
  HONE_RETURN_IF_ERROR(samples.Finish());
  return absl::IsCancelled(generated) ? absl::CancelledError("interrupted; the finished samples were written")
                                      : absl::OkStatus();
}

}  // namespace

int GenerateCommand(int argc, char** argv) {
  GenerateOptions options;
  Arguments arguments("generate", "Samples answers to prompts; one JSON object a sample.");
  arguments.Text("model", "DIR", "model folder", &options.model);
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
  arguments.Int("seed", "of the random numbers", &options.seed, 0);
  arguments.List("stop", "TEXT", "ends an answer", &options.stop);
  arguments.Text("drafter", "SPEC", "speculative decoding", &options.drafter);
  arguments.Flag("logprobs", "adds the log-probability of every token", &options.logprobs);
  arguments.Text("output", "FILE", "instead of standard output", &options.output);
  arguments.Int("threads", "0 takes the machine's cores", &options.threads, 0, 1024);
  arguments.Require("model");
  arguments.ExactlyOne({"prompt", "prompts"});
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunGenerate(options));
}

}  // namespace hone
