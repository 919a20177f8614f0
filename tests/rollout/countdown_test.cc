#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/random.h"
#include "rewards/verifier.h"
#include "rollout/task.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Task> Countdown(const std::string& options) {
  Spec spec = Spec::Parse(absl::StrCat("countdown(", options, ")")).value();
  auto task = NewCountdownTask(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return *std::move(task);
}

std::string ErrorOf(const std::string& options) {
  Spec spec = Spec::Parse(absl::StrCat("countdown(", options, ")")).value();
  return std::string(NewCountdownTask(spec).status().message());
}

// "12 7 30:25=" -> {{12, 7, 30}, 25}
std::pair<std::vector<int>, int> Read(const std::string& text) {
  std::vector<int> numbers;
  size_t at = 0;
  while (true) {
    size_t length = 0;
    numbers.push_back(std::stoi(text.substr(at), &length));
    at += length + 1;
    if (text[at - 1] == ':') return {numbers, std::stoi(text.substr(at))};
  }
}

// The problem behind a prompt, whatever the order of its numbers.
std::string Canonical(const Prompt& prompt) {
  auto [numbers, target] = Read(prompt.text);
  std::sort(numbers.begin(), numbers.end());
  return absl::StrCat(absl::StrJoin(numbers, " "), ":", target);
}

Prompt Ask(const std::vector<int>& numbers, int target) {
  Prompt prompt;
  prompt.metadata = absl::StrCat("{\"numbers\":[", absl::StrJoin(numbers, ","), "],\"target\":", target, "}");
  return prompt;
}

double Score(const Prompt& prompt, const std::string& answer, const std::string& verifier_spec = "countdown") {
  Spec spec = Spec::Parse(verifier_spec).value();
  return NewCountdownVerifier(spec).value()->Verify(prompt, answer).score.value();
}

// Whether any order of binary operations on doubles reaches the target: a second opinion on what can be solved.
bool Solvable(const std::vector<double>& values, double target) {
  if (values.size() == 1) return std::abs(values[0] - target) < 1e-9;
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values.size(); ++j) {
      if (i == j) continue;
      std::vector<double> rest;
      for (size_t k = 0; k < values.size(); ++k) {
        if (k != i && k != j) rest.push_back(values[k]);
      }
      rest.push_back(0);
      const double a = values[i], b = values[j];
      for (const double value : {a + b, a - b, a * b, b != 0 ? a / b : NAN}) {
        rest.back() = value;
        if (!std::isnan(value) && Solvable(rest, target)) return true;
      }
    }
  }
  return false;
}

TEST(CountdownTask, PromptsAreAFunctionOfOptionsSplitAndIndex) {
  const auto task = Countdown("seed=3"), again = Countdown("seed=3"), other = Countdown("seed=4");
  EXPECT_EQ(task->Size(Split::kTrain), std::nullopt);
  EXPECT_EQ(task->DefaultVerifier(), "countdown");
  std::set<uint64_t> keys;
  int same = 0;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (uint64_t index = 0; index < 500; ++index) {
      const Prompt prompt = task->At(split, 499 - index);
      EXPECT_EQ(prompt.text, again->At(split, 499 - index).text);
      same += prompt.text == other->At(split, 499 - index).text;
      keys.insert(prompt.key);

      const auto [numbers, target] = Read(prompt.text);
      EXPECT_EQ(prompt.text, absl::StrCat(absl::StrJoin(numbers, " "), ":", target, "="));
      EXPECT_EQ(prompt.metadata, Ask(numbers, target).metadata);
      EXPECT_TRUE(prompt.tokens.empty());
    }
  }
  EXPECT_EQ(keys.size(), 1000u);
  EXPECT_LT(same, 10);
}

TEST(CountdownTask, NumbersAndTargetsStayInRange) {
  const auto task = Countdown("numbers=4, low=5, high=12, target_low=20, target_high=24");
  std::set<int> seen, targets;
  for (uint64_t index = 0; index < 2000; ++index) {
    const auto [numbers, target] = Read(task->At(Split::kTrain, index).text);
    EXPECT_EQ(numbers.size(), 4u);
    seen.insert(numbers.begin(), numbers.end());
    targets.insert(target);
  }
  EXPECT_EQ(seen, (std::set<int>{5, 6, 7, 8, 9, 10, 11, 12}));
  EXPECT_EQ(targets, (std::set<int>{20, 21, 22, 23, 24}));
}

