#include <gmock/gmock.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

Verdict Verify(const std::string& metadata, const std::string& completion) {
  return BuildWith(NewSudokuVerifier, "sudoku").value()->Verify(Question("", metadata), completion);
}

// The puzzle and solution of https://en.wikipedia.org/wiki/Sudoku.
constexpr char kPuzzle[] =
    R"({"puzzle": "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"})";
const std::vector<std::string> kRows = {"534678912", "672195348", "198342567", "859761423", "426853791",
                                        "713924856", "961537284", "287419635", "345286179"};
const std::string kSolution = absl::StrJoin(kRows, "");

std::string Spread(const std::string& row, const std::string& between) {
  return absl::StrJoin(row, between, [](std::string* out, char c) { out->push_back(c); });
}

TEST(SudokuVerifier, ReadsAnswersInManyShapes) {
  std::vector<std::string> spaced;
  for (const std::string& row : kRows) spaced.push_back(Spread(row, " "));
  std::vector<std::string> drawn, listed, table;
  for (size_t i = 0; i < kRows.size(); ++i) {
    const std::string& row = kRows[i];
    if (i % 3 == 0) drawn.push_back("+-------+-------+-------+");
    drawn.push_back(absl::StrCat("| ", row.substr(0, 3), " | ", row.substr(3, 3), " | ", row.substr(6), " |"));
    listed.push_back("[" + Spread(row, ", ") + "]");
    table.push_back("|" + Spread(row, "|") + "|");
  }
  const std::string lines = absl::StrJoin(kRows, "\n");
  for (const std::string& answer :
       {kSolution, lines, absl::StrJoin(spaced, "\r\n"), absl::StrJoin(drawn, "\n"), absl::StrJoin(table, "\n"),
        "[" + absl::StrJoin(listed, ",\n") + "]", "The solution is " + kSolution + ".",
        "<answer>" + lines + "</answer>", "First I try 1 and 2.\n```\n" + lines + "\n```\nRow 1 was easy.",
        "1. Solve\n" + lines + "\n\n1. Row one",
        "No: " + std::string(81, '1') + " but: " + kSolution + " (81 cells)"}) {
    const Verdict verdict = Verify(kPuzzle, answer);
    EXPECT_EQ(verdict.score, 1.0) << answer << ": " << verdict.reason;
    EXPECT_EQ(verdict.reason, "correct");
    EXPECT_EQ(PartsText(verdict), "format=1 givens=1 cells=1");
  }
}

TEST(SudokuVerifier, ReadsPuzzlesInManyShapes) {
  const char* kShapes[] = {R"({"puzzle": "1234 3412 21.. 4_0."})", R"({"puzzle": "12|34\n34|12\n--+--\n21|..\n4.|.."})",
                           R"({"rows": ["1234", "3412", "21__", "4.0."]})",
                           R"({"rows": [[1,2,3,4],[3,4,1,2],[2,1,0,0],[4,0,0,0]], "solution": "ignored"})"};
  for (const char* puzzle : kShapes) {
    EXPECT_EQ(Verify(puzzle, "1234341221434321").score, 1.0) << puzzle;
    EXPECT_EQ(Verify(puzzle, "1234341221434312").score, 0.0) << puzzle;
  }
  // 16x16: row r of band b is 1..16 turned by 4 r + b.
  std::vector<int> numbers;
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 16; ++column) numbers.push_back((column + 4 * (row % 4) + row / 4) % 16 + 1);
  }
  std::vector<int> givens = numbers;
  for (size_t i = 0; i < givens.size(); i += 3) givens[i] = 0;
  const std::string puzzle = absl::StrCat("{\"puzzle\": \"", absl::StrJoin(givens, " "), "\"}");
  EXPECT_EQ(Verify(puzzle, "Here:\n" + absl::StrJoin(numbers, ", ") + ".").score, 1.0);
  std::swap(numbers[0], numbers[3]);
  EXPECT_EQ(Verify(puzzle, absl::StrJoin(numbers, " ")).score, 0.0);
}

