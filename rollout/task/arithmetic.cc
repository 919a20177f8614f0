// Sums and products of whole numbers, as in TinyZero (https://github.com/Jiayi-Pan/TinyZero) and reasoning-gym's chain_sum
// (https://arxiv.org/abs/2505.24760), with the prompt of few tokens that small models learn from.
//
//   prompt "47+85-9*2=", answer "114"; with demonstrations=steps "47+85-18=132-18=>114"
//
// A step writes the expression anew with one operation done: the first product, else the first sum or difference. Expressions that differ only in
// the order of what is added and multiplied are one problem to the splits.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "rollout/drawn_task.h"

namespace hone {
namespace {

constexpr char kMark[] = "=>";
constexpr int kMaxDigits = 18;  // of all numbers together, so that no product exceeds 64 bits

struct Term {
  char sign = '+';
  std::vector<int64_t> factors;
};
using Expression = std::vector<Term>;

std::string ToText(const Term& term) {
  return absl::StrCat(std::string(1, term.sign), absl::StrJoin(term.factors, "*"));
}

std::string ToText(const Expression& expression) {
  std::string text;
  for (const Term& term : expression) absl::StrAppend(&text, ToText(term));
  return std::string(absl::StripPrefix(text, "+"));
}

// What ToText has written, of numbers without a sign.
Expression Read(absl::string_view text) {
  Expression expression = {{}};
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of("+-*", at), text.size());
    int64_t& number = expression.back().factors.emplace_back();
    HONE_CHECK(absl::SimpleAtoi(text.substr(at, end - at), &number));  // a prompt of this task
    if (end < text.size() && text[end] != '*') expression.push_back({text[end], {}});
    at = end + 1;
  }
  return expression;
}

// Does the operation that is due. Only the first term's value may become negative.
void Step(Expression& expression) {
  for (Term& term : expression) {
    if (term.factors.size() == 1) continue;
    term.factors[1] *= term.factors[0];
    term.factors.erase(term.factors.begin());
    return;
  }
  const Term& second = expression[1];
  expression[0].factors[0] += second.sign == '+' ? second.factors[0] : -second.factors[0];
  expression.erase(expression.begin() + 1);
}

bool IsNumber(const Expression& expression) { return expression.size() == 1 && expression[0].factors.size() == 1; }

struct ArithmeticOptions {
  int terms_low = 2, terms_high = 3;
  int digits_low = 1, digits_high = 2;
  std::string operations = "+-";
  bool steps = false;  // in demonstrations
};

class ArithmeticTask : public DrawnTask<Expression> {
 public:
  ArithmeticTask(const ArithmeticOptions& options, const DrawnTaskOptions& drawn)
      : DrawnTask(drawn), options_(options) {}

  std::optional<std::string> Demonstration(const Prompt& prompt) const override {
    if (!options_.steps) return prompt.answer;
    Expression expression = Read(absl::StripSuffix(prompt.text, "="));
    std::string text;
    for (Step(expression); !IsNumber(expression); Step(expression)) {
      absl::StrAppend(&text, text.empty() ? "" : "=", ToText(expression));
    }
    return absl::StrCat(text, kMark, ToText(expression));
  }

  std::string DefaultVerifier() const override {
    return options_.steps ? absl::StrCat("exact(after=\"", kMark, "\")") : "exact";
  }

 protected:
  std::optional<Expression> Draw(RandomSequence& random) const override {
    const auto within = [&](int low, int high) { return low + static_cast<int>(random.Below(high - low + 1)); };
    Expression expression = {{}};
    for (int left = within(options_.terms_low, options_.terms_high); left > 0; --left) {
      int64_t low = 1;
      for (int digit = within(options_.digits_low, options_.digits_high); digit > 1; --digit) low *= 10;
      const int64_t lowest = low == 1 ? 0 : low;  // numbers of one digit begin with 0
      expression.back().factors.push_back(lowest + random.Below(static_cast<uint32_t>(10 * low - lowest)));
      if (left == 1) break;
      const char operation = options_.operations[random.Below(static_cast<uint32_t>(options_.operations.size()))];
      if (operation != '*') expression.push_back({operation, {}});
    }
    return expression;
  }

  double Place(const Expression& expression) const override {
    std::vector<std::string> terms;
    for (Term term : expression) {
      std::sort(term.factors.begin(), term.factors.end());
      terms.push_back(ToText(term));
    }
    std::sort(terms.begin(), terms.end());
    return PlaceOf(absl::StrJoin(terms, ""));
  }

  Prompt Ask(const Expression& expression) const override {
    Prompt prompt;
    prompt.text = ToText(expression) + "=";
    Expression result = expression;
    while (!IsNumber(result)) Step(result);
    prompt.answer = ToText(result);
    return prompt;
  }

 private:
  const ArithmeticOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> NewArithmeticTask(Spec& spec) {
  ArithmeticOptions options;
  const auto range = [&](const std::string& name, int& low, int& high, int most, int least) {
    low = static_cast<int>(spec.Int(name + "_low", low, least, most));
    high = static_cast<int>(spec.Int(name + "_high", std::max(low, high), low, most));
  };
  range("terms", options.terms_low, options.terms_high, 9, 2);
  range("digits", options.digits_low, options.digits_high, 9, 1);
  options.operations =
      spec.Text("operations", options.operations);  // of + - *; one that stands twice is drawn twice as often
  options.steps = spec.Choice("demonstrations", "answer", {"answer", "steps"}) == "steps";
  const DrawnTaskOptions drawn = ReadDrawnTaskOptions(spec);
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (options.operations.empty() || options.operations.find_first_not_of("+-*") != std::string::npos) {
    return InputError("arithmetic: option 'operations' is '", Visible(options.operations, 16), "', wanted some of +-*");
  }
  if (options.terms_high * options.digits_high > kMaxDigits) {
    return InputError("arithmetic: ", options.terms_high, " terms of ", options.digits_high,
                      " digits may exceed 64 bits; ", "terms_high * digits_high is at most ", kMaxDigits);
  }
  auto task = std::make_unique<ArithmeticTask>(options, drawn);
  HONE_RETURN_IF_ERROR(task->Probe("arithmetic",
                                   absl::StrCat(options.terms_low, "..", options.terms_high, " terms of ",
                                                options.digits_low, "..", options.digits_high, " digits"),
                                   "widen the ranges"));
  return task;
}

}  // namespace hone