TEST(CountdownTask, SplitsShareNoProblem) {
  // 10 * 11 * 12 / 6 = 220 sets of numbers: tens of thousands of draws see nearly every problem, in many orders.
  std::set<std::string> train, held_out;
  for (const char* seed : {"seed=1, ", "seed=2, "}) {
    const auto task = Countdown(absl::StrCat(seed, "high=10, held_out_fraction=0.2"));
    for (uint64_t index = 0; index < 20000; ++index) {
      train.insert(Canonical(task->At(Split::kTrain, index)));
      held_out.insert(Canonical(task->At(Split::kHeldOut, index)));
    }
  }
  for (const std::string& problem : held_out) EXPECT_FALSE(train.contains(problem)) << problem;
  const double share = static_cast<double>(held_out.size()) / static_cast<double>(train.size() + held_out.size());
  EXPECT_NEAR(share, 0.2, 0.02);
  EXPECT_GT(train.size(), 2000u);
}

TEST(CountdownTask, ALargerFractionHoldsOutMore) {
  const auto some = Countdown("high=10, held_out_fraction=0.1"), more = Countdown("high=10, held_out_fraction=0.3");
  std::set<std::string> train;
  for (uint64_t index = 0; index < 20000; ++index) train.insert(Canonical(more->At(Split::kTrain, index)));
  for (uint64_t index = 0; index < 2000; ++index) {
    EXPECT_FALSE(train.contains(Canonical(some->At(Split::kHeldOut, index))));
  }
}

TEST(CountdownTask, DescendingOrderSortsThePromptAndNothingElse) {
  const auto random = Countdown("order=random"), sorted = Countdown("order=descending");
  int moved = 0;
  for (uint64_t index = 0; index < 200; ++index) {
    const Prompt a = random->At(Split::kTrain, index), b = sorted->At(Split::kTrain, index);
    const std::vector<int> numbers = Read(b.text).first;
    EXPECT_TRUE(std::is_sorted(numbers.rbegin(), numbers.rend())) << b.text;
    EXPECT_EQ(Canonical(a), Canonical(b));
    moved += a.text != b.text;
  }
  EXPECT_GT(moved, 120);  // five of six orders are not descending
}

TEST(CountdownTask, DemonstrationsAreCorrect) {
  for (const char* options : {"", "demonstrations=random", "numbers=2", "numbers=4", "numbers=4, demonstrations=random",
                              "low=90, high=1000, target_high=500", "order=descending", "demonstrations=search",
                              "numbers=2, demonstrations=search", "numbers=4, demonstrations=search, max_steps=1",
                              "numbers=4, demonstrations=search, max_steps=0"}) {
    const auto task = Countdown(options);
    for (uint64_t index = 0; index < 300; ++index) {
      const Prompt prompt = task->At(index % 2 == 0 ? Split::kTrain : Split::kHeldOut, index);
      const auto answer = task->Demonstration(prompt);
      ASSERT_TRUE(answer.has_value()) << options << " " << prompt.text;
      EXPECT_EQ(Score(prompt, *answer, task->DefaultVerifier()), 1) << options << " " << prompt.text << *answer;
      EXPECT_EQ(task->Demonstration(prompt), answer);
    }
  }
}

TEST(CountdownTask, CanonicalDemonstrationsPreferPlainSums) {
  const auto task = Countdown("");
  const struct {
    std::vector<int> numbers;
    int target;
    const char* answer;
  } kCases[] = {
      {{7, 30, 12}, 49, "30+12+7"},
      {{7, 30, 12}, 25, "30-12+7"},  // not 30+7-12: after the largest, the rest in descending order
      {{7, 30, 12}, 11, "30-12-7"},
      {{10, 12, 8}, 6, "10-12+8"},   // the 12 is subtracted, so the 10 is the largest added
      {{3, 4, 5}, 17, "4*3+5"},      // a product stands before a number
      {{3, 4, 20}, 8, "20-4*3"},     // unless it is subtracted
      {{2, 3, 4}, 20, "(3+2)*4"},    // 4 * (3 + 2) with the sum first
      {{2, 6, 9}, 12, "9*2-6"},      // and not 6/2+9: products before quotients
      {{4, 10, 12}, 13, "12/4+10"},  // a quotient where it must be
      {{5, 5, 1}, 25, "5*5*1"},      // and not 5*5/1
      {{1, 1, 2}, 2, "2+1-1"},       // and not 2*1*1
      {{50, 50, 28}, 28, "50-50+28"},
  };
  for (const auto& each : kCases) EXPECT_EQ(task->Demonstration(Ask(each.numbers, each.target)), each.answer);
  EXPECT_EQ(task->Demonstration(Ask({1, 1, 1}, 50)), std::nullopt);
}

