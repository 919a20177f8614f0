// Countdown: an answer is an expression that uses each given number exactly once and whose value is the target. The game of
// "Stream of Search", https://arxiv.org/abs/2404.03683, without its steps; with `after`, only what follows its last occurrence is read, so that a
// search may stand before the answer.
//
// The arithmetic is exact and cannot overflow: let an expression over the numbers n_i have the value p / q, fractions left as they
// come. Then |p| + |q| <= product of (n_i + 1): true for n / 1, and sum, product and quotient of a/b and c/d have numerators and
// denominators that together are at most (|a| + |b|) (|c| + |d|). A problem whose product is above 2^62 gets no verdict, and the
// use of numbers is checked before anything is computed.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr int64_t kMaxProduct = int64_t{1} << 62;
constexpr size_t kMaxNumbers = 32;
constexpr size_t kMaxLength = 4096;  // bytes of an answer
constexpr int kMaxDepth = 64;        // open parentheses

struct Problem {
  std::vector<int64_t> numbers;
  int64_t target = 0;
};

// p / q, not reduced; q is not 0.
struct Fraction {
  int64_t p = 0;
  int64_t q = 1;
};

// A number, an operator or a parenthesis.
struct Token {
  char kind;  // '0' for a number, else the character itself
  absl::string_view text;
  size_t column;  // from 1
};

bool ReadWhole(const nlohmann::json& value, int64_t& whole) {
  constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > kLargest) return false;
  whole = value.get<int64_t>();
  return true;
}

// {"numbers": [3, 5, 7], "target": 10}; other members are ignored.
absl::StatusOr<Problem> ReadProblem(const std::string& metadata) {
  const auto json = nlohmann::json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return InputError("metadata is not a JSON object like {\"numbers\": [3, 5, 7], \"target\": 10}");
  const auto numbers = json.find("numbers");
  if (numbers == json.end() || !numbers->is_array() || numbers->empty() || numbers->size() > kMaxNumbers) {
    return InputError("metadata needs \"numbers\", a list of 1 to ", kMaxNumbers, " whole numbers");
  }
  Problem problem;
  int64_t product = 1;
  for (const auto& entry : *numbers) {
    int64_t number = 0;
    if (!ReadWhole(entry, number) || number < 0) {
      const std::string found = entry.is_number() ? entry.dump() : absl::StrCat("a value of type ", entry.type_name());
      return InputError("metadata: \"numbers\" holds ", found, ", not a whole number from 0 up");
    }
    if (number >= kMaxProduct || __builtin_mul_overflow(product, number + 1, &product) || product > kMaxProduct) {
      return InputError("metadata: the product of all (number + 1) exceeds 2^62, the limit of exact arithmetic here");
    }
    problem.numbers.push_back(number);
  }
  const auto target = json.find("target");
  if (target == json.end() || !ReadWhole(*target, problem.target)) {
    return InputError("metadata needs \"target\", a whole number");
  }
  return problem;
}

absl::Status NotAnExpression(size_t column, absl::string_view what) {
  return InputError("not an expression at column ", column, ": ", what);
}

absl::Status Unexpected(size_t column, absl::string_view wanted, absl::string_view found) {
  return NotAnExpression(column, absl::StrCat(wanted, " expected, found '", Visible(found, 16), "'"));
}

absl::StatusOr<std::vector<Token>> Split(absl::string_view text) {
  if (text.size() > kMaxLength)
    return InputError("answer has ", text.size(), " bytes, at most ", kMaxLength, " are read");
  std::vector<Token> tokens;
  for (size_t at = 0; at < text.size();) {
    const char first = text[at];
    size_t length = 1;
    if (absl::string_view(" \t\r\n").find(first) != absl::string_view::npos) {
      ++at;
      continue;
    }
    if (absl::string_view("+-*/()").find(first) != absl::string_view::npos) {
      tokens.push_back({first, text.substr(at, length), at + 1});
    } else if (absl::ascii_isdigit(static_cast<unsigned char>(first))) {
      while (at + length < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[at + length]))) ++length;
      if (first == '0' && length > 1) return NotAnExpression(at + 1, "a number begins with 0");
      tokens.push_back({'0', text.substr(at, length), at + 1});
    } else {
      return Unexpected(at + 1, "a number, + - * / or parentheses", text.substr(at));
    }
    at += length;
  }
  return tokens;
}

int Precedence(char operation) { return operation == '+' || operation == '-' ? 1 : 2; }

