#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "rewards/verifier.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

constexpr char kCities[] = R"({"choices": ["Rome", "Paris", "New York", "York"]})";

Verdict Verify(const std::string& gold, const std::string& completion, const std::string& metadata = "") {
  Spec spec = Spec::Parse("multiple_choice").value();
  Prompt prompt;
  prompt.answer = gold;
  prompt.metadata = metadata;
  return NewMultipleChoiceVerifier(spec).value()->Verify(prompt, completion);
}

TEST(MultipleChoiceVerifier, FindsTheLetter) {
  for (const char* completion : {"B",
                                 "b",
                                 "(B)",
                                 "B.",
                                 "**B**",
                                 "B) Paris",
                                 "\\boxed{B}",
                                 "\\boxed{\\text{(B)}}",
                                 "$\\boxed{\\textbf{(B) }12}$",
                                 "The answer is B.",
                                 "The answer is (B).",
                                 "The correct answer is: **B**",
                                 "Answer: B",
                                 "**Answer:** B. Paris",
                                 "A is wrong because of C.\n\nAnswer: (B)",
                                 "The final answer is option B",
                                 "I would say B",
                                 "Some thoughts about A.\nB",
                                 "<think>(A)? No.</think>\n(B)",
                                 "It must be choice B",
                                 "The answer is B. A is wrong since it rains.",
                                 "Answer:\n\n(B) Paris",
                                 "(b)",
                                 "B: Paris",
                                 "[B]",
                                 "So a dog is option B, I think"}) {
    const Verdict verdict = Verify("B", completion);
    EXPECT_EQ(verdict.score, 1.0) << completion << ": " << verdict.reason;
    EXPECT_EQ(Verify("(B)", completion).score, 1.0) << completion;
    EXPECT_EQ(Verify("\\text{(B)}", completion).score, 1.0) << completion;
    EXPECT_EQ(Verify("C", completion).score, 0.0) << completion;
    EXPECT_EQ(Verify("C", completion).reason, "answer B, wanted C");
  }
}

TEST(MultipleChoiceVerifier, AmbiguousAnswersAreWrong) {
  for (const char* completion : {"The answer is (A) or (B).", "\\boxed{A} or \\boxed{B}", "A and B: B. or A.",
                                 "**B** or **C**", "Answer: A, B"}) {
    const Verdict verdict = Verify("B", completion);
    EXPECT_EQ(verdict.score, 0.0) << completion;
    EXPECT_THAT(verdict.reason, HasSubstr("ambiguous")) << completion;
    EXPECT_EQ(verdict.parts[0].second, 0.0);
  }
  EXPECT_EQ(Verify("B", "(B), yes (B)").score, 1.0);
}

TEST(MultipleChoiceVerifier, WordsAreNoChoices) {
  for (const char* completion :
       {"I think a dog has it.", "A dog.", "", "   ", "I don't know", "None", "Beta", "B2", "It's"}) {
    const Verdict verdict = Verify("A", completion);
    EXPECT_EQ(verdict.score, 0.0) << completion;
    EXPECT_THAT(verdict.reason, HasSubstr("no choice")) << completion;
  }
}

TEST(MultipleChoiceVerifier, TextsOfChoices) {
  EXPECT_EQ(Verify("Paris", "B", kCities).score, 1.0);
  EXPECT_EQ(Verify("paris.", "(B)", kCities).score, 1.0);
  EXPECT_EQ(Verify("B", "Paris", kCities).score, 1.0);
  EXPECT_EQ(Verify("B", "The answer is Paris.", kCities).score, 1.0);
  EXPECT_EQ(Verify("B", "\\boxed{\\text{Paris}}", kCities).score, 1.0);
  EXPECT_EQ(Verify("B", "It is the city of Paris, surely", kCities).score, 1.0);
  EXPECT_EQ(Verify("C", "I say New York", kCities).score, 1.0);  // York is part of it
  EXPECT_EQ(Verify("D", "I say York", kCities).score, 1.0);
  EXPECT_EQ(Verify("B", "Rome", kCities).score, 0.0);
  EXPECT_THAT(Verify("B", "either Rome or Paris", kCities).reason, HasSubstr("ambiguous"));
  EXPECT_EQ(Verify("2", "B", R"({"choices": [1, 2, 10]})").score, 1.0);
  EXPECT_EQ(Verify("B", "It is 10", R"({"choices": [1, 2, 10]})").reason, "answer C, wanted B");
  EXPECT_EQ(Verify("B", "E", kCities).score, 0.0);  // there are four
}

TEST(MultipleChoiceVerifier, NoVerdictWithoutAGoldChoice) {
  EXPECT_FALSE(Verify("", "B").score.has_value());
  EXPECT_THAT(Verify("Paris", "B").reason, HasSubstr("neither a letter nor the text"));
  EXPECT_FALSE(Verify("Paris", "B").score.has_value());
  EXPECT_FALSE(Verify("E", "B", kCities).score.has_value());
  for (const char* metadata : {"[]", "{", "{\"choices\": []}", "{\"choices\": 3}", "{\"choices\": [null]}"}) {
    const Verdict verdict = Verify("B", "B", metadata);
    EXPECT_FALSE(verdict.score.has_value()) << metadata;
    EXPECT_THAT(verdict.reason, HasSubstr("metadata")) << metadata;
  }
  EXPECT_FALSE(Verify("B", "B", std::string(100000, '[')).score.has_value());
  EXPECT_EQ(Verify("B", "B", R"({"other": 1})").score, 1.0);
}

TEST(MultipleChoiceVerifier, HostileAnswersAreWrongAnswers) {
  for (const std::string& completion :
       {std::string(1000000, '('), std::string(1000000, '\\'), std::string(1000000, 'B'), std::string(1000000, '*'),
        std::string("\xff\0", 2), std::string("\\boxed{"), std::string("(B")}) {
    EXPECT_EQ(Verify("C", completion, kCities).score, 0.0) << completion.substr(0, 20);
  }
}

}  // namespace
}  // namespace hone
