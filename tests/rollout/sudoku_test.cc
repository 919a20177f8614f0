#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "recipes/build.h"
#include "rewards/verifier.h"
#include "rollout/task.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Task> Sudoku(const std::string& options) {
  return BuildTask(absl::StrCat("sudoku(", options, ")")).value();
}

std::string ErrorOf(const std::string& options) {
  return std::string(BuildTask(absl::StrCat("sudoku(", options, ")")).status().message());
}

double Score(const Prompt& prompt, const std::string& answer) {
  static const std::unique_ptr<Verifier> verifier = BuildVerifier("sudoku").value();
  return verifier->Verify(prompt, answer).score.value();
}

Prompt Ask(const std::string& cells) {
  Prompt prompt;
  prompt.metadata = absl::StrCat("{\"puzzle\":\"", cells, "\"}");
  return prompt;
}

// "12.4|3412|21..|4...=" -> "12.4341221..4..."
std::string Cells(const Prompt& prompt) {
  std::string cells = prompt.text;
  std::erase(cells, '|');
  std::erase(cells, '=');
  return cells;
}

// Solutions, two at most: a second opinion that tries every number in every cell.
int CountSolutions(std::string& cells, int size) {
  const int box = size == 4 ? 2 : 3;
  const size_t empty = cells.find('.');
  if (empty == std::string::npos) return 1;
  const int row = static_cast<int>(empty) / size, column = static_cast<int>(empty) % size;
  int count = 0;
  for (char value = '1'; value < '1' + size && count < 2; ++value) {
    bool fits = true;
    for (int other = 0; other < size * size; ++other) {
      const int r = other / size, c = other % size;
      const bool meets = r == row || c == column || (r / box == row / box && c / box == column / box);
      fits &= !(meets && cells[other] == value);
    }
    if (!fits) continue;
    cells[empty] = value;
    count += CountSolutions(cells, size);
    cells[empty] = '.';
  }
  return std::min(count, 2);
}

// Digits renamed in the order in which they appear.
std::string Renamed(std::string cells) {
  std::map<char, char> names{{'.', '.'}};
  for (char& cell : cells) cell = names.emplace(cell, static_cast<char>('0' + names.size())).first->second;
  return cells;
}

TEST(SudokuTask, PuzzlesHaveOneSolutionAndTheWantedEmptyCells) {
  const struct {
    const char* options;
    int size, low, high;
    uint64_t draws;
  } kCases[] = {{"", 4, 6, 10, 200},
                {"empty_low=12", 4, 12, 12, 100},
                {"size=9, empty_high=45", 9, 30, 45, 150},
                {"size=9, empty_low=52, empty_high=53", 9, 52, 53, 10}};  // the second opinion takes its time
  for (const auto& [options, size, low, high, draws] : kCases) {
    const auto task = Sudoku(options);
    std::set<int> seen;
    for (uint64_t index = 0; index < draws; ++index) {
      const Prompt prompt = task->At(index % 4 == 0 ? Split::kHeldOut : Split::kTrain, index);
      std::string cells = Cells(prompt);
      ASSERT_EQ(cells.size(), static_cast<size_t>(size) * size) << prompt.text;
      EXPECT_EQ(prompt.metadata, Ask(cells).metadata);
      seen.insert(static_cast<int>(std::count(cells.begin(), cells.end(), '.')));
      EXPECT_EQ(CountSolutions(cells, size), 1) << prompt.text;
    }
    EXPECT_EQ(*seen.begin(), low);
    EXPECT_EQ(*seen.rbegin(), high);
    EXPECT_EQ(static_cast<int>(seen.size()), high - low + 1) << options;
  }
}

TEST(SudokuTask, PromptsAreAFunctionOfOptionsSplitAndIndex) {
  const auto task = Sudoku("seed=3"), again = Sudoku("seed=3"), other = Sudoku("seed=4");
  EXPECT_EQ(task->DefaultVerifier(), "sudoku");
  EXPECT_EQ(task->Size(Split::kTrain), std::nullopt);
  EXPECT_EQ(Sudoku("problems=7")->Size(Split::kTrain), 7u);
  std::set<uint64_t> keys;
  int same = 0;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (uint64_t index = 0; index < 200; ++index) {
      const Prompt prompt = task->At(split, 199 - index);
      EXPECT_EQ(prompt.text, again->At(split, 199 - index).text);
      same += prompt.text == other->At(split, 199 - index).text;
      keys.insert(prompt.key);
    }
  }
  EXPECT_EQ(keys.size(), 400u);
  EXPECT_LT(same, 5);
}

TEST(SudokuTask, SplitsShareNoPuzzleWhateverItsDigitsAreCalled) {
  // 12 grids up to renaming and 16 * 15 / 2 = 120 pairs of cells: at most 1440 puzzles, which thousands of draws see nearly all.
  std::set<std::string> train, held_out;
  for (const char* seed : {"seed=1, ", "seed=2, "}) {
    const auto task = Sudoku(absl::StrCat(seed, "empty_low=2, empty_high=2, held_out_fraction=0.2"));
    for (uint64_t index = 0; index < 5000; ++index) {
      train.insert(Renamed(Cells(task->At(Split::kTrain, index))));
      held_out.insert(Renamed(Cells(task->At(Split::kHeldOut, index))));
    }
  }
  for (const std::string& puzzle : held_out) EXPECT_FALSE(train.contains(puzzle)) << puzzle;
  const double all = static_cast<double>(train.size() + held_out.size());
  EXPECT_GT(all, 1300);
  EXPECT_LE(all, 1440);
  EXPECT_NEAR(static_cast<double>(held_out.size()) / all, 0.2,
              0.04);  // standard deviation sqrt(0.2 * 0.8 / 1440) = 0.011
}

