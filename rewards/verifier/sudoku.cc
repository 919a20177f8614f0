// Sudoku (https://en.wikipedia.org/wiki/Sudoku) of 4x4, 9x9 and 16x16: an answer is right when it keeps the givens and no number stands
// twice in a row, a column or a box; any such answer counts, also where a puzzle has several.
//
//   metadata {"puzzle": "53..7....6..195..."} or {"rows": ["53..7....", ...]} or {"rows": [[5, 3, 0, ...], ...]}
//
// Grids are read in the shapes that models write: digits, with . 0 _ for an empty cell, and between them white-space, | - + , ; : = * #
// quotes and [ ] { }; cells of 16x16 are numbers. Other characters end a grid, and the last run of enough cells in a completion is the
// answer, so that words may stand around it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr int kMaxSize = 16;
constexpr size_t kMaxBytes = 1 << 20;  // of a completion's end, where its answer stands
constexpr int kTooLarge = 1000;        // what longer numbers are read as

// A square of `size` * `size` cells, row by row; 0 is an empty cell.
struct Grid {
  int size = 0;
  std::vector<int> cells;
};

int BoxSize(int size) { return size == 4 ? 2 : size == 9 ? 3 : 4; }

int BoxOf(int size, int row, int column) {
  const int box = BoxSize(size);
  return row / box * box + column / box;
}

bool IsSeparator(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c)) ||
         absl::string_view("|-+,;:=*#'\"`[]{}").find(c) != absl::string_view::npos;
}

// How the cells of a run are told apart.
enum class Cells {
  kDigits,   // each digit is one
  kNumbers,  // digits that touch are one
};

struct Cell {
  int value = 0;
  int line = 0;  // of the text
};

// A run of cells. Points end sentences as well as stand for empty cells, so it is kept with and without them.
struct Run {
  std::vector<Cell> with_points, without_points;
};

// The run from text[at] on; `at` moves behind it, and `line` counts on.
Run ReadRun(absl::string_view text, size_t& at, int& line, Cells kind) {
  Run run;
  bool touches = false;  // the character before is a digit
  for (; at < text.size(); ++at) {
    const char c = text[at];
    const bool is_digit = absl::ascii_isdigit(static_cast<unsigned char>(c));
    if (is_digit && touches && kind == Cells::kNumbers) {
      for (auto* cells : {&run.with_points, &run.without_points}) {
        cells->back().value = std::min(cells->back().value * 10 + (c - '0'), kTooLarge);
      }
    } else if (is_digit || c == '_' || c == '.') {
      const Cell cell{is_digit ? c - '0' : 0, line};
      run.with_points.push_back(cell);
      if (c != '.') run.without_points.push_back(cell);
    } else if (!IsSeparator(c)) {
      break;
    }
    line += c == '\n';
    touches = is_digit;
  }
  return run;
}

// Of a run that is too long: the last `count` cells that are whole lines ("1." may begin a list behind the grid), else the last ones.
std::vector<int> LastCells(const std::vector<Cell>& cells, size_t count) {
  const auto is_border = [&](size_t at) {
    return at == 0 || at == cells.size() || cells[at - 1].line != cells[at].line;
  };
  size_t end = cells.size();
  while (end > count && !(is_border(end) && is_border(end - count))) --end;
  if (!is_border(end) || !is_border(end - count)) end = cells.size();
  std::vector<int> values;
  for (size_t at = end - count; at < end; ++at) values.push_back(cells[at].value);
  return values;
}

// The cells of the answer, or none: of the last run that has `count`.
std::vector<int> FindAnswer(absl::string_view text, size_t count, Cells kind) {
  if (text.size() > kMaxBytes) text.remove_prefix(text.size() - kMaxBytes);
  std::vector<int> answer;
  int line = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const Run run = ReadRun(text, at, line, kind);
    const bool points_are_cells = run.with_points.size() == count || run.without_points.size() < count;
    const std::vector<Cell>& cells = points_are_cells ? run.with_points : run.without_points;
    if (cells.size() >= count) answer = LastCells(cells, count);
  }
  return answer;
}

// The puzzle as one text, from a text or from rows of texts or numbers.
absl::StatusOr<std::string> PuzzleText(const nlohmann::json& json) {
  if (const auto puzzle = json.find("puzzle"); puzzle != json.end() && puzzle->is_string()) {
    return puzzle->get<std::string>();
  }
  const auto rows = json.find("rows");
  if (rows == json.end() || !rows->is_array())
    return InputError("metadata needs \"puzzle\", a text, or \"rows\", a list");
  std::string text;
  for (const auto& row : *rows) {
    if (!row.is_string() && !row.is_array())
      return InputError("metadata: \"rows\" holds what is neither text nor list");
    absl::StrAppend(&text, row.is_string() ? row.get<std::string>() : row.dump(-1, ' ', true), "\n");
  }
  return text;
}