// Dijkstra's shunting yard: infix to postfix, without recursion.
absl::StatusOr<std::vector<Token>> ToPostfix(const std::vector<Token>& tokens) {
  if (tokens.empty()) return InputError("the answer is empty");
  std::vector<Token> postfix, waiting;
  int depth = 0;
  bool wants_operand = true;
  for (const Token& token : tokens) {
    const bool opens_operand = token.kind == '0' || token.kind == '(';
    if (wants_operand && !opens_operand) return Unexpected(token.column, "a number or '('", token.text);
    if (!wants_operand && opens_operand) return Unexpected(token.column, "an operator or the end", token.text);
    if (token.kind == '0') {
      postfix.push_back(token);
      wants_operand = false;
    } else if (token.kind == '(') {
      if (++depth > kMaxDepth) return NotAnExpression(token.column, absl::StrCat("more than ", kMaxDepth, " open '('"));
      waiting.push_back(token);
    } else if (token.kind == ')') {
      if (--depth < 0) return NotAnExpression(token.column, "')' without '('");
      for (; waiting.back().kind != '('; waiting.pop_back()) postfix.push_back(waiting.back());
      waiting.pop_back();
    } else {
      while (!waiting.empty() && waiting.back().kind != '(' &&
             Precedence(waiting.back().kind) >= Precedence(token.kind)) {
        postfix.push_back(waiting.back());
        waiting.pop_back();
      }
      waiting.push_back(token);
      wants_operand = true;
    }
  }
  if (wants_operand) return NotAnExpression(tokens.back().column + 1, "a number or '(' expected, found the end");
  for (; !waiting.empty(); waiting.pop_back()) {
    if (waiting.back().kind == '(') return NotAnExpression(waiting.back().column, "'(' is never closed");
    postfix.push_back(waiting.back());
  }
  return postfix;
}

std::string Times(int count) { return count == 1 ? "once" : count == 2 ? "twice" : absl::StrCat(count, " times"); }

// Every number of the problem as often as it is given, and no other.
absl::Status CheckUse(const std::vector<Token>& tokens, const std::vector<int64_t>& numbers) {
  std::map<int64_t, int> given, used;
  for (const int64_t number : numbers) ++given[number];
  for (const Token& token : tokens) {
    if (token.kind != '0') continue;
    int64_t number = 0;
    if (!absl::SimpleAtoi(token.text, &number) || !given.contains(number)) {
      return InputError("uses ", Visible(token.text, 24), ", which is not given");
    }
    ++used[number];
  }
  for (const auto& [number, count] : given) {
    if (used[number] == 0) return InputError("does not use ", number);
    if (used[number] != count) return InputError("uses ", number, " ", Times(used[number]), ", given ", Times(count));
  }
  return absl::OkStatus();
}

// The value of a well-formed postfix expression whose numbers have been checked.
absl::StatusOr<Fraction> Evaluate(const std::vector<Token>& postfix) {
  std::vector<Fraction> stack;
  for (const Token& token : postfix) {
    if (token.kind == '0') {
      Fraction number;
      HONE_CHECK(absl::SimpleAtoi(token.text, &number.p));
      stack.push_back(number);
      continue;
    }
    const Fraction right = stack.back();
    stack.pop_back();
    Fraction& left = stack.back();
    switch (token.kind) {
      case '+':
        left = {left.p * right.q + right.p * left.q, left.q * right.q};
        break;
      case '-':
        left = {left.p * right.q - right.p * left.q, left.q * right.q};
        break;
      case '*':
        left = {left.p * right.p, left.q * right.q};
        break;
      default:
        if (right.p == 0) return InputError("divides by zero at column ", token.column);
        left = {left.p * right.q, left.q * right.p};
    }
  }
  return stack.back();
}

std::string ToText(Fraction value) {
  const int64_t divisor = std::gcd(value.p, value.q) * (value.q < 0 ? -1 : 1);
  value = {value.p / divisor, value.q / divisor};
  return value.q == 1 ? absl::StrCat(value.p) : absl::StrCat(value.p, "/", value.q);
}

class CountdownVerifier : public Verifier {
 public:
  // What follows the last `after` is the answer; with an empty one the whole completion is.
  explicit CountdownVerifier(std::string after) : after_(std::move(after)) {}

  // Parts: "format", the answer is an expression; "numbers", it uses the numbers as it must.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const auto problem = ReadProblem(prompt.metadata);
    if (!problem.ok()) return {std::nullopt, std::string(problem.status().message()), {}};

    absl::string_view answer = completion;
    if (!after_.empty()) {
      const size_t at = answer.rfind(after_);
      if (at == answer.npos) return Wrong(InputError("no '", Visible(after_, 60), "' in the completion"), 0, 0);
      answer.remove_prefix(at + after_.size());
    }
    const auto tokens = Split(answer);
    if (!tokens.ok()) return Wrong(tokens.status(), 0, 0);
    const auto postfix = ToPostfix(*tokens);
    if (!postfix.ok()) return Wrong(postfix.status(), 0, 0);
    if (const auto use = CheckUse(*tokens, problem->numbers); !use.ok()) return Wrong(use, 1, 0);
    const auto value = Evaluate(*postfix);
    if (!value.ok()) return Wrong(value.status(), 1, 1);
    if (value->p % value->q != 0 || value->p / value->q != problem->target) {
      return Wrong(InputError("value ", ToText(*value), ", wanted ", problem->target), 1, 1);
    }
    return {1.0, "correct", {{"format", 1}, {"numbers", 1}}};
  }

 private:
  static Verdict Wrong(const absl::Status& reason, double format, double numbers) {
    return {0.0, std::string(reason.message()), {{"format", format}, {"numbers", numbers}}};
  }

  const std::string after_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewCountdownVerifier(Spec& spec) {
  const std::string after = spec.Text("after", "");
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<CountdownVerifier>(after);
}

}  // namespace hone
