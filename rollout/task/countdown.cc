// Countdown: reach a target with given numbers, each used exactly once, and + - * / and parentheses. The game of "Stream of
// Search", https://arxiv.org/abs/2404.03683; here the answer is the expression itself.
//
//   prompt "12 7 30:25=", answer "30+7-12"; or, after a search (rollout/countdown_search.h), behind "=>"
//
// Problems are drawn: random numbers, a random expression over them, kept when its value is a whole number in range. A hash of the
// problem (its numbers sorted, and the target) says to which split it belongs, so the splits share no problem, whatever the seed.
#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "rollout/countdown_search.h"
#include "rollout/drawn_task.h"

namespace hone {
namespace {

constexpr int kMaxNumbers = 5;
constexpr int kMaxNumber = 1000;  // with five of them every fraction's parts stay below 2^50

struct CountdownOptions {
  int numbers = 3;
  int low = 1, high = 50;
  int target_low = 1, target_high = 99;
  bool sorted = false;  // numbers of a prompt in descending order
  std::string demonstrations;
  int max_steps = 20;  // of a search
};

struct Problem {
  std::vector<int> numbers;  // in the prompt's order
  int target = 0;
};

// p / q, not reduced; q is not 0.
struct Fraction {
  int64_t p = 0;
  int64_t q = 1;

  bool Is(int64_t whole) const { return p % q == 0 && p / q == whole; }
};

std::optional<Fraction> Apply(char operation, const Fraction& left, const Fraction& right) {
  switch (operation) {
    case '+':
      return Fraction{left.p * right.q + right.p * left.q, left.q * right.q};
    case '-':
      return Fraction{left.p * right.q - right.p * left.q, left.q * right.q};
    case '*':
      return Fraction{left.p * right.p, left.q * right.q};
    default:
      if (right.p == 0) return std::nullopt;
      return Fraction{left.p * right.q, left.q * right.p};
  }
}

std::strong_ordering Compare(const Fraction& a, const Fraction& b) {
  const bool flipped = (a.q < 0) != (b.q < 0);
  return flipped ? b.p * a.q <=> a.p * b.q : a.p * b.q <=> b.p * a.q;
}

// ---- Solutions ---------------------------------------------------------------------------------------------------

// An expression in normal form: what stands right of an operator binds more tightly than it, so sums and products are chains
// t1 o t2 o t3 that lean to the left, and parentheses stand only where they must.
struct Expression {
  char operation = '0';  // '0' for a number
  int number = 0;
  Fraction value;
  const Expression* left = nullptr;
  const Expression* right = nullptr;
  const Expression* first = nullptr;  // first and last member of the chain; the expression itself when it is a number
  const Expression* last = nullptr;
  // What demonstrations avoid, worst first: * and /, then /, then pairs of parentheses, then -.
  std::array<int, 4> cost{};
};

int Precedence(char operation) { return operation == '0' ? 3 : operation == '*' || operation == '/' ? 2 : 1; }

// Whether a chain may go on with `next`, for the one order of its members that demonstrations use: the first is the largest of the
// added (multiplied), the others follow from large to small. Expressions count as larger than numbers.
bool KeepsOrder(const Expression& chain, bool is_chain, char operation, const Expression& next) {
  const auto at_least = [](const Expression& a, const Expression& b) {
    if ((a.operation == '0') != (b.operation == '0')) return a.operation != '0';
    return Compare(a.value, b.value) >= 0;
  };
  const Expression& first = is_chain ? *chain.first : chain;
  if (operation == '+' || operation == '*') {
    if (!at_least(first, next)) return false;
  }
  return !is_chain || at_least(*chain.last, next);
}

std::string ToText(const Expression& expression) {
  if (expression.operation == '0') return absl::StrCat(expression.number);
  const auto member = [&](const Expression& part) {
    const bool bare = Precedence(part.operation) >= Precedence(expression.operation);
    return bare ? ToText(part) : absl::StrCat("(", ToText(part), ")");
  };
  return absl::StrCat(member(*expression.left), std::string(1, expression.operation), member(*expression.right));
}

void AppendNumbers(const Expression& expression, std::vector<int>& numbers) {
  if (expression.operation == '0') {
    numbers.push_back(expression.number);
    return;
  }
  AppendNumbers(*expression.left, numbers);
  AppendNumbers(*expression.right, numbers);
}

// All expressions over all of the numbers that reach the target, by exhaustion over subsets.
class Solver {
 public:
  Solver(const Problem& problem, bool canonical_only)
      : target_(problem.target), canonical_only_(canonical_only), by_subset_(size_t{1} << problem.numbers.size()) {
    const size_t all = by_subset_.size() - 1;
    for (size_t index = 0; index < problem.numbers.size(); ++index) {
      Expression number;
      number.number = problem.numbers[index];
      number.value.p = number.number;
      by_subset_[size_t{1} << index].push_back(number);
    }
    for (size_t subset = 1; subset <= all; ++subset) {
      if (std::has_single_bit(subset)) continue;
      for (size_t left = (subset - 1) & subset; left != 0; left = (left - 1) & subset) {
        for (const Expression& a : by_subset_[left]) {
          for (const Expression& b : by_subset_[subset ^ left]) Join(a, b, subset == all, by_subset_[subset]);
        }
      }
    }
  }
  Solver(const Solver&) = delete;

