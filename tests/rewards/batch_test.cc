#include <gmock/gmock.h>

#include "recipes/build.h"
#include "rewards/questions.h"
#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

constexpr char kCells[] =
    R"({"questions":[{"prompt":"a?","answer":"B cell"},{"prompt":"b?","answer":"T cell"},{"prompt":"c?","answer":"NK"}]})";

Verdict Verify(const std::string& options, const std::string& completion, const std::string& metadata = kCells) {
  return BuildVerifier(absl::StrCat("batch(", options, ")")).value()->Verify(Question("", metadata), completion);
}

std::string ErrorOf(const std::string& spec) { return std::string(BuildVerifier(spec).status().message()); }

TEST(BatchVerifier, GivesHalfForTheShareAndHalfForAll) {
  const struct {
    const char* completion;
    double half, mean, all;
    const char* parts;
  } kCases[] = {
      {"B cell | T cell | NK", 1, 1, 1, "correct=1 all=1 format=1"},  // (3/3 + 1) / 2
      {"B cell|T cell|B cell", 1. / 3, 2. / 3, 0, "correct=0.666667 all=0 format=1"},
      {"T cell|B cell|NK", 1. / 6, 1. / 3, 0, "correct=0.333333 all=0 format=1"},  // answers belong to their place
      {"x|y|z", 0, 0, 0, "correct=0 all=0 format=1"},
  };
  for (const auto& [completion, half, mean, all, parts] : kCases) {
    const Verdict verdict = Verify("verifier=exact", completion);
    EXPECT_DOUBLE_EQ(verdict.score.value(), half) << completion;
    EXPECT_EQ(PartsText(verdict), parts);
    EXPECT_DOUBLE_EQ(Verify("verifier=exact, credit=mean", completion).score.value(), mean) << completion;
    EXPECT_DOUBLE_EQ(Verify("verifier=exact, credit=all", completion).score.value(), all) << completion;
  }
  EXPECT_EQ(Verify("verifier=exact", "B cell | T cell | NK").reason, "3 of 3 right");
  EXPECT_EQ(Verify("verifier=exact", "B cell|x|y").reason, "1 of 3 right; question 2: found 'x', wanted 'T cell'");
}

TEST(BatchVerifier, WantsAsManyAnswersAsQuestions) {
  for (const auto& [completion, reason] : {std::pair("", "0 answers to 3 questions"),
                                           {"B cell|T cell", "2 answers to 3 questions"},
                                           {"B cell||T cell", "2 answers to 3 questions"},  // nothing is no answer
                                           {"B cell|T cell|NK|NK", "more than 3 answers to 3 questions"}}) {
    const Verdict verdict = Verify("verifier=exact", completion);
    EXPECT_EQ(verdict.score, 0.0) << completion;
    EXPECT_EQ(verdict.reason, reason) << completion;
    EXPECT_EQ(PartsText(verdict), "correct=0 all=0 format=0");
    EXPECT_EQ(Verify("verifier=exact, malformed=-1", completion).score, -1.0) << completion;
  }
  EXPECT_EQ(Verify("verifier=exact", "|B cell|T cell|NK|\n").score, 1.0);
}

TEST(BatchVerifier, MayWantDifferentAnswers) {
  EXPECT_NEAR(Verify("verifier=exact", "NK|NK|NK").score.value(), 1. / 6, 1e-12);
  const Verdict verdict = Verify("verifier=exact, distinct=true, malformed=-1", "NK|B cell| NK");
  EXPECT_EQ(verdict.score, -1.0);
  EXPECT_EQ(verdict.reason, "two answers are the same");
}

TEST(BatchVerifier, SeparatorsMayHaveWhiteSpaceOrBeIt) {
  EXPECT_EQ(Verify("verifier=exact, separator=\" | \"", "B cell|T cell | NK").score, 1.0);
  EXPECT_EQ(Verify("verifier=exact, separator=\"\\n\"", "B cell\nT cell\n\nNK\n").score, 1.0);
  EXPECT_EQ(Verify("verifier=exact, separator=\";;\"", "B cell;;T cell;;NK").score, 1.0);
}