absl::StatusOr<Grid> ReadPuzzle(const std::string& metadata) {
  if (NestsTooDeep(metadata)) return InputError("metadata nests more than ", kDeepestJson, " deep");
  const auto json = nlohmann::json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InputError("metadata is not a JSON object with \"puzzle\" or \"rows\"");
  HONE_ASSIGN_OR_RETURN(const std::string text, PuzzleText(json));
  for (const Cells kind : {Cells::kDigits, Cells::kNumbers}) {
    size_t at = 0;
    int line = 0;
    const Run run = ReadRun(text, at, line, kind);
    if (at < text.size()) return InputError("metadata: the puzzle holds '", Visible(text.substr(at), 16), "', no cell");
    for (const int size : {4, 9, 16}) {
      const bool reads_so = (size == 16) == (kind == Cells::kNumbers);
      if (!reads_so || run.with_points.size() != static_cast<size_t>(size) * size) continue;
      return Grid{size, LastCells(run.with_points, run.with_points.size())};
    }
  }
  return InputError("metadata: the puzzle is not 4x4, 9x9 or 16x16 cells");
}

// Where a grid breaks the rules of the game.
struct Faults {
  int wrong_cells = 0;  // cells that are empty, out of range, or equal another of their row, column or box
  std::string first;    // "7 stands twice in row 3"
};

std::string Place(int size, int cell) { return absl::StrCat("row ", cell / size + 1, ", column ", cell % size + 1); }

// `may_be_empty`: whether empty cells are no fault.
Faults FindFaults(const Grid& grid, bool may_be_empty) {
  // How often a number stands in the rows, columns and boxes.
  std::array<std::array<std::array<int, kMaxSize + 1>, kMaxSize>, 3> counts{};
  constexpr std::array<absl::string_view, 3> kNames = {"row", "column", "box"};
  const auto unit = [&](int kind, int cell) {
    const int row = cell / grid.size, column = cell % grid.size;
    return kind == 0 ? row : kind == 1 ? column : BoxOf(grid.size, row, column);
  };
  const int cells = static_cast<int>(grid.cells.size());
  for (int cell = 0; cell < cells; ++cell) {
    const int value = grid.cells[cell];
    if (value < 1 || value > grid.size) continue;
    for (int kind = 0; kind < 3; ++kind) ++counts[kind][unit(kind, cell)][value];
  }
  Faults faults;
  for (int cell = 0; cell < cells; ++cell) {
    const int value = grid.cells[cell];
    if (value == 0 && may_be_empty) continue;
    std::string fault;
    if (value < 1 || value > grid.size) {
      fault = absl::StrCat(Place(grid.size, cell), value == 0 ? " is empty" : " is no number of the game");
    }
    for (int kind = 0; kind < 3 && fault.empty(); ++kind) {
      if (counts[kind][unit(kind, cell)][value] == 1) continue;
      fault = absl::StrCat(value, " stands twice in ", kNames[kind], " ", unit(kind, cell) + 1);
    }
    faults.wrong_cells += !fault.empty();
    if (faults.first.empty()) faults.first = std::move(fault);
  }
  return faults;
}

std::string BrokenGiven(int size, int cell, int given, int found) {
  return absl::StrCat(Place(size, cell), " is given as ", given, ", found ", found);
}

class SudokuVerifier : public Verifier {
 public:
  // Parts: "format", a grid was found; "givens", the share of givens that it keeps; "cells", the share of cells that are numbers of the
  // game and equal no other in their row, column and box.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto puzzle = ReadPuzzle(prompt.metadata);
    if (!puzzle.ok()) return {std::nullopt, std::string(puzzle.status().message()), {}};
    if (const Faults faults = FindFaults(*puzzle, /*may_be_empty=*/true); faults.wrong_cells > 0) {
      return {std::nullopt, absl::StrCat("metadata: the puzzle has no solution: ", faults.first), {}};
    }

    const size_t count = puzzle->cells.size();
    const Grid answer{puzzle->size,
                      FindAnswer(completion, count, puzzle->size == 16 ? Cells::kNumbers : Cells::kDigits)};
    if (answer.cells.empty()) {
      return {0.0, absl::StrCat("no grid of ", count, " cells"), {{"format", 0}, {"givens", 0}, {"cells", 0}}};
    }
    const Faults faults = FindFaults(answer, /*may_be_empty=*/false);
    std::string reason = faults.first;
    int givens = 0, kept = 0;
    for (size_t cell = count; cell-- > 0;) {  // backwards: the first broken given is the reason
      const int given = puzzle->cells[cell], found = answer.cells[cell];
      givens += given != 0;
      kept += given != 0 && found == given;
      if (given != 0 && found != given) reason = BrokenGiven(puzzle->size, static_cast<int>(cell), given, found);
    }
    const double kept_share = givens == 0 ? 1 : static_cast<double>(kept) / givens;
    const double cell_share = 1 - static_cast<double>(faults.wrong_cells) / static_cast<double>(count);
    return {reason.empty() ? 1.0 : 0.0,
            reason.empty() ? "correct" : reason,
            {{"format", 1}, {"givens", kept_share}, {"cells", cell_share}}};
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewSudokuVerifier(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<SudokuVerifier>();
}

}  // namespace hone
