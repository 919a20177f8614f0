// hone distill: a draft model for speculative decoding, from the model's own answers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "absl/strings/str_format.h"
#include "engine/base/file.h"
#include "engine/base/random.h"
#include "engine/generator.h"
#include "engine/model_config.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/lines.h"
#include "tools/model_options.h"
#include "tools/progress.h"
#include "trainer/distiller.h"
#include "trainer/student.h"

namespace hone {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBatchAnswers = 16;
// One answer in so many, and at least one, is kept out of the training.
constexpr size_t kHeldOutShare = 20;
// A microbatch of full products that still holds few logits.
constexpr int64_t kMicrobatchTokens = 512;
// Most of the work of a step is the teacher's, which is the same in every round; a narrow model's states of a million tokens fit.
constexpr int64_t kKeptTeacherBytes = int64_t{2} << 30;

struct Options {
  ModelOptions model;
  std::string prompts, output;
  int64_t layers = 2, steps = 200, samples = 1, max_new_tokens = 0, head_tokens = 8192, seed = 0;
  double temperature = 1, learning_rate = DistillOptions{}.learning_rate;
  bool chat = false;
};

// By prompt, then by sample; the last ones are held out.
struct Answers {
  std::vector<Prompt> prompts;
  struct Answer {
    size_t prompt;
    std::vector<TokenId> tokens;
  };
  std::vector<Answer> all;
  size_t trained = 0;

  TrainGroup Group(size_t index) const {
    return {&prompts[all[index].prompt].tokens, {{.tokens = &all[index].tokens, .weight = 1}}};
  }
};

// What the loop did.
struct Outcome {
  int64_t steps = 0, tokens = 0;
  DistillStats last;
  double held_out_agreement = 0;
};

// Indices below `count` for ever, each once a round, every round in an order of its own.
class Rounds {
 public:
  Rounds(uint64_t seed, size_t count) : seed_(seed), order_(count), next_(count) {}

  size_t Next() {
    if (next_ == order_.size()) Shuffle();
    return order_[next_++];
  }

 private:
  void Shuffle() {
    RandomSequence random(seed_, RandomStream::kOrder, round_++);
    std::iota(order_.begin(), order_.end(), 0);
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.Below(static_cast<uint32_t>(i))]);
    next_ = 0;
  }

  uint64_t seed_, round_ = 0;
  std::vector<size_t> order_;
  size_t next_;
};

absl::Status ReadPrompts(const Options& options, const Tokenizer& tokenizer, std::vector<Prompt>& prompts) {
  HONE_ASSIGN_OR_RETURN(const std::vector<InputLine> lines, ReadLines(options.prompts));
  PromptEncoder encoder(&tokenizer, options.model.model,
                        options.chat ? PromptEncoder::Texts::kAsUserMessages : PromptEncoder::Texts::kAsTheyAre);
  HONE_ASSIGN_OR_RETURN(prompts, EncodePrompts(lines, encoder));
  if (prompts.size() * static_cast<size_t>(options.samples) >= 2) return absl::OkStatus();
  return InputError(options.prompts, ": gives one answer; wanted at least two, one of them to measure with");
}

GenerationOptions ForAnswers(const Options& options, const ModelConfig& config, const std::vector<Prompt>& prompts) {
  size_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  const int64_t room = config.max_position_embeddings - static_cast<int64_t>(longest);
  GenerationOptions generation;
  generation.max_new_tokens =
      static_cast<int32_t>(options.max_new_tokens > 0 ? options.max_new_tokens : std::clamp<int64_t>(room, 1, 128));
  generation.temperature = static_cast<float>(options.temperature);
  generation.seed = static_cast<uint64_t>(options.seed);
  return generation;
}

