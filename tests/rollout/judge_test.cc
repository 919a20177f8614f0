#include "rollout/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hone {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(JudgeQuestion, FillsInEachPlaceOnce) {
  Prompt prompt;
  prompt.text = "P {completion}";
  prompt.answer = "A";
  // What is filled in is not searched for places: a completion cannot ask for the reference.
  EXPECT_EQ(JudgeQuestion("{prompt}|{completion}|{answer}|{scale}|{x}{", prompt, "C {answer}", 5).value(),
            "P {completion}|C {answer}|A|5|{x}{");
  EXPECT_EQ(JudgeQuestion("{{completion}}", prompt, "", 5).value(), "{}");
}

TEST(JudgeQuestion, OursShowsAReferenceWhereThereIsOne) {
  Prompt prompt;
  prompt.text = "What is 2 + 2?";
  const std::string without = JudgeQuestion("", prompt, "It is 4.", 10).value();
  EXPECT_THAT(without, AllOf(HasSubstr("What is 2 + 2?"), HasSubstr("It is 4."), HasSubstr("from 0 (useless) to 10"),
                             Not(HasSubstr("Reference"))));
  prompt.answer = "four";
  EXPECT_THAT(JudgeQuestion("", prompt, "It is 4.", 10).value(), HasSubstr("[Reference answer]\nfour\n"));
}

TEST(JudgeQuestion, MissingAnswer) {
  EXPECT_THAT(std::string(JudgeQuestion("{completion} {answer}", {}, "x", 10).status().message()),
              HasSubstr("the prompt has no answer"));
}

TEST(ReadJudgeScore, TheLastLineCounts) {
  const struct {
    const char* answer;
    double score;
  } kCases[] = {
      {"Score: 7", 7},
      {"Good.\nScore: 7\n", 7},
      {"score:7", 7},
      {"  SCORE : 7.5  ", 7.5},
      {"**Score: 7**", 7},
      {"**Score:** 7", 7},
      {"### Score: *7*", 7},
      {"Score: 7/10", 7},
      {"Score: 7 / 10.", 7},
      {"Score: 7 out of 10", 7},
      {"Score: 7.", 7},
      {"Score: 7 (good)", 7},
      {"Score: 0", 0},
      {"Score: 10", 10},
      {"Score: 3 would be harsh.\nScore: 8\nThat is all.", 8},
      {"Score: 2\r\nScore: 9\r\n", 9},
  };
  for (const auto& each : kCases) {
    const auto score = ReadJudgeScore(each.answer, FinishReason::kStop, 10);
    ASSERT_TRUE(score.ok()) << each.answer << ": " << score.status();
    EXPECT_EQ(*score, each.score) << each.answer;
  }
}

TEST(ReadJudgeScore, WhatIsNoScore) {
  const struct {
    const char* answer;
    const char* reason;
  } kCases[] = {
      {"", "the judge gave no score"},
      {"The answer is fine.", "the judge gave no score"},
      {"Score 7", "the judge gave no score"},
      {"The score: 7", "the judge gave no score"},
      {"Score: N", "the judge gave no score"},
      {"Score: ", "the judge gave no score"},
      {"Score: 7\nScore: unsure", "the judge gave no score"},
      {"Score: 7%", "the judge gave no score"},
      {"Score: 7-8", "the judge gave no score"},
      {"Score: nan", "the judge gave no score"},
      {"Score: inf", "the judge gave no score"},
      {"Score: 7/", "the judge gave no score"},
      {"Score: 7e5", "the judge gave no score"},
      {"Score: 1111111111111111111111111111111", "the judge gave no score"},
      {"Score: 4/5", "the judge gave a score out of 5, wanted one out of 10"},
      {"Score: 85", "the judge gave a score that is not within 0 .. 10"},
      {"Score: -1", "the judge gave a score that is not within 0 .. 10"},
  };
  for (const auto& each : kCases) {
    const auto score = ReadJudgeScore(each.answer, FinishReason::kStop, 10);
    ASSERT_FALSE(score.ok()) << each.answer << ": " << *score;
    EXPECT_EQ(std::string(score.status().message()), each.reason) << each.answer;
  }
}

TEST(ReadJudgeScore, ACutLineDoesNotCount) {
  // It might have become "Score: 10".
  EXPECT_FALSE(ReadJudgeScore("Well.\nScore: 1", FinishReason::kLength, 10).ok());
  EXPECT_EQ(ReadJudgeScore("Score: 4\nBecause it", FinishReason::kLength, 10).value(), 4);
  EXPECT_THAT(std::string(ReadJudgeScore("Score: 1", FinishReason::kLength, 10).status().message()),
              HasSubstr("before its tokens ran out"));
}

}  // namespace
}  // namespace hone
