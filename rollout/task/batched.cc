// Several questions of another task in one prompt, as Cell-o1 asks for all cells of a batch at once (https://arxiv.org/abs/2506.02911):
//
//   batched(task=countdown, questions=2)   prompt "12 7 30:25=|5 5 1:25=", answer "30+7-12|5*5*1"
//
// Prompt i holds the task's questions i * n .. i * n + n - 1 of the same split, so each is asked once; of a finite task, what does not fill a
// prompt is left out. The questions' own answers and metadata go to the verifier `batch` (rewards/questions.h).
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "rewards/questions.h"
#include "rollout/task.h"

namespace hone {
namespace {

constexpr size_t kShownBytes = 60;

class BatchedTask : public Task {
 public:
  BatchedTask(std::unique_ptr<Task> task, uint64_t questions, std::string separator)
      : task_(std::move(task)), questions_(questions), separator_(std::move(separator)) {}

  std::optional<uint64_t> Size(Split split) const override {
    const auto size = task_->Size(split);
    return size ? std::optional(*size / questions_) : std::nullopt;
  }

  Prompt At(Split split, uint64_t index) const override {
    std::vector<Prompt> questions;
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < questions_; ++i) {
      questions.push_back(task_->At(split, index * questions_ + i));
      texts.push_back(questions.back().text);
    }
    Prompt prompt;
    prompt.key = questions[0].key;  // no other prompt has this question
    prompt.text = absl::StrJoin(texts, separator_);
    prompt.metadata = WriteQuestions(questions);
    prompt.where = questions[0].where;
    return prompt;
  }

  std::optional<std::string> Demonstration(const Prompt& prompt) const override {
    const auto questions = ReadQuestions(prompt.metadata);
    HONE_CHECK(questions.ok());  // a prompt of this task
    std::vector<std::string> answers;
    for (const Prompt& question : *questions) {
      auto answer = task_->Demonstration(question);
      if (!answer) return std::nullopt;
      answers.push_back(*std::move(answer));
    }
    return absl::StrJoin(answers, separator_);
  }

  std::string DefaultVerifier() const override {
    auto spec = Spec::Parse("batch");
    HONE_CHECK(spec.ok());
    spec->Text("verifier", task_->DefaultVerifier());
    spec->Text("separator", separator_);
    return spec->ToString();
  }

  // What can be seen of the first prompts: that there are any, that they are texts, and that answers hold no separator.
  absl::Status Check() const {
    for (const auto& [split, name] : {std::pair(Split::kTrain, "training"), std::pair(Split::kHeldOut, "held-out")}) {
      if (Size(split).value_or(1) == 0) {
        return InputError("batched: the task has ", *task_->Size(split), " ", name, " questions, a prompt takes ",
                          questions_);
      }
      const Prompt question = task_->At(split, 0);
      if (question.text.empty())
        return InputError("batched: the task's ", name, " prompts are no texts, which is what can be joined");
      const absl::string_view bare = absl::StripAsciiWhitespace(separator_);
      const auto answer = task_->Demonstration(question);
      if (answer && absl::StrContains(*answer, bare.empty() ? separator_ : bare)) {
        return InputError("batched: the task's answers hold the separator '", Visible(separator_, kShownBytes),
                          "', like '", Visible(*answer, kShownBytes), "'; give another with separator=...");
      }
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<Task> task_;
  const uint64_t questions_;
  const std::string separator_;  // not empty
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> NewBatchedTask(Spec& spec, const TaskBuilder& build) {
  const std::string inner = spec.Text("task", "");
  const auto questions = static_cast<uint64_t>(spec.Int("questions", 3, 1, 1000));
  const std::string separator = spec.Text("separator", "|");
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (inner.empty())
    return InputError("batched: needs the task of one question, like batched(task=countdown, questions=3)");
  if (separator.empty()) return InputError("batched: option 'separator' is empty");
  std::string resolved;
  auto task = build(inner, &resolved);
  if (!task.ok()) return InputError("batched: ", task.status().message());
  spec.Resolve("task", resolved);
  auto batched = std::make_unique<BatchedTask>(*std::move(task), questions, separator);
  HONE_RETURN_IF_ERROR(batched->Check());
  return batched;
}

}  // namespace hone
