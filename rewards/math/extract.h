// Where an answer stands in a text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::math {

struct Extracted {
  std::string text;
  std::string number;  // the first number in it when `text` may hold words around the answer, else empty
  std::string where;   // "the last box", ...
};

// Tried in this order: the last \boxed or \fbox (with those just before it that the text lists with it), what follows the last ####,
// what follows the last "answer is" or "answer:", the last line if it is short, the last formula or number. Text before </think> is
// thought, not answer. nullopt: nothing of that. At most a few passes over the text.
std::optional<Extracted> ExtractAnswer(absl::string_view completion);

// The answer in a gold text: its last box, what follows its last ####, else all of it.
std::string ExtractGold(absl::string_view answer);

// What the last boxes hold, in the order of the text; empty when there is none. A box that never closes is none.
std::vector<absl::string_view> LastBoxes(absl::string_view text);

// What follows the last "answer is", "answer:" or the like, up to the end of its line; nullopt when there is none.
std::optional<absl::string_view> AfterAnswerIs(absl::string_view text);

// The text behind </think>, if there is any.
absl::string_view WithoutThought(absl::string_view completion);

}  // namespace hone::math