TEST(SudokuVerifier, TakesAnyCompletionOfTheGivens) {
  const char kEmpty[] = R"({"puzzle": "................"})";
  EXPECT_EQ(Verify(kEmpty, "1234341221434321").score, 1.0);
  EXPECT_EQ(Verify(kEmpty, "4321214334121234").score, 1.0);
}

TEST(SudokuVerifier, SaysWhatIsWrong) {
  const char kSmall[] = R"({"puzzle": "12.4341221..4..."})";  // completed by 1234 3412 2143 4321
  const struct {
    const char *completion, *reason, *parts;
  } kCases[] = {
      {"", "no grid of 16 cells", "format=0 givens=0 cells=0"},
      {"1234 3412 2143 432", "no grid of 16 cells", "format=0 givens=0 cells=0"},
      {"1234 3412 x 2143 4321", "no grid of 16 cells", "format=0 givens=0 cells=0"},
      // 1s: two in row 3, two in row 4, and one in row 2 that shares column 3 with the one in row 4. 5 cells of 16 are wrong.
      {"1234 3412 2141 4311", "1 stands twice in column 3", "format=1 givens=1 cells=0.6875"},
      // 9 of 10 givens; the first 4 equals one of its row, one of its column and one of its box.
      {"4234 3412 2143 4321", "row 1, column 1 is given as 1, found 4", "format=1 givens=0.9 cells=0.75"},
      {"1234 3412 2143 432_", "row 4, column 4 is empty", "format=1 givens=1 cells=0.9375"},
      {"1234 3412 2143 4325", "row 4, column 4 is no number of the game", "format=1 givens=1 cells=0.9375"},
  };
  for (const auto& [completion, reason, parts] : kCases) {
    const Verdict verdict = Verify(kSmall, completion);
    EXPECT_EQ(verdict.score, 0.0) << completion;
    EXPECT_EQ(verdict.reason, reason) << completion;
    EXPECT_EQ(PartsText(verdict), parts) << completion;
  }
  EXPECT_EQ(Verify(kPuzzle, std::string(81, '5')).score, 0.0);
}

TEST(SudokuVerifier, HasNoVerdictForWhatIsNoPuzzle) {
  const std::pair<std::string, const char*> kCases[] = {
      {"", "metadata is not a JSON object"},
      {"[]", "metadata is not a JSON object"},
      {"{}", "metadata needs \"puzzle\", a text, or \"rows\", a list"},
      {R"({"puzzle": 5})", "metadata needs \"puzzle\""},
      {R"({"puzzle": "123"})", "the puzzle is not 4x4, 9x9 or 16x16 cells"},
      {R"({"puzzle": "a234341221434321"})", "the puzzle holds 'a234341221434321', no cell"},
      {R"({"rows": [5]})", "\"rows\" holds what is neither text nor list"},
      {R"({"rows": [["x"]]})", "the puzzle holds 'x\"]\\n', no cell"},
      {R"({"puzzle": "11.............."})", "the puzzle has no solution: 1 stands twice in row 1"},
      {R"({"puzzle": "5..............."})", "the puzzle has no solution: row 1, column 1 is no number of the game"},
      {"{\"puzzle\": " + std::string(100000, '['), "metadata nests more than 100 deep"},
  };
  for (const auto& [metadata, reason] : kCases) {
    const Verdict verdict = Verify(metadata, kSolution);
    EXPECT_FALSE(verdict.score.has_value()) << metadata;
    EXPECT_THAT(verdict.reason, HasSubstr(reason)) << metadata;
  }
}

TEST(SudokuVerifier, WithstandsHostileCompletions) {
  const auto sudoku = BuildWith(NewSudokuVerifier, "sudoku").value();
  ExpectWithstandsHostileCompletions(*sudoku, Question("", kPuzzle), 0, 0);
  std::string puzzle = "{\"rows\": [";
  for (int row = 0; row < 16; ++row) absl::StrAppend(&puzzle, row == 0 ? "" : ",", "\"", Repeated("0 ", 16), "\"");
  ExpectWithstandsHostileCompletions(*sudoku, Question("", puzzle + "]}"), 0, 0);
}

}  // namespace
}  // namespace hone