TEST(CountdownTask, WritesItsSearch) {
  const auto task = Countdown("demonstrations=search");
  EXPECT_EQ(task->DefaultVerifier(), "countdown(after=\"=>\")");
  // Distances from 47: 61 and 24 are 14 + 23 = 37 away, 66 and 19 are 19 + 28 = 47, as are 42 and 5, which come later. Of 61 and 24, 37 is nearest.
  EXPECT_EQ(task->Demonstration(Ask({42, 61, 66}, 47)), "66-42=24:61 24;61-24=37<61-42=19:66 19;66-19=47=>66-(61-42)");
  EXPECT_EQ(task->Demonstration(Ask({3, 5}, 15)), "3*5=15=>3*5");
  // 8 / (3 - 8 / 3) = 24, and no way over whole numbers: the answer stands alone.
  const auto four = Countdown("numbers=4, demonstrations=search");
  EXPECT_EQ(four->Demonstration(Ask({3, 3, 8, 8}, 24)), "=>8/(3-8/3)");
  EXPECT_EQ(four->Demonstration(Ask({1, 1, 1, 1}, 99)), std::nullopt);
}

TEST(CountdownTask, EveryStepOfASearchIsRight) {
  const auto task = Countdown("numbers=4, demonstrations=search, max_steps=0");
  int returns = 0;
  for (uint64_t index = 0; index < 100; ++index) {
    const Prompt prompt = task->At(Split::kTrain, index);
    const std::string demonstration = task->Demonstration(prompt).value();
    const std::string trace = demonstration.substr(0, demonstration.find("=>"));
    std::vector<std::multiset<int64_t>> states(1);  // the numbers at hand, behind those before each step that led here
    for (const int number : Read(prompt.text).first) states.back().insert(number);
    for (size_t at = 0; at < trace.size();) {
      if (trace[at] == '<') {
        states.pop_back();
        ++at, ++returns;
        continue;
      }
      size_t length = 0;
      const auto number = [&] {
        const int64_t value = std::stoll(trace.substr(at), &length);
        at += length;
        return value;
      };
      const int64_t left = number();
      const char operation = trace[at++];
      const int64_t right = number();
      ASSERT_EQ(trace[at++], '=') << trace;
      const int64_t value = number();
      EXPECT_EQ(operation == '/' ? value * right : value, operation == '+'   ? left + right
                                                          : operation == '*' ? left * right
                                                          : operation == '-' ? left - right
                                                                             : left);
      auto after = states.back();
      for (const int64_t used : {left, right}) {
        ASSERT_TRUE(after.contains(used)) << trace;
        after.erase(after.find(used));
      }
      after.insert(value);
      if (at < trace.size() && trace[at] == '<')
        continue;  // a single number, and wrong: goes back from those before it
      states.push_back(after);
      if (at == trace.size()) break;
      std::multiset<int64_t> written;
      while (trace[at] != ';') ++at, written.insert(number());
      ++at;
      EXPECT_EQ(written, after) << trace;
    }
    EXPECT_EQ(states.back(), std::multiset<int64_t>{Read(prompt.text).second}) << demonstration;
  }
  EXPECT_GT(returns, 100);
}

