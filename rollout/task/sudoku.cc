// Sudoku (https://en.wikipedia.org/wiki/Sudoku) of 4x4 and 9x9, one solution each.
//
//   prompt "12.4|3412|21..|4...=", answer "1234|3412|2143|4321"
//
// A full grid loses its numbers one by one, in a random order, each unless a second solution would appear; how many are wanted away is the
// difficulty. A grid that cannot lose as many is drawn anew. Puzzles that differ only in what the digits are called are one puzzle to the splits.
//
// With demonstrations=search the answer follows a search as in "To Backtrack or Not to Backtrack" (https://arxiv.org/abs/2504.07052), its steps in
// three or four characters each (column, row, number):
//
//   c1=3d3=4a4?1b4=3xb2<a4?2...=>1234|3412|2143|4321
//
// "c1=3" is a cell's only candidate; "a4?1" a guess, its lowest candidate, in the cell with fewest; "xb2" says that b2 has none left; "<a4?2" goes
// back to before the guess at a4 and tries the next. No run of digits but the last is as long as a grid, so the verifier finds the answer.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "rollout/drawn_task.h"

namespace hone {
namespace {

constexpr int kMaxCells = 81;
constexpr int kMaxGrids = 20000;  // until one loses as many numbers as wanted; one in ten does lose 57 of 81

// A grid, and which numbers its rows, columns and boxes hold. Sets of numbers are bits 1 .. size.
class Grid {
 public:
  explicit Grid(int size) : size_(size), box_(size == 4 ? 2 : 3) {}

  int size() const { return size_; }
  int cells() const { return size_ * size_; }
  int at(int cell) const { return values_[cell]; }
  void Place(int cell, int value) {
    values_[cell] = static_cast<uint8_t>(value);
    Flip(cell, value);
  }
  void Clear(int cell) {
    Flip(cell, values_[cell]);
    values_[cell] = 0;
  }

  // What an empty cell may hold.
  uint32_t Candidates(int cell) const {
    const int row = cell / size_, column = cell % size_;
    const uint32_t all = (2u << size_) - 2;
    return all & ~(rows_[row] | columns_[column] | boxes_[row / box_ * box_ + column / box_]);
  }

  // The empty cell with fewest candidates, the first of several; -1 where none is empty.
  int Narrowest() const {
    int narrowest = -1, fewest = size_ + 1;
    for (int cell = 0; cell < cells() && fewest > 0; ++cell) {
      if (values_[cell] != 0) continue;
      const int count = std::popcount(Candidates(cell));
      if (count < fewest) fewest = count, narrowest = cell;
    }
    return narrowest;
  }

  // Cells row by row, '.' for an empty one, with `between` between rows.
  std::string ToText(absl::string_view between) const {
    std::string text;
    for (int cell = 0; cell < cells(); ++cell) {
      if (cell > 0 && cell % size_ == 0) absl::StrAppend(&text, between);
      text.push_back(values_[cell] == 0 ? '.' : static_cast<char>('0' + values_[cell]));
    }
    return text;
  }

 private:
  void Flip(int cell, int value) {
    const int row = cell / size_, column = cell % size_;
    for (uint32_t* unit : {&rows_[row], &columns_[column], &boxes_[row / box_ * box_ + column / box_]})
      *unit ^= 1u << value;
  }

  int size_, box_;
  std::array<uint8_t, kMaxCells> values_{};
  std::array<uint32_t, 9> rows_{}, columns_{}, boxes_{};
};

// Takes the lowest candidate, or with `random` any.
int TakeCandidate(uint32_t& candidates, RandomSequence* random) {
  uint32_t rest = candidates;
  for (uint32_t skip = random == nullptr ? 0 : random->Below(std::popcount(candidates)); skip > 0; --skip)
    rest &= rest - 1;
  const int value = std::countr_zero(rest);
  candidates ^= 1u << value;
  return value;
}

// Fills the empty cells, or leaves the grid as it was where that is impossible.
bool Fill(Grid& grid, RandomSequence* random) {
  const int cell = grid.Narrowest();
  if (cell < 0) return true;
  for (uint32_t candidates = grid.Candidates(cell); candidates != 0;) {
    grid.Place(cell, TakeCandidate(candidates, random));
    if (Fill(grid, random)) return true;
    grid.Clear(cell);
  }
  return false;
}

// Whether a solution has another number than `value` in this empty cell.
bool MayDiffer(Grid grid, int cell, int value) {
  for (uint32_t others = grid.Candidates(cell) & ~(1u << value); others != 0;) {
    grid.Place(cell, TakeCandidate(others, nullptr));
    if (Fill(grid, nullptr)) return true;
    grid.Clear(cell);
  }
  return false;
}

// A puzzle with `empty` empty cells, or nothing where this grid in this order comes to no such.
std::optional<Grid> DrawPuzzle(int size, int empty, RandomSequence& random) {
  Grid grid(size);
  HONE_CHECK(Fill(grid, &random));
  std::array<int, kMaxCells> order;
  std::iota(order.begin(), order.end(), 0);
  for (int left = grid.cells(); left > 0 && empty > 0; --left) {
    std::swap(order[left - 1], order[random.Below(static_cast<uint32_t>(left))]);
    const int cell = order[left - 1], value = grid.at(cell);
    grid.Clear(cell);
    if (MayDiffer(grid, cell, value)) {
      grid.Place(cell, value);
    } else {
      --empty;
    }
  }
  return empty == 0 ? std::optional(grid) : std::nullopt;
}

// The search of the file's head. From the step after `max_steps` on it only guesses right, and gives up what was guessed wrong; 0: after as
// many as it takes.
class Search {
 public:
  Search(const Grid& puzzle, const Grid& solution, int max_steps)
      : grid_(puzzle), solution_(solution), max_steps_(max_steps) {}