absl::Status Answer(const Options& options, const Model& model, ProgressLine& progress, Answers& answers) {
  const auto samples = static_cast<size_t>(options.samples);
  std::vector<GenerationRequest> requests;
  for (const Prompt& prompt : answers.prompts) requests.push_back({&prompt, static_cast<int32_t>(samples)});
  answers.all.resize(requests.size() * samples);
  answers.trained = answers.all.size() - (answers.all.size() + kHeldOutShare - 1) / kHeldOutShare;
  size_t done = 0;
  Generator generator(&model, /*tokenizer=*/nullptr, GeneratorLimits{});
  const absl::Status status = generator.Run(
      requests, ForAnswers(options, model.config(), answers.prompts),
      [&](size_t request, Sample sample) {
        answers.all[request * samples + static_cast<size_t>(sample.index)] = {request, std::move(sample.tokens)};
        progress.Show(absl::StrFormat("%d of %d answers", ++done, answers.all.size()), ProgressLine::Urgency::kWhenDue);
      },
      Interrupted);
  return absl::IsCancelled(status) ? absl::CancelledError("interrupted before the first step; nothing was written")
                                   : status;
}

// The `count` tokens that prompts and answers to learn from have most often, most frequent first; among equals, and where
// they have fewer, by id.
std::vector<TokenId> FrequentTokens(const Answers& answers, int32_t vocabulary_size, int64_t count) {
  std::vector<int64_t> uses(vocabulary_size);
  for (const Prompt& prompt : answers.prompts) {
    for (const TokenId token : prompt.tokens) ++uses[token];
  }
  for (size_t i = 0; i < answers.trained; ++i) {
    for (const TokenId token : answers.all[i].tokens) ++uses[token];
  }
  std::vector<TokenId> tokens(vocabulary_size);
  std::iota(tokens.begin(), tokens.end(), 0);
  std::stable_sort(tokens.begin(), tokens.end(), [&](TokenId a, TokenId b) { return uses[a] > uses[b]; });
  tokens.resize(std::min<int64_t>(count, vocabulary_size));
  return tokens;
}

// The learning rate falls to 0 in a straight line.
Outcome Distil(const Options& options, const Answers& answers, ProgressLine& progress, Distiller& distiller) {
  Rounds rounds(static_cast<uint64_t>(options.seed), answers.trained);
  Outcome outcome;
  const auto begin = Clock::now();
  while (outcome.steps < options.steps && !Interrupted()) {
    std::vector<TrainGroup> batch;
    for (size_t i = 0; i < std::min(kBatchAnswers, answers.trained); ++i) batch.push_back(answers.Group(rounds.Next()));
    const auto total = static_cast<double>(options.steps);
    distiller.set_learning_rate(options.learning_rate * (1 - static_cast<double>(outcome.steps) / total));
    outcome.last = distiller.Update(batch);
    outcome.tokens += outcome.last.tokens;
    ++outcome.steps;
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto done = static_cast<double>(outcome.steps);
    progress.Show(absl::StrFormat("step %d/%d  loss %.3f  agreement %.1f%%  %s gone, %s to go", outcome.steps,
                                  options.steps, outcome.last.loss, 100 * outcome.last.agreement, ClockText(elapsed_s),
                                  ClockText(elapsed_s / done * (total - done))),
                  outcome.steps == options.steps ? ProgressLine::Urgency::kNow : ProgressLine::Urgency::kWhenDue);
  }
  std::vector<TrainGroup> held_out;
  for (size_t i = answers.trained; i < answers.all.size(); ++i) held_out.push_back(answers.Group(i));
  outcome.held_out_agreement = distiller.Measure(held_out).agreement;
  return outcome;
}

// The draft is stored as the model's matrices are: half the bytes are read in half the time.
absl::Status Write(const Model& student, const Tokenizer& tokenizer, kernels::WeightType type,
                   const std::vector<TokenId>& head_tokens, FolderWriter& writer) {
  HONE_RETURN_IF_ERROR(
      SaveModel(student, tokenizer, writer.path(),
                type == kernels::WeightType::kFloat32 ? StorageType::kFloat32 : StorageType::kBfloat16));
  HONE_RETURN_IF_ERROR(WriteFile(writer.path() + "/draft_tokens.json", Dump(Json(head_tokens)) + "\n"));
  return writer.Commit();
}

