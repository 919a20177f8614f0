// Several questions in one prompt, in the prompt's metadata: {"questions": [{"prompt": "...", "answer": "...", "metadata": {...}}, ...]}. Each is a
// prompt as a line of a file is (engine/base/prompt_line.h), with the "key" that its own task has given it.
#pragma once

#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/types.h"

namespace hone {

// Of questions that are texts and whose metadata is empty or JSON.
std::string WriteQuestions(const std::vector<Prompt>& questions);
// At least one.
absl::StatusOr<std::vector<Prompt>> ReadQuestions(const std::string& metadata);

}  // namespace hone