TEST(SudokuTask, DemonstrationsAreCorrect) {
  for (const char* options :
       {"", "demonstrations=search", "empty_low=12, demonstrations=search", "size=9", "size=9, demonstrations=search",
        "size=9, empty_low=56, demonstrations=search", "size=9, empty_low=56, demonstrations=search, max_steps=1",
        "size=9, empty_low=56, demonstrations=search, max_steps=0"}) {
    const auto task = Sudoku(options);
    for (uint64_t index = 0; index < 60; ++index) {
      const Prompt prompt = task->At(Split::kTrain, index);
      const auto answer = task->Demonstration(prompt);
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(Score(prompt, *answer), 1) << options << " " << prompt.text << *answer;
      EXPECT_EQ(task->Demonstration(prompt), answer);
    }
  }
}

TEST(SudokuTask, WritesItsSearch) {
  const auto direct = Sudoku(""), search = Sudoku("demonstrations=search");
  // Rows 12.4 and 3412, columns and boxes leave one number a cell; the first such cell comes first.
  EXPECT_EQ(direct->Demonstration(Ask("12.4341221..4...")), "1234|3412|2143|4321");
  EXPECT_EQ(search->Demonstration(Ask("12.4341221..4...")), "c1=3c3=4d3=3b4=3c4=2d4=1=>1234|3412|2143|4321");
}

// Plays a trace: each step must be allowed where it stands. Returns the cells before the answer's mark.
std::string Play(std::string cells, const std::string& trace, int size, int& returns) {
  std::map<std::string, std::string> before;  // a guess's cell -> the grid in which it was first made
  size_t at = 0;
  const auto name = [&] { return trace.substr(at, 2); };
  const auto cell = [&](const std::string& place) { return (place[1] - '1') * size + (place[0] - 'a'); };
  while (trace.compare(at, 2, "=>") != 0) {
    if (trace[at] == 'x') {
      at += 3;
      EXPECT_EQ(trace[at], '<') << trace;  // after a dead end only a return makes sense
      continue;
    }
    const bool goes_back = trace[at] == '<';
    at += goes_back;
    returns += goes_back;
    const std::string place = name();
    const char sign = trace[at + 2], value = trace[at + 3];
    if (goes_back) {
      EXPECT_TRUE(before.contains(place)) << trace;
      cells = before[place];
    }
    EXPECT_EQ(cells[cell(place)], '.') << trace;
    if (sign == '?' && !goes_back) before[place] = cells;
    cells[cell(place)] = value;
    at += 4;
  }
  return cells;
}

TEST(SudokuTask, TracesReachTheirAnswerStepByStep) {
  int returns = 0;
  for (const char* options :
       {"size=9, empty_low=54, max_steps=0", "size=9, empty_low=54, max_steps=60", "empty_low=12"}) {
    const auto task = Sudoku(absl::StrCat(options, ", demonstrations=search"));
    for (uint64_t index = 0; index < 40; ++index) {
      const Prompt prompt = task->At(Split::kTrain, index);
      const std::string trace = task->Demonstration(prompt).value();
      const std::vector<std::string> parts = absl::StrSplit(trace, "=>");
      ASSERT_EQ(parts.size(), 2u);
      std::string answer = parts[1];
      std::erase(answer, '|');
      EXPECT_EQ(Play(Cells(prompt), trace, answer.size() == 16 ? 4 : 9, returns), answer) << prompt.text << trace;
    }
  }
  EXPECT_GT(returns, 100);
}

TEST(SudokuTask, MaxStepsBoundsTheSearch) {
  const auto free = Sudoku("size=9, empty_low=56, demonstrations=search, max_steps=0");
  const auto bounded = Sudoku("size=9, empty_low=56, demonstrations=search, max_steps=80");
  size_t longest = 0, longest_bounded = 0;
  for (uint64_t index = 0; index < 100; ++index) {
    const Prompt prompt = free->At(Split::kTrain, index);
    longest = std::max(longest, free->Demonstration(prompt)->size());
    longest_bounded = std::max(longest_bounded, bounded->Demonstration(prompt)->size());
  }
  // 80 steps, then at most 56 more, of 4 characters each; a return adds one and a dead end three to a step; the mark and 89 of the grid.
  EXPECT_LE(longest_bounded, (80u + 56) * 8 + 2 + 89);
  EXPECT_GT(longest, 4000u);
}

TEST(SudokuTask, RefusesOptionsWithoutPuzzles) {
  EXPECT_THAT(ErrorOf("size=6"), HasSubstr("'size'"));
  EXPECT_THAT(ErrorOf("empty_low=13"), HasSubstr("'empty_low'"));
  EXPECT_THAT(ErrorOf("size=9, empty_high=58"), HasSubstr("'empty_high'"));
  EXPECT_THAT(ErrorOf("empty_low=9, empty_high=8"), HasSubstr("'empty_high'"));
  EXPECT_THAT(ErrorOf("empty=9"), HasSubstr("unknown option 'empty'"));
}

}  // namespace
}  // namespace hone
