// Pairs to learn from, a line of JSON each:
//
//   {"prompt": "What is 2 + 3?", "chosen": "5", "rejected": "6"}
//   {"messages": [{"role": "user", "content": "2 + 3?"}], "chosen": "5", "rejected": "6"}
//   {"tokens": [1, 27, 4], "chosen": [9, 2], "rejected": [10, 2]}
//
// Prompts are those of engine/base/prompt_line.h. An answer that is a text gets the end token behind it; tokens are taken as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"
#include "engine/prompt_encoder.h"
#include "engine/tokenizer.h"
#include "trainer/batch.h"

namespace hone {

// A text, or tokens.
struct GivenAnswer {
  std::string text;
  std::vector<TokenId> tokens;

  bool operator==(const GivenAnswer&) const = default;
};

struct PreferenceLine {
  Prompt prompt;  // as it was given, with its place in the file
  GivenAnswer chosen, rejected;
};

// Input errors name the line: no JSON object, no prompt, an answer that is missing or empty, answers that are equal.
absl::StatusOr<std::vector<PreferenceLine>> ReadPreferences(const std::string& path);

// The lines as tokens, and the order in which a stage takes them.
class PreferenceData {
 public:
  // Input errors name the line: answers without tokens, of the same ones or of some that the model lacks, and what does not fit into `max_positions`.
  static absl::StatusOr<PreferenceData> Encode(const std::vector<PreferenceLine>& lines, int64_t max_positions,
                                               PromptEncoder& encoder);

  // The groups, of one prompt and two answers each, better one first, of a step that begins at pair `first` of the stage. Each pass over the
  // data has its own order, a function of seed and pass; a batch may span two. Pointers lead into this.
  std::vector<TrainGroup> Batch(int64_t first, int64_t count, uint64_t seed);

 private:
  struct Pair {
    std::vector<TokenId> prompt, chosen, rejected;
  };

  static absl::StatusOr<Pair> EncodePair(std::vector<TokenId> prompt, const PreferenceLine& line, int64_t max_positions,
                                         PromptEncoder& encoder);

  std::vector<Pair> pairs_;
  std::vector<size_t> order_;  // of pass_
  int64_t pass_ = -1;
};

}  // namespace hone
