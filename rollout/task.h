// SLOT: where prompts come from. A task is two endless or finite lists of prompts, training and held-out, that share no
// problem; and, where it can, demonstrations for supervised training.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

enum class Split { kTrain, kHeldOut };

class Task {
 public:
  virtual ~Task() = default;
  // Prompts that the split holds; nullopt for a generator without end.
  virtual std::optional<uint64_t> Size(Split split) const = 0;
  // The prompt at `index` (below Size), before the PromptEncoder: a text, a conversation or tokens. A function of the
  // task's options, the split and the index. Thread-safe.
  virtual Prompt At(Split split, uint64_t index) const = 0;
  // A correct answer for supervised training, or nullopt when the task has none. A function of the prompt alone.
  virtual std::optional<std::string> Demonstration(const Prompt& prompt) const = 0;
  // Spec of the verifier that fits this task, e.g. "countdown".
  virtual std::string DefaultVerifier() const = 0;
};

// Makes a task from its spec's text; `resolved` becomes that text with every default. A task that holds another is given it, because only
// recipes/ knows the menu.
using TaskBuilder = std::function<absl::StatusOr<std::unique_ptr<Task>>(absl::string_view spec, std::string* resolved)>;

// Factories, one per file in rollout/task/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Task>> NewCountdownTask(Spec& spec);
absl::StatusOr<std::unique_ptr<Task>> NewJsonlTask(Spec& spec);
absl::StatusOr<std::unique_ptr<Task>> NewSudokuTask(Spec& spec);
absl::StatusOr<std::unique_ptr<Task>> NewArithmeticTask(Spec& spec);
absl::StatusOr<std::unique_ptr<Task>> NewBatchedTask(Spec& spec, const TaskBuilder& build);

}  // namespace hone