  std::string Trace() && {
    HONE_CHECK(Go(/*is_right=*/true));
    return std::move(trace_);
  }

 private:
  // Whether the grid is now full; else it is as it was. `is_right`: no guess before was wrong.
  bool Go(bool is_right) {
    const int cell = grid_.Narrowest();
    if (cell < 0) return true;
    const std::string name = {static_cast<char>('a' + cell % grid_.size()),
                              static_cast<char>('1' + cell / grid_.size())};
    uint32_t candidates = grid_.Candidates(cell);
    if (candidates == 0) absl::StrAppend(&trace_, "x", name);
    const char* sign = std::has_single_bit(candidates) ? "=" : "?";
    for (const char* back = ""; candidates != 0;) {
      const int value = TakeCandidate(candidates, nullptr);
      const bool stays_right = is_right && value == solution_.at(cell);
      if (max_steps_ > 0 && steps_ >= max_steps_ && !stays_right) continue;
      ++steps_;
      absl::StrAppend(&trace_, back, name, sign, value);
      grid_.Place(cell, value);
      if (Go(stays_right)) return true;
      grid_.Clear(cell);
      back = "<";
    }
    return false;
  }

  Grid grid_;
  const Grid solution_;
  const int max_steps_;
  int steps_ = 0;
  std::string trace_;
};

// ---- The task ----------------------------------------------------------------------------------------------------

struct SudokuOptions {
  int size = 4;
  int empty_low = 0, empty_high = 0;
  bool searches = false;  // in demonstrations
  int max_steps = 100;
};

class SudokuTask : public DrawnTask<Grid> {
 public:
  SudokuTask(const SudokuOptions& options, const DrawnTaskOptions& drawn) : DrawnTask(drawn), options_(options) {}

  std::optional<std::string> Demonstration(const Prompt& prompt) const override {
    const auto json = nlohmann::json::parse(prompt.metadata, nullptr, /*allow_exceptions=*/false);
    HONE_CHECK(json.is_object() && json.contains("puzzle"));  // a prompt of this task
    const std::string text = json["puzzle"].get<std::string>();
    Grid puzzle(options_.size);
    HONE_CHECK(static_cast<int>(text.size()) == puzzle.cells());
    for (int cell = 0; cell < puzzle.cells(); ++cell) {
      if (text[cell] != '.') puzzle.Place(cell, text[cell] - '0');
    }
    Grid solution = puzzle;
    HONE_CHECK(Fill(solution, nullptr));
    if (!options_.searches) return solution.ToText("|");
    return absl::StrCat(Search(puzzle, solution, options_.max_steps).Trace(), "=>", solution.ToText("|"));
  }

  std::string DefaultVerifier() const override { return "sudoku"; }

 protected:
  std::optional<Grid> Draw(RandomSequence& random) const override {
    // How many are empty is drawn once, so that what few grids allow is as frequent as the rest.
    const int empty = options_.empty_low + static_cast<int>(random.Below(options_.empty_high - options_.empty_low + 1));
    std::optional<Grid> puzzle;
    for (int grid = 0; grid < kMaxGrids && !puzzle; ++grid) puzzle = DrawPuzzle(options_.size, empty, random);
    return puzzle;
  }

  // The same whatever the digits are called: they are renamed in the order in which they appear.
  double Place(const Grid& puzzle) const override {
    std::array<char, 10> names{'.'};
    char next = '1';
    std::string text = puzzle.ToText("");
    for (int cell = 0; cell < puzzle.cells(); ++cell) {
      char& name = names[puzzle.at(cell)];
      if (name == 0) name = next++;
      text[cell] = name;
    }
    return PlaceOf(text);
  }

  Prompt Ask(const Grid& puzzle) const override {
    Prompt prompt;
    prompt.text = puzzle.ToText("|") + "=";
    prompt.metadata = absl::StrCat("{\"puzzle\":\"", puzzle.ToText(""), "\"}");
    return prompt;
  }

 private:
  const SudokuOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> NewSudokuTask(Spec& spec) {
  SudokuOptions options;
  const bool is_small = spec.Choice("size", "4", {"4", "9"}) == "4";
  options.size = is_small ? 4 : 9;
  const int least = is_small ? 6 : 30, most = is_small ? 10 : 50, limit = is_small ? 12 : 57;
  options.empty_low = static_cast<int>(spec.Int("empty_low", least, 1, limit));
  options.empty_high =
      static_cast<int>(spec.Int("empty_high", std::max(most, options.empty_low), options.empty_low, limit));
  options.searches = spec.Choice("demonstrations", "direct", {"direct", "search"}) == "search";
  options.max_steps = static_cast<int>(spec.Int("max_steps", options.max_steps, 0, 1'000'000));
  const DrawnTaskOptions drawn = ReadDrawnTaskOptions(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  auto task = std::make_unique<SudokuTask>(options, drawn);
  HONE_RETURN_IF_ERROR(
      task->Probe("sudoku", absl::StrCat(options.empty_low, "..", options.empty_high, " empty cells"), "allow more"));
  return task;
}

}  // namespace hone
