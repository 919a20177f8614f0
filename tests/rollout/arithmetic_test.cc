#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "recipes/build.h"
#include "rewards/verifier.h"
#include "rollout/task.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Task> Arithmetic(const std::string& options) {
  return BuildTask(absl::StrCat("arithmetic(", options, ")")).value();
}

std::string ErrorOf(const std::string& options) {
  return std::string(BuildTask(absl::StrCat("arithmetic(", options, ")")).status().message());
}

// The value of "-12+3*4": a second opinion.
int64_t Value(const std::string& text) {
  const char* at = text.c_str();
  int64_t sum = 0;
  while (*at != 0) {
    char* end = nullptr;
    int64_t product = std::strtoll(at, &end, 10);  // reads the sign as well
    for (at = end; *at == '*'; at = end) product *= std::strtoll(at + 1, &end, 10);
    sum += product;
  }
  return sum;
}

std::string Expression(const Prompt& prompt) { return prompt.text.substr(0, prompt.text.size() - 1); }

TEST(ArithmeticTask, AsksForTheValueOfTheWantedTermsAndDigits) {
  const auto task = Arithmetic("terms_low=2, terms_high=4, digits_low=1, digits_high=3, operations='+-*'");
  std::set<size_t> terms, digits;
  std::set<char> operations;
  for (uint64_t index = 0; index < 2000; ++index) {
    const Prompt prompt = task->At(Split::kTrain, index);
    EXPECT_EQ(prompt.text.back(), '=');
    EXPECT_EQ(prompt.answer, absl::StrCat(Value(Expression(prompt)))) << prompt.text;
    const std::vector<std::string> numbers = absl::StrSplit(Expression(prompt), absl::ByAnyChar("+-*"));
    terms.insert(numbers.size());
    for (const std::string& number : numbers) digits.insert(number.size());
    for (const char c : Expression(prompt)) {
      if (c < '0' || c > '9') operations.insert(c);
    }
  }
  EXPECT_EQ(terms, (std::set<size_t>{2, 3, 4}));
  EXPECT_EQ(digits, (std::set<size_t>{1, 2, 3}));
  EXPECT_EQ(operations, (std::set<char>{'+', '-', '*'}));
}

TEST(ArithmeticTask, TheLargestProductIsExact) {
  const auto task = Arithmetic("terms_low=2, terms_high=2, digits_low=9, operations='*'");
  for (uint64_t index = 0; index < 100; ++index) {
    const Prompt prompt = task->At(Split::kTrain, index);
    EXPECT_EQ(prompt.answer, absl::StrCat(Value(Expression(prompt))));
    EXPECT_GE(prompt.answer.size(), 17u);  // 10^8 * 10^8 has 17 digits
  }
}

TEST(ArithmeticTask, DemonstrationsAreCorrect) {
  for (const char* options : {"", "demonstrations=steps", "terms_high=6, operations='+-*', demonstrations=steps"}) {
    const auto task = Arithmetic(options);
    const auto verifier = BuildVerifier(task->DefaultVerifier()).value();
    for (uint64_t index = 0; index < 300; ++index) {
      const Prompt prompt = task->At(index % 2 == 0 ? Split::kTrain : Split::kHeldOut, index);
      const std::string answer = task->Demonstration(prompt).value();
      EXPECT_EQ(verifier->Verify(prompt, answer).score, 1.0) << prompt.text << answer;
      // Every line of working has the answer's value.
      const std::vector<std::string> lines = absl::StrSplit(answer, absl::ByAnyChar("=>"), absl::SkipEmpty());
      for (const std::string& line : lines)
        EXPECT_EQ(absl::StrCat(Value(line)), prompt.answer) << prompt.text << answer;
    }
  }
}

TEST(ArithmeticTask, StepsDoOneOperationEach) {
  const auto task = Arithmetic("demonstrations=steps, operations='+-*', terms_high=9");
  EXPECT_EQ(task->DefaultVerifier(), "exact(after=\"=>\")");
  const auto steps = [&](const std::string& text) {
    Prompt prompt;
    prompt.text = text;
    return task->Demonstration(prompt).value();
  };
  EXPECT_EQ(steps("17+25="), "=>42");
  EXPECT_EQ(steps("47+85-9="), "132-9=>123");
  EXPECT_EQ(steps("47+85-9*2="), "47+85-18=132-18=>114");
  EXPECT_EQ(steps("3-5+2*3*4-1="), "3-5+6*4-1=3-5+24-1=-2+24-1=22-1=>21");
}

TEST(ArithmeticTask, SplitsShareNoExpressionInAnyOrder) {
  // Two digits of 0 .. 9: 55 sums and 55 products in no order.
  const auto task = Arithmetic("terms_high=2, digits_high=1, operations='+*', held_out_fraction=0.3");
  const auto canonical = [](const Prompt& prompt) {
    std::string text = Expression(prompt);
    if (text[0] > text[2]) std::swap(text[0], text[2]);
    return text;
  };
  std::set<std::string> train, held_out;
  for (uint64_t index = 0; index < 3000; ++index) {
    train.insert(canonical(task->At(Split::kTrain, index)));
    held_out.insert(canonical(task->At(Split::kHeldOut, index)));
  }
  for (const std::string& problem : held_out) EXPECT_FALSE(train.contains(problem)) << problem;
  EXPECT_EQ(train.size() + held_out.size(), 110u);
  EXPECT_NEAR(static_cast<double>(held_out.size()), 33, 15);  // standard deviation sqrt(110 * 0.3 * 0.7) = 4.8
}

TEST(ArithmeticTask, RefusesWhatItCannotAsk) {
  EXPECT_THAT(ErrorOf("terms_low=1"), HasSubstr("'terms_low'"));
  EXPECT_THAT(ErrorOf("operations='+/'"), HasSubstr("option 'operations' is '+/', wanted some of +-*"));
  EXPECT_THAT(ErrorOf("operations=''"), HasSubstr("wanted some of +-*"));
  EXPECT_THAT(ErrorOf("terms_high=5, digits_high=4"), HasSubstr("5 terms of 4 digits may exceed 64 bits"));
}

}  // namespace
}  // namespace hone
