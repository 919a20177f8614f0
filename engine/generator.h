// Batched generation: continuous batching over paged keys and values. A prompt is read once and its pages serve all of
// its samples; prompts that begin alike share pages; a finished sample's place is taken at the next step; when memory
// runs out the youngest samples wait and are computed again. A sample's tokens and log-probabilities are a function of
// the model, the prompt and its SamplingKey alone: not of the batch, the order, the memory budget or the threads.
//
//   scheduler.h   who takes part in the next pass          sampler.h      hidden states to tokens
//   page_pool.h   who uses which page                      kv_cache.h     the pages' memory
//   drafter.h     tokens that a pass may check             speculation.h  how many it checks
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/speculation.h"

namespace hone {

struct GenerationOptions {
  int32_t max_new_tokens = 256;
  float temperature = 1;           // 0 is greedy
  float top_p = 1;                 // filters: kernels/logprob.h
  int32_t top_k = 0;               // 0 keeps all
  float min_p = 0;                 // 0 keeps all
  std::vector<std::string> stop;   // texts that end an answer; the sample's text ends before them
  bool ignore_end_tokens = false;  // every answer gets max_new_tokens tokens: for timings
  uint64_t seed = 0;
  uint64_t step = 0;  // keys the random numbers: the training step, 0 outside training
  PolicyVersion policy_version = 0;
};

// `samples` answers to one prompt. The prompt outlives the call.
struct GenerationRequest {
  const Prompt* prompt;
  int32_t samples;
  std::optional<float> temperature = std::nullopt;       // where it is not the options'
  std::optional<int32_t> max_new_tokens = std::nullopt;  // likewise
  int32_t first_sample = 0;  // their Sample::index begins here: more samples of a prompt are other samples
};

struct GeneratorLimits {
  int64_t kv_bytes = int64_t{1} << 30;  // memory for keys and values; touched only as it is needed
  int32_t sequences = 1024;             // samples in flight
  // Tokens in one pass through the model. A product is at its full speed from some hundred rows on, and what a pass
  // holds grows with its rows; wide models take fewer (generator.cc).
  int32_t rows = 1024;
};

// What one Run did.
struct GenerationStats {
  int64_t passes = 0;         // through the model
  int64_t rows = 0;           // tokens that went through the model
  int64_t tokens = 0;         // tokens drawn, those of samples that a cancellation ended included
  int64_t shared_tokens = 0;  // tokens whose pages were found instead of computed: common beginnings, resumed samples
  int64_t preemptions = 0;
  SpeculationStats speculation;

  void Add(const GenerationStats& more) {
    passes += more.passes;
    rows += more.rows;
    tokens += more.tokens;
    shared_tokens += more.shared_tokens;
    preemptions += more.preemptions;
    speculation.Add(more.speculation);
  }
};

// Receives a finished sample, without text, on the calling thread as soon as it ends.
using SampleReceiver = std::function<void(size_t request, Sample sample)>;
// Receives every token as it is drawn, each sample's in order, before the sample itself.
using TokenReceiver = std::function<void(size_t request, int32_t sample, TokenId token)>;

// Not thread-safe. The model may change between calls, not during one: pages and prefixes live for one call.
class Generator {
 public:
  // `tokenizer` may be null when no stop texts are used.
  Generator(const Model* model, const Tokenizer* tokenizer, GeneratorLimits limits);

  // Speculative decoding from the next Run on, or plain decoding for null. What was measured of the machine and of acceptance stays from Run to Run. The
  // drafter outlives the Generator. Errors: a drafter that does not fit the model.
  absl::Status UseDrafter(Drafter* drafter);
  // Checks all that the drafter proposes, whether it pays or not, to see what a drafter is worth.
  void CheckEveryDraft() { planner_->CheckEveryDraft(); }

  // Generates for all requests. Input errors (before the first token): no tokens wanted, an empty stop text, an empty
  // prompt, a prompt with tokens outside the vocabulary, more tokens than the model's positions, or one sequence larger
  // than kv_bytes. When cancelled() is true the call returns Cancelled within a pass; samples received until then are
  // whole.
  absl::Status Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                   const SampleReceiver& receive, const std::function<bool()>& cancelled = nullptr,
                   const TokenReceiver& receive_token = nullptr);

  // Of the last Run.
  const GenerationStats& stats() const { return stats_; }

 private:
  const Model* model_;
  const Tokenizer* tokenizer_;
  GeneratorLimits limits_;
  GenerationStats stats_;
  Drafter* drafter_ = nullptr;
  std::unique_ptr<SpeculationPlanner> planner_;
};

}  // namespace hone
