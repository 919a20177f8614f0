// What `hone generate` gives: JSON lines in the order of the prompts, or for a person at a terminal the text as it is
// drawn.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "tools/lines.h"

namespace hone {

// Calls come from one thread: Token and Sample as the generator gives them, Tick once a pass, Finish at the end in any
// case.
class GenerateOutput {
 public:
  virtual ~GenerateOutput() = default;
  virtual void Receive(size_t request, TokenId token) = 0;
  virtual void Receive(size_t request, Sample sample) = 0;
  // Shows progress where somebody may look at it.
  virtual void Tick() = 0;
  // Not OK once something could not be written: there is no use in going on.
  virtual const absl::Status& status() const = 0;
  // Writes what is left; what was finished before an interrupt is whole.
  virtual absl::Status Finish() = 0;
};

// The prompts of a call and how their samples are written.
struct GenerateJob {
  std::vector<Json> ids;  // one per prompt
  std::vector<Prompt> prompts;
  int32_t n = 1;
  int32_t max_new_tokens = 1;
  std::vector<std::string> stop;
  bool logprobs = false;
};

// Both refer to `job`, `tokenizer` and `writer`.
std::unique_ptr<GenerateOutput> NewJsonOutput(const GenerateJob& job, const Tokenizer& tokenizer, LineWriter& writer);
// One sample of one prompt, to standard output.
std::unique_ptr<GenerateOutput> NewTextOutput(const GenerateJob& job, const Tokenizer& tokenizer);

}  // namespace hone
