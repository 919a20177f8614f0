#include "rollout/countdown_search.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hone {
namespace {

// A number at hand, with the expression that it is the value of. What is computed never gets negative.
struct Number {
  int64_t value = 0;
  std::string text;
  char operation = '0';  // the expression's outermost; '0' for a given number
};

struct Step {
  std::string text;           // "66-42=24"
  std::vector<Number> after;  // numbers that are left, the new one last
  int64_t distance = 0;       // summed over these; steps from one state leave equally many
};

int Precedence(char operation) { return operation == '0' ? 3 : operation == '*' || operation == '/' ? 2 : 1; }

std::string Join(const Number& left, char operation, const Number& right) {
  const auto wrapped = [](const Number& part, bool wraps) {
    return wraps ? absl::StrCat("(", part.text, ")") : part.text;
  };
  const int own = Precedence(operation), inner = Precedence(right.operation);
  const bool is_inverse = operation == '-' || operation == '/';
  return absl::StrCat(wrapped(left, Precedence(left.operation) < own), std::string(1, operation),
                      wrapped(right, inner < own || (inner == own && is_inverse)));
}

// Every step from these numbers, the most promising first.
std::vector<Step> StepsFrom(const std::vector<Number>& numbers, int64_t target) {
  std::vector<Step> steps;
  const auto add = [&](size_t i, size_t j, const Number& left, char operation, const Number& right, int64_t value) {
    Step step{absl::StrCat(left.value, std::string(1, operation), right.value, "=", value), {}, 0};
    for (size_t k = 0; k < numbers.size(); ++k) {
      if (k != i && k != j) step.after.push_back(numbers[k]);
    }
    step.after.push_back({value, Join(left, operation, right), operation});
    for (const Number& number : step.after) step.distance += std::abs(number.value - target);
    steps.push_back(std::move(step));
  };
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (size_t j = i + 1; j < numbers.size(); ++j) {
      const Number &a = numbers[i], &b = numbers[j];
      const auto& [large, small] = a.value > b.value ? std::pair(a, b) : std::pair(b, a);
      add(i, j, a, '+', b, a.value + b.value);
      add(i, j, a, '*', b, a.value * b.value);
      add(i, j, large, '-', small, large.value - small.value);
      if (small.value > 1 && large.value % small.value == 0) add(i, j, large, '/', small, large.value / small.value);
    }
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.distance < b.distance; });
  return steps;
}

bool Reaches(const std::vector<Number>& numbers, int64_t target) {
  if (numbers.size() == 1) return numbers[0].value == target;
  const std::vector<Step> steps = StepsFrom(numbers, target);
  return std::any_of(steps.begin(), steps.end(), [&](const Step& step) { return Reaches(step.after, target); });
}

class Search {
 public:
  Search(int64_t target, int max_steps) : target_(target), max_steps_(max_steps) {}

  // Whether the target is reached from here; the trace has then ended.
  bool From(const std::vector<Number>& numbers) {
    for (const Step& step : StepsFrom(numbers, target_)) {
      if (max_steps_ > 0 && steps_ >= max_steps_ && !Reaches(step.after, target_)) continue;
      ++steps_;
      absl::StrAppend(&trace_, step.text);
      if (step.after.size() > 1) {
        const auto append_value = [](std::string* out, const Number& number) { absl::StrAppend(out, number.value); };
        absl::StrAppend(&trace_, ":", absl::StrJoin(step.after, " ", append_value), ";");
        if (From(step.after)) return true;
        absl::StrAppend(&trace_, "<");
      } else if (step.after[0].value == target_) {
        absl::StrAppend(&trace_, kAnswerMark, step.after[0].text);
        return true;
      } else {
        return false;  // the others lead farther away
      }
    }
    return false;
  }

  std::string trace() && { return std::move(trace_); }

 private:
  const int64_t target_;
  const int max_steps_;
  int steps_ = 0;
  std::string trace_;
};

}  // namespace

std::optional<std::string> SearchTrace(const std::vector<int>& numbers, int target, int max_steps) {
  std::vector<Number> given;
  for (const int number : numbers) given.push_back({number, absl::StrCat(number), '0'});
  if (!Reaches(given, target)) return std::nullopt;
  Search search(target, max_steps);
  if (!search.From(given)) return std::nullopt;
  return std::move(search).trace();
}

}  // namespace hone