absl::Status RunDistill(const Options& options) {
  const auto begin = Clock::now();
  HONE_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(options.model.model));
  const absl::Status layers = CheckStudentLayers(options.layers, config.layers);
  if (!layers.ok()) return InputError("--layers: ", layers.message());
  if (std::filesystem::exists(options.output))
    return InputError(options.output, ": exists already; --output wants a new folder");
  ThreadPool pool(options.model.ThreadCount());
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(options.model.model));
  Answers answers;
  HONE_RETURN_IF_ERROR(ReadPrompts(options, *tokenizer, answers.prompts));
  auto writer = FolderWriter::Begin(options.output);
  if (!writer.ok()) return InputError(writer.status().message(), "; choose another --output");
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load(&pool));
  CatchInterrupts();
  ProgressLine progress;
  HONE_RETURN_IF_ERROR(Answer(options, *model, progress, answers));

  const std::vector<TokenId> head_tokens = FrequentTokens(answers, model->config().vocab_size, options.head_tokens);
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> student,
                        NewStudent(*model, static_cast<int32_t>(options.layers), &pool));
  Distiller distiller(
      student.get(), model.get(),
      {.microbatch_tokens = kMicrobatchTokens, .head_tokens = head_tokens, .kept_teacher_bytes = kKeptTeacherBytes});
  const Outcome outcome = Distil(options, answers, progress, distiller);
  if (outcome.steps == 0) return absl::CancelledError("interrupted before the first step; nothing was written");
  HONE_RETURN_IF_ERROR(Write(*student, *tokenizer, model->config().weight_type, head_tokens, *writer));
  progress.Clear();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf("%s\n", Dump({{"steps", outcome.steps},
                            {"loss", outcome.last.loss},
                            {"agreement", outcome.last.agreement},
                            {"held_out_agreement", outcome.held_out_agreement},
                            {"tokens", outcome.tokens},
                            {"seconds", seconds}})
                          .c_str());
  if (outcome.steps == options.steps) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat("interrupted after ", outcome.steps, " steps; ", options.output,
                                           " holds the draft model as far as it came"));
}

}  // namespace

int DistillCommand(int argc, char** argv) {
  Options options;
  Arguments arguments(
      "distill",
      "Trains a small draft model for speculative decoding on the model's own answers; the last line is "
      "one JSON object.");
  DeclareModelOptions(arguments, &options.model);
  arguments.Text("prompts", "FILE", "prompts, one JSON object a line with 'prompt', 'messages' or 'tokens'",
                 &options.prompts);
  arguments.Text("output", "DIR", "a new folder", &options.output);
  arguments.Int("layers", "of the draft model, fewer than the model's", &options.layers, 1, 1 << 12);
  arguments.Int("steps", "of the optimizer, on 16 answers each", &options.steps, 1, 1 << 24);
  arguments.Double("learning_rate", "at the first step; falls to 0", &options.learning_rate, 0, 1);
  arguments.Int("head_tokens", "tokens that a draft may hold, the most frequent ones", &options.head_tokens, 1,
                1 << 24);
  arguments.Int("samples", "answers to each prompt", &options.samples, 1, 1 << 20);
  arguments.Int("max_new_tokens", "longest answer; if not given, what the model's positions allow, at most 128",
                &options.max_new_tokens, 1, 1 << 20);
  arguments.Double("temperature", "of the answers; 0 takes the likeliest token", &options.temperature, 0, 100);
  arguments.Flag("chat", "puts prompts through the model's chat template, as messages of a user", &options.chat);
  arguments.Int("seed", "of the random numbers", &options.seed, 0);
  arguments.Require("prompts");
  arguments.Require("output");
  if (const auto exit_status = arguments.Parse(argc, argv)) return *exit_status;
  return Report(RunDistill(options));
}

}  // namespace hone
