// What a judge is asked, and how its answer is read: texts only. The judge says what it thinks and ends with a line "Score: N", the form
// in which language models follow the instruction most often (https://arxiv.org/abs/2306.05685, figure 6).
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// The instructions with {prompt}, {completion}, {answer} and {scale} filled in; other braces, and those in what is filled in, stay.
// An empty `instructions` stands for ours, which show prompt.answer as a reference where there is one. Input error: {answer} is asked
// for and the prompt has none.
absl::StatusOr<std::string> JudgeQuestion(absl::string_view instructions, const Prompt& prompt,
                                          absl::string_view completion, double scale);

// N of the last line "Score: N", "Score: N/SCALE" or "Score: N out of SCALE"; case and Markdown's emphasis do not matter, and words may
// follow. Of an answer that the token budget cut, the last line may not be whole and does not count. Input errors: no such line, the
// last one has no plain number, or one on another scale or outside of 0 .. scale.
absl::StatusOr<double> ReadJudgeScore(absl::string_view answer, FinishReason finish_reason, double scale);

}  // namespace hone