TEST(BatchVerifier, EachAnswerIsHeldAgainstItsOwnQuestion) {
  const std::string metadata = R"({"questions":[{"prompt":"3 5:8=","metadata":{"numbers":[3,5],"target":8}},)"
                               R"({"prompt":"3 5:2=","metadata":{"numbers":[3,5],"target":2}}]})";
  EXPECT_EQ(Verify("verifier=countdown(after=\"=>\")", "3+5=8=>3+5|5-3=2=>5-3", metadata).score, 1.0);
  EXPECT_EQ(Verify("verifier=countdown", "5-3|3+5", metadata).score, 0.0);
  // An answer counts from the score that is wanted: an expression alone is worth 0.5 here.
  const std::string lax = "verifier=sum(countdown=0.5, style=regex(pattern=\"^.[+]\", weight=0.5))";
  EXPECT_EQ(Verify(lax, "3+5|3+5", metadata).score, 0.25);                      // (1/2 + 0) / 2
  EXPECT_EQ(Verify(lax + ", right_from=0.5", "3+5|3+5", metadata).score, 1.0);  // 1 and 0.5
}

TEST(BatchVerifier, HasNoVerdictWhereAnAnswerHasNone) {
  const Verdict verdict =
      Verify("verifier=exact", "a|b", R"({"questions":[{"prompt":"","answer":"a"},{"prompt":""}]})");
  EXPECT_FALSE(verdict.score.has_value());
  EXPECT_EQ(verdict.reason, "question 2: the prompt has no answer to compare with");
  for (const auto& [metadata, reason] :
       {std::pair("", "metadata needs \"questions\", a list of prompts like"),
        {"{}", "metadata needs \"questions\""},
        {R"({"questions":[]})", "metadata needs \"questions\""},
        {R"({"questions":[5]})", "metadata: question 1: is no object"},
        {R"({"questions":[{"answer":"a"}]})", "metadata: question 1: holds 0 of 'prompt', 'messages' and 'tokens'"}}) {
    const Verdict none = Verify("verifier=exact", "a", metadata);
    EXPECT_FALSE(none.score.has_value()) << metadata;
    EXPECT_THAT(none.reason, HasSubstr(reason));
  }
}

TEST(BatchVerifier, QuestionsComeBackAsTheyWere) {
  std::vector<Prompt> questions(2);
  questions[0].key = ~uint64_t{0};
  questions[0].text = "a \"quoted\"\ntext";
  questions[0].answer = "a";
  questions[1].text = "b";
  questions[1].metadata = R"({"numbers":[3,5],"target":8})";
  const auto read = ReadQuestions(WriteQuestions(questions)).value();
  ASSERT_EQ(read.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read[i].key, questions[i].key);
    EXPECT_EQ(read[i].text, questions[i].text);
    EXPECT_EQ(read[i].answer, questions[i].answer);
    EXPECT_EQ(read[i].metadata, questions[i].metadata);
  }
}

TEST(BatchVerifier, SaysWhichOptionIsWrong) {
  EXPECT_EQ(ErrorOf("batch"), "batch: needs the verifier of one question, like batch(verifier=countdown)");
  EXPECT_THAT(ErrorOf("batch(verifier=exakt)"), HasSubstr("batch: no verifier 'exakt'; have: "));
  EXPECT_THAT(ErrorOf("batch(verifier=exact, separator='')"), HasSubstr("'separator' is empty"));
  EXPECT_THAT(ErrorOf("batch(verifier=exact, malformed=1)"), HasSubstr("'malformed'"));
  std::string resolved, again;
  ASSERT_TRUE(BuildVerifier("batch(verifier=exact, separator=\" | \")", &resolved).ok());
  EXPECT_EQ(
      resolved,
      "batch(verifier=exact(strip=true, ignore_case=false, after=\"\"), separator=\" | \", credit=half, right_from=1, "
      "malformed=0, distinct=false)");
  ASSERT_TRUE(BuildVerifier(resolved, &again).ok());
  EXPECT_EQ(again, resolved);
}

TEST(BatchVerifier, WithstandsHostileCompletions) {
  const auto batch = BuildVerifier("batch(verifier=exact, malformed=-1)").value();
  ExpectWithstandsHostileCompletions(*batch, Question("", kCells), -1, 1);
  EXPECT_EQ(batch->Verify(Question("", kCells), std::string(4 << 20, '|')).score, -1.0);
  EXPECT_EQ(batch->Verify(Question("", kCells), Repeated("a|", 1 << 20)).score, -1.0);
}

}  // namespace
}  // namespace hone
