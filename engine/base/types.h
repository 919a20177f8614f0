// The nouns of the engine: Prompt -> Sample -> Group -> Batch -> PolicyVersion.
// Plain values; each field names its one writer. Nothing here knows about tensors, files or threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hone {

using TokenId = int32_t;

// Counts optimizer steps since the run began. A sample is on-policy when its version equals the learner's.
using PolicyVersion = int64_t;

// A question. `key` names it for ever: random streams, curricula and replay refer to a prompt by its key. The Task (or the reader of a
// prompt file) gives it as a text, a conversation or tokens; the PromptEncoder makes the text of the other two, and the tokens.
struct Prompt {
  uint64_t key = 0;             // Written by the Task (or by the reader of a prompt file: the line's index).
  std::string text;             // What verifiers and people see.
  std::string conversation;     // Written by the Task; a JSON object that a chat template renders, or empty.
  std::vector<TokenId> tokens;  // What the model reads, with the begin-of-sequence token.
  std::string answer;           // Written by the Task; empty when the verifier needs none.
  std::string metadata;         // Written by the Task; a JSON object, or empty.
  std::string where;            // Written by the Task: "FILE:LINE" for messages, or empty.
};

enum class FinishReason {
  kStop,    // the model ended its answer (end-of-sequence token or a stop text)
  kLength,  // the token budget ended it
};

// A sample is correct when the verifier's score is at least this.
inline constexpr double kCorrectScore = 1;

// What a verifier says. No score means "no verdict": the sample then trains nothing and counts in no statistic.
struct Verdict {
  std::optional<double> score;
  std::string reason;                                 // why this score, or why no verdict; one line
  std::vector<std::pair<std::string, double>> parts;  // named components of the score, each a metric
};

// One rollout: what the policy answered to a prompt.
struct Sample {
  int32_t index = 0;                                 // Written by the Generator: 0 .. n-1 within its group.
  std::vector<TokenId> tokens;                       // Written by the Generator; ends with end-of-sequence if sampled.
  std::vector<float> logprobs;                       // Written by the Generator; one per token, temperature 1, nats.
  FinishReason finish_reason = FinishReason::kStop;  // Written by the Generator.
  PolicyVersion policy_version = 0;                  // Written by the Generator.
  std::string text;                                  // Written by the Collector: the decoded tokens.
  Verdict verdict;                                   // Written by the Verifier.
  double shaping = 0;                                // Written by each Shaper, in recipe order; added to the score.
  std::vector<float> reference;                      // Written by the ReferencePolicy; log-probabilities, or empty.
  std::vector<float> penalties;   // Written by the KlPenalty; subtracted from tokens' rewards, or empty.
  std::vector<float> values;      // Written by the ValueModel; one per token, or empty.
  std::vector<float> advantages;  // Written by the Advantage; one per token, 0 without a verdict.
  std::vector<float> returns;     // Written by the Advantage; what values should have been, or empty.

  // What training is about: the score as shaped. No value without a verdict.
  std::optional<double> reward() const {
    return verdict.score ? std::optional(*verdict.score + shaping) : std::nullopt;
  }
};

// All samples of one prompt from one step.
struct Group {
  Prompt prompt;
  std::vector<Sample> samples;
  int64_t step = 0;  // Written by the Collector: the training step that sampled it.
  // Written by the Collector where an estimator compares with it: the answer at temperature 0. It trains nothing itself.
  std::optional<Sample> greedy = std::nullopt;
};

}  // namespace hone