  const std::vector<Expression>& solutions() const { return by_subset_.back(); }

 private:
  void Join(const Expression& a, const Expression& b, bool is_whole, std::vector<Expression>& out) const {
    for (const char operation : {'+', '-', '*', '/'}) {
      const int precedence = Precedence(operation);
      if (Precedence(b.operation) == precedence) continue;
      const bool is_chain = Precedence(a.operation) == precedence;
      const auto value = Apply(operation, a.value, b.value);
      if (!value || (is_whole && !value->Is(target_))) continue;
      if (canonical_only_ && !KeepsOrder(a, is_chain, operation, b)) continue;

      Expression joined{operation, 0, *value, &a, &b, is_chain ? a.first : &a, &b, {}};
      const int parentheses = (Precedence(a.operation) < precedence) + (Precedence(b.operation) < precedence);
      joined.cost = {precedence == 2, operation == '/', parentheses, operation == '-'};
      for (size_t index = 0; index < joined.cost.size(); ++index) joined.cost[index] += a.cost[index] + b.cost[index];
      out.push_back(joined);
    }
  }

  const int target_;
  const bool canonical_only_;
  std::vector<std::vector<Expression>> by_subset_;  // complete before any pointer into it is taken
};

// The cheapest solution; among equals the one whose numbers, read from left to right, are larger; then by text.
std::optional<std::string> CanonicalSolution(const Problem& problem) {
  const Solver solver(problem, /*canonical_only=*/true);
  using Rank = std::tuple<std::array<int, 4>, std::vector<int>, std::string>;
  std::optional<Rank> best;
  for (const Expression& expression : solver.solutions()) {
    if (best && expression.cost > std::get<0>(*best)) continue;
    Rank rank{expression.cost, {}, ToText(expression)};
    AppendNumbers(expression, std::get<1>(rank));
    for (int& number : std::get<1>(rank)) number = -number;
    if (!best || rank < *best) best = std::move(rank);
  }
  if (!best) return std::nullopt;
  return std::get<2>(*best);
}

// Any solution, each with the same chance.
std::optional<std::string> RandomSolution(const Problem& problem, RandomSequence random) {
  const Solver solver(problem, /*canonical_only=*/false);
  std::vector<std::string> texts;
  for (const Expression& expression : solver.solutions()) texts.push_back(ToText(expression));
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.empty()) return std::nullopt;
  return texts[random.Below(static_cast<uint32_t>(texts.size()))];
}

// ---- Problems ----------------------------------------------------------------------------------------------------

// The same for whatever order of the numbers.
double PlaceOf(Problem problem) {
  std::sort(problem.numbers.begin(), problem.numbers.end());
  std::array<uint32_t, 4> state{static_cast<uint32_t>(problem.target), static_cast<uint32_t>(problem.numbers.size()), 0,
                                0};
  for (const int number : problem.numbers) state = Philox4x32(state, {static_cast<uint32_t>(number), 0});
  return state[0] * 0x1p-32;
}

// Random numbers and the value of a random expression over them, or nothing when that is no target.
std::optional<Problem> DrawProblem(const CountdownOptions& options, RandomSequence& random) {
  Problem problem;
  std::vector<Fraction> values;
  for (int index = 0; index < options.numbers; ++index) {
    problem.numbers.push_back(options.low + static_cast<int>(random.Below(options.high - options.low + 1)));
    values.push_back({problem.numbers.back(), 1});
  }
  const auto take = [&] {
    std::swap(values[random.Below(static_cast<uint32_t>(values.size()))], values.back());
    const Fraction value = values.back();
    values.pop_back();
    return value;
  };
  while (values.size() > 1) {
    const Fraction left = take(), right = take();
    const auto value = Apply("+-*/"[random.Below(4)], left, right);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  const auto [p, q] = values.front();
  if (p % q != 0 || p / q < options.target_low || p / q > options.target_high) return std::nullopt;
  problem.target = static_cast<int>(p / q);
  return problem;
}

class CountdownTask : public DrawnTask<Problem> {
 public:
  CountdownTask(const CountdownOptions& options, const DrawnTaskOptions& drawn) : DrawnTask(drawn), options_(options) {}

  std::optional<std::string> Demonstration(const Prompt& prompt) const override {
    const auto json = nlohmann::json::parse(prompt.metadata, nullptr, /*allow_exceptions=*/false);
    HONE_CHECK(json.is_object() && json.contains("numbers") && json.contains("target"));  // a prompt of this task
    const Problem problem{json["numbers"].get<std::vector<int>>(), json["target"].get<int>()};
    if (options_.demonstrations == "random") return RandomSolution(problem, RandomFor(prompt));
    if (options_.demonstrations == "search") {
      if (auto trace = SearchTrace(problem.numbers, problem.target, options_.max_steps)) return trace;
    }
    auto solution = CanonicalSolution(problem);
    if (solution && options_.demonstrations == "search") solution->insert(0, kAnswerMark);  // only fractions lead there
    return solution;
  }

  std::string DefaultVerifier() const override {
    return options_.demonstrations == "search" ? absl::StrCat("countdown(after=\"", kAnswerMark, "\")") : "countdown";
  }

 protected:
  std::optional<Problem> Draw(RandomSequence& random) const override { return DrawProblem(options_, random); }
  double Place(const Problem& problem) const override { return PlaceOf(problem); }

  Prompt Ask(const Problem& problem) const override {
    std::vector<int> numbers = problem.numbers;
    if (options_.sorted) std::sort(numbers.begin(), numbers.end(), std::greater<>());
    Prompt prompt;
    prompt.text = absl::StrCat(absl::StrJoin(numbers, " "), ":", problem.target, "=");
    prompt.metadata = absl::StrCat("{\"numbers\":[", absl::StrJoin(numbers, ","), "],\"target\":", problem.target, "}");
    return prompt;
  }

 private:
  const CountdownOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> NewCountdownTask(Spec& spec) {
  CountdownOptions options;
  options.numbers = static_cast<int>(spec.Int("numbers", options.numbers, 2, kMaxNumbers));
  options.low = static_cast<int>(spec.Int("low", options.low, 1, kMaxNumber));
  options.high = static_cast<int>(spec.Int("high", std::max(options.high, options.low), options.low, kMaxNumber));
  options.target_low = static_cast<int>(spec.Int("target_low", options.target_low, 1, 1'000'000));
  options.target_high = static_cast<int>(
      spec.Int("target_high", std::max(options.target_high, options.target_low), options.target_low, 1'000'000));
  options.sorted = spec.Choice("order", "random", {"random", "descending"}) == "descending";
  options.demonstrations = spec.Choice("demonstrations", "canonical", {"canonical", "random", "search"});
  options.max_steps = static_cast<int>(spec.Int("max_steps", options.max_steps, 0, 1'000'000));
  const DrawnTaskOptions drawn = ReadDrawnTaskOptions(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  auto task = std::make_unique<CountdownTask>(options, drawn);
  HONE_RETURN_IF_ERROR(task->Probe("countdown",
                                   absl::StrCat("numbers ", options.low, "..", options.high, " and targets ",
                                                options.target_low, "..", options.target_high),
                                   "widen the ranges"));
  return task;
}

}  // namespace hone
