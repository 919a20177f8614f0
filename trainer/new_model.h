// What a recipe's `model` describes before any weight exists: a tokenizer trained on the task's text, and the model's sizes.
#pragma once

#include <memory>

#include "engine/model/model.h"
#include "engine/tokenizer.h"
#include "trainer/run_options.h"

namespace hone {

// Trained on the prompts and demonstrations of the task's first training prompts. A function of the recipe.
absl::StatusOr<std::unique_ptr<Tokenizer>> TrainTaskTokenizer(const ModelSource& source, const Task& task);

ModelConfig NewModelConfig(const ModelSource& source, const Tokenizer& tokenizer);

}  // namespace hone