TEST(CountdownTask, MaxStepsBoundsTheSearch) {
  const auto free = Countdown("numbers=4, demonstrations=search, max_steps=0");
  const auto bounded = Countdown("numbers=4, demonstrations=search, max_steps=5");
  size_t most = 0, most_bounded = 0;
  for (uint64_t index = 0; index < 300; ++index) {
    const Prompt prompt = free->At(Split::kTrain, index);
    const auto steps = [](const std::string& trace) {
      return static_cast<size_t>(std::count(trace.begin(), trace.end(), '='));  // the mark's included
    };
    most = std::max(most, steps(*free->Demonstration(prompt)));
    most_bounded = std::max(most_bounded, steps(*bounded->Demonstration(prompt)));
  }
  EXPECT_LE(most_bounded, 5u + 3 + 1);  // five, then straight on: three at most
  EXPECT_GT(most, 50u);
}

TEST(CountdownTask, CanonicalDemonstrationsIgnoreTheOrderOfTheNumbers) {
  const auto task = Countdown("numbers=4");
  for (uint64_t index = 0; index < 20; ++index) {
    auto [numbers, target] = Read(task->At(Split::kTrain, index).text);
    std::sort(numbers.begin(), numbers.end());
    const auto answer = task->Demonstration(Ask(numbers, target));
    while (std::next_permutation(numbers.begin(), numbers.end())) {
      EXPECT_EQ(task->Demonstration(Ask(numbers, target)), answer);
    }
  }
}

TEST(CountdownTask, ASolutionIsFoundWhereThereIsOne) {
  const auto canonical = Countdown(""), random = Countdown("demonstrations=random");
  RandomSequence draw(11, RandomStream::kTask, 0);
  int solvable = 0;
  for (int round = 0; round < 1500; ++round) {
    std::vector<int> numbers;
    for (int i = 0; i < 3 + (round % 8 == 0); ++i) numbers.push_back(1 + static_cast<int>(draw.Below(12)));
    const int target = 1 + static_cast<int>(draw.Below(40));
    const bool exists = Solvable({numbers.begin(), numbers.end()}, target);
    EXPECT_EQ(canonical->Demonstration(Ask(numbers, target)).has_value(), exists) << Ask(numbers, target).metadata;
    EXPECT_EQ(random->Demonstration(Ask(numbers, target)).has_value(), exists) << Ask(numbers, target).metadata;
    solvable += exists;
  }
  EXPECT_GT(solvable, 300);
  EXPECT_LT(solvable, 1200);
}

TEST(CountdownTask, RandomDemonstrationsAreUniform) {
  const auto task = Countdown("demonstrations=random");
  // 2, 3, 10 -> 15: the six orders of 2+3+10, and 10*3/2, 10/2*3, 3*10/2, 3/2*10.
  std::map<std::string, int> counts;
  for (uint64_t key = 0; key < 10000; ++key) {
    Prompt prompt = Ask({2, 3, 10}, 15);
    prompt.key = key;
    ++counts[task->Demonstration(prompt).value()];
  }
  EXPECT_EQ(counts.size(), 10u) << absl::StrJoin(counts, " ", absl::PairFormatter("="));
  // Each has 1000 on average, with a standard deviation of sqrt(10000 * 0.1 * 0.9) = 30.
  for (const auto& [answer, count] : counts) EXPECT_NEAR(count, 1000, 150) << answer;
}

TEST(CountdownTask, RefusesOptionsWithoutProblems) {
  EXPECT_THAT(ErrorOf("numbers=1"), HasSubstr("'numbers'"));
  EXPECT_THAT(ErrorOf("numbers=6"), HasSubstr("'numbers'"));
  EXPECT_THAT(ErrorOf("low=0"), HasSubstr("'low'"));
  EXPECT_THAT(ErrorOf("low=20, high=10"), HasSubstr("'high'"));
  EXPECT_THAT(ErrorOf("target_low=20, target_high=10"), HasSubstr("'target_high'"));
  EXPECT_THAT(ErrorOf("held_out_fraction=0"), HasSubstr("'held_out_fraction'"));
  EXPECT_THAT(ErrorOf("order=ascending"), HasSubstr("'order'"));
  EXPECT_THAT(ErrorOf("demonstration=random"), HasSubstr("unknown option 'demonstration'"));
  // Two numbers of at most 2 reach 4 at most.
  EXPECT_THAT(ErrorOf("numbers=2, high=2, target_low=5"), HasSubstr("no training problem among 20000 drawn"));
}

}  // namespace
}  // namespace hone
