// Batched generation: continuous batching over paged keys and values. A prompt is read once and its pages serve all of its
// samples; a finished sample's place is taken at the next step. A sample's tokens are a function of the model, the prompt and
// its SamplingKey alone: not of the batch, the order, the memory budget or the threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

class Model;
class Tokenizer;

struct GenerationOptions {
  int32_t max_new_tokens = 256;
  float temperature = 1;  // 0 is greedy
  float top_p = 1;
  int32_t top_k = 0;               // 0 keeps all
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
};

struct GeneratorLimits {
  int64_t kv_bytes = int64_t{1} << 30;  // memory for keys and values
  int32_t sequences = 1024;             // samples in flight
  int32_t rows = 4096;                  // tokens in one pass through the model
};

// Receives a finished sample, without text, on the calling thread as soon as it ends.
using SampleReceiver = std::function<void(size_t request, Sample sample)>;

// Not thread-safe. The model may change between calls, not during one.
class Generator {
 public:
  // `tokenizer` may be null when no stop texts are used.
  Generator(const Model* model, const Tokenizer* tokenizer, GeneratorLimits limits);

  // Generates for all requests. Input errors (before the first token): an empty prompt, a prompt with tokens outside the
  // vocabulary, more tokens than the model's positions, or one sequence larger than kv_bytes. When cancelled() is true
  // the call returns Cancelled; samples received until then are whole.
  absl::Status Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                   const SampleReceiver& receive, const std::function<bool()>& cancelled = nullptr);

 private:
  const Model* model_;
  const Tokenizer* tokenizer_;
  GeneratorLimits limits_;
};

}  // namespace hone
