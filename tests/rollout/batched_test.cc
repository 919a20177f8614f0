#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "recipes/build.h"
#include "rewards/questions.h"
#include "rewards/verifier.h"
#include "rollout/task.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& spec) { return std::string(BuildTask(spec).status().message()); }

TEST(BatchedTask, JoinsTheQuestionsOfAnotherTask) {
  const auto one = BuildTask("countdown(seed=3)").value(), three = BuildTask("batched(task=countdown(seed=3))").value();
  std::set<uint64_t> keys;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (uint64_t index = 0; index < 50; ++index) {
      const Prompt a = one->At(split, 3 * index), b = one->At(split, 3 * index + 1), c = one->At(split, 3 * index + 2);
      const Prompt prompt = three->At(split, index);
      EXPECT_EQ(prompt.text, absl::StrCat(a.text, "|", b.text, "|", c.text));
      EXPECT_EQ(three->Demonstration(prompt),
                absl::StrCat(*one->Demonstration(a), "|", *one->Demonstration(b), "|", *one->Demonstration(c)));
      EXPECT_EQ(ReadQuestions(prompt.metadata).value()[1].metadata, b.metadata);
      keys.insert(prompt.key);
    }
  }
  EXPECT_EQ(keys.size(), 100u);
}

TEST(BatchedTask, ItsVerifierScoresItsDemonstrations) {
  for (const char* spec :
       {"batched(task=countdown, questions=1)", "batched(task=countdown(demonstrations=search), questions=4)",
        "batched(task=countdown(demonstrations=random), separator=' | ')", "batched(task=sudoku, separator=';')",
        "batched(task=sudoku(demonstrations=search), separator=\"\\n\")",
        "batched(task=arithmetic(demonstrations=steps), separator=\"\\\"\")",
        "batched(task=batched(task=arithmetic, questions=2, separator=','), questions=2)"}) {
    const auto task = BuildTask(spec);
    ASSERT_TRUE(task.ok()) << spec << task.status();
    const auto verifier = BuildVerifier((*task)->DefaultVerifier());
    ASSERT_TRUE(verifier.ok()) << (*task)->DefaultVerifier() << verifier.status();
    for (uint64_t index = 0; index < 30; ++index) {
      const Prompt prompt = (*task)->At(Split::kTrain, index);
      const std::string answer = (*task)->Demonstration(prompt).value();
      const Verdict verdict = (*verifier)->Verify(prompt, answer);
      EXPECT_EQ(verdict.score, 1.0) << spec << " " << prompt.text << answer << ": " << verdict.reason;
    }
  }
  EXPECT_EQ(BuildTask("batched(task=countdown(demonstrations=search))").value()->DefaultVerifier(),
            "batch(verifier=countdown(after=\"=>\"), separator=|)");
}

TEST(BatchedTask, AFiniteTaskFillsWholePrompts) {
  const auto task = BuildTask("batched(task=countdown(problems=11), questions=3)").value();
  EXPECT_EQ(task->Size(Split::kTrain), 3u);  // 11 / 3
  EXPECT_EQ(task->Size(Split::kHeldOut), std::nullopt);
  EXPECT_THAT(ErrorOf("batched(task=countdown(problems=2))"),
              HasSubstr("the task has 2 training questions, a prompt takes 3"));
}

TEST(BatchedTask, QuestionsOfAFileKeepTheirDemonstrations) {
  const std::string path = testing::TempDir() + "/questions.jsonl";
  std::ofstream file(path);
  for (int i = 0; i < 20; ++i) file << R"({"prompt":"q)" << i << R"(?","answer":"a)" << i << "\"}\n";
  file.close();
  const auto task = BuildTask(
      absl::StrCat("batched(task=jsonl(path='", path, "', demonstration_key=answer, held_out=0.5), questions=2)"));
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->Size(Split::kTrain), 5u);  // half of 20 lines, two a prompt
  const Prompt prompt = (*task)->At(Split::kTrain, 0);
  const std::string answer = (*task)->Demonstration(prompt).value();
  EXPECT_EQ(BuildVerifier((*task)->DefaultVerifier()).value()->Verify(prompt, answer).score, 1.0)
      << prompt.text << answer;
}

TEST(BatchedTask, RefusesWhatCannotBeJoined) {
  EXPECT_THAT(ErrorOf("batched"), HasSubstr("needs the task of one question"));
  EXPECT_THAT(ErrorOf("batched(task=cuntdown)"), HasSubstr("batched: no task 'cuntdown'; have: "));
  EXPECT_THAT(ErrorOf("batched(task=countdown, separator='')"), HasSubstr("'separator' is empty"));
  EXPECT_THAT(ErrorOf("batched(task=sudoku)"), HasSubstr("the task's answers hold the separator '|'"));
  const std::string path = testing::TempDir() + "/chats.jsonl";
  std::ofstream file(path);
  for (int i = 0; i < 8; ++i) file << R"({"messages":[{"role":"user","content":"q)" << i << "\"}]}\n";
  file.close();
  EXPECT_THAT(ErrorOf(absl::StrCat("batched(task=jsonl(path='", path, "', held_out=0.5))")), HasSubstr("are no texts"));
}

}  // namespace
}  // namespace hone
