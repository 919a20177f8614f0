#include "rewards/math/scalar.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"

namespace hone::math {
namespace {

constexpr double kUnitOfDecimal = 0.9e-6;  // below one unit of the sixth decimal, and above 2/3 of it: 0.666666 is 2/3
constexpr double kShareOfSize = 1e-3;
constexpr size_t kManyDigits = 7;
constexpr double kLargest = 1e9;  // beyond it a double has too few digits after the point

void Weaken(Evidence& evidence, Evidence to) { evidence = std::max(evidence, to); }

bool Constant(const Part& part) { return !part->variable; }

// The digits of a decimal that stands alone, but for its sign.
absl::string_view LoneDecimal(Part part) {
  while (part->kind == NodeKind::kNegate) part = part.At(part->a);
  return part->kind == NodeKind::kNumber && part->decimal ? part->text : absl::string_view();
}

bool RoundedTo(absl::string_view decimal, double difference) {
  const size_t digits =
      static_cast<size_t>(std::count_if(decimal.begin(), decimal.end(), [](char c) { return c != '.'; })) -
      (absl::StartsWith(decimal, "0.") ? 1 : 0);
  if (digits < kManyDigits) return false;
  const double unit = std::pow(10.0, -static_cast<double>(decimal.size() - decimal.find('.') - 1));
  return difference <= 0.5000001 * unit;
}

// Whether the values agree at the points, in real numbers where there are enough real ones and in complex ones else.
bool SameAtPoints(const Part& gold, const Part& answer, bool decimal_log, Evidence& evidence) {
  int real = 0, finite = 0;
  bool real_agree = true, all_agree = true;
  for (int point = 0; point < kPoints; ++point) {
    const NumericValue &g = gold.Number(point, decimal_log), &a = answer.Number(point, decimal_log);
    if (!g.finite() || !a.finite()) continue;
    const bool agree = NumericEqual(g, a);
    ++finite;
    all_agree &= agree;
    if (!g.real() || !a.real()) continue;
    ++real;
    real_agree &= agree;
  }
  const bool same = real >= 3 ? real_agree : finite >= 3 && all_agree;
  if (same) Weaken(evidence, Evidence::kPoints);
  return same;
}

bool SameNumerically(const Part& gold, const Part& answer, Evidence& evidence) {
  const bool constant = Constant(gold) && Constant(answer);
  for (const bool decimal_log : {false, true}) {
    if (decimal_log && !gold.side->HasPlainLog() && !answer.side->HasPlainLog()) break;
    if (constant) {
      if (!NumericEqual(gold.Number(0, decimal_log), answer.Number(0, decimal_log))) continue;
      Weaken(evidence, Evidence::kNumber);
      return true;
    }
    if (SameAtPoints(gold, answer, decimal_log, evidence)) return true;
  }
  return false;
}

}  // namespace

const ExactValue& Side::Exact(int32_t node, int sign, int point) {
  auto& values = exact_[static_cast<size_t>((sign >= 0 ? 0 : 1) + 2 * point)];
  if (values.empty()) EvaluateExactly(expression, sign >= 0 ? 1 : -1, point, values);
  return values[static_cast<size_t>(node)];
}

const NumericValue& Side::Number(int32_t node, int sign, int point, bool decimal_log) {
  auto& values = numbers_[static_cast<size_t>((sign >= 0 ? 0 : 1) + (decimal_log ? 2 : 0) + 4 * point)];
  if (values.empty()) EvaluateNumerically(expression, sign >= 0 ? 1 : -1, point, decimal_log, values);
  return values[static_cast<size_t>(node)];
}

bool Side::HasPlainLog() const {
  return std::any_of(expression.nodes.begin(), expression.nodes.end(), [](const Node& node) {
    return node.kind == NodeKind::kFunction && node.text == "log" && node.b < 0;
  });
}

void Side::Forget() {
  for (auto& values : exact_) values.clear();
  for (auto& values : numbers_) values.clear();
}

bool SameDigits(const Part& gold, const Part& answer) {
  if (!Constant(gold) || !Constant(answer) || (!gold->decimal && !answer->decimal)) return false;
  const NumericValue &g = gold.Number(), &a = answer.Number();
  if (!g.finite() || !a.finite() || !g.real() || !a.real()) return false;
  const double x = g.value.real(), y = a.value.real(), difference = std::abs(x - y);
  if (std::abs(x) > kLargest || std::abs(y) > kLargest) return false;
  if (difference <= kUnitOfDecimal && difference <= kShareOfSize * std::max(std::abs(x), std::abs(y))) return true;
  // Two decimals have their own digits; only a value that is none can be rounded to one.
  const absl::string_view g_decimal = LoneDecimal(gold), a_decimal = LoneDecimal(answer);
  if (g_decimal.empty() == a_decimal.empty()) return false;
  return RoundedTo(g_decimal.empty() ? a_decimal : g_decimal, difference);
}

bool SameValue(const Part& gold, const Part& answer, Evidence& evidence) {
  const ExactValue &g = gold.Exact(), &a = answer.Exact();
  const bool decided = g.known() && a.known();
  if (decided && ExactEqual(g, a)) {
    Weaken(evidence, Evidence::kExact);
    return true;
  }
  if (g.kind == ExactValue::Kind::kUndefined || a.kind == ExactValue::Kind::kUndefined) return false;
  if ((!decided || (g.twisted && a.twisted)) && SameNumerically(gold, answer, evidence)) return true;
  if (!SameDigits(gold, answer)) return false;
  Weaken(evidence, Evidence::kDigits);
  return true;
}

bool SameUpToFactor(const std::array<Part, 2>& gold, const std::array<Part, 2>& answer, bool positive,
                    Evidence& evidence) {
  for (const auto* sides : {&gold, &answer}) {
    if (!IsValue((*sides)[0]->kind) || !IsValue((*sides)[1]->kind)) return false;
    if (!(*sides)[0]->variable && !(*sides)[1]->variable) return false;
  }
  const auto number = [](const std::array<Part, 2>& sides, int point) {
    const NumericValue &left = sides[0].Number(point), &right = sides[1].Number(point);
    return NumericValue{left.value - right.value, left.error + right.error};
  };
  const auto exact = [](const std::array<Part, 2>& sides, int point) {
    return ExactSubtract(sides[0].Exact(point), sides[1].Exact(point));
  };
  if (positive) {
    const std::complex<double> ratio = number(gold, 0).value / number(answer, 0).value;
    if (!(ratio.real() > 0)) return false;
  }
  const ExactValue g0 = exact(gold, 0), g1 = exact(gold, 1), a0 = exact(answer, 0), a1 = exact(answer, 1);
  if (g0.known() && g1.known() && a0.known() && a1.known()) {
    const ExactValue zero = ExactNumber("0");
    if (ExactEqual(g0, zero) || ExactEqual(a0, zero)) return false;
    const ExactValue left = ExactMultiply(g0, a1), right = ExactMultiply(g1, a0);
    if (!left.known() || !right.known() || !ExactEqual(left, right)) return false;
    Weaken(evidence, Evidence::kExact);
    return true;
  }
  int points = 0;
  for (int point = 1; point < kPoints; ++point) {
    const NumericValue g = number(gold, point), a = number(answer, point), g_first = number(gold, 0),
                       a_first = number(answer, 0);
    const NumericValue left{g.value * a_first.value, g.error * std::abs(a_first.value)};
    const NumericValue right{a.value * g_first.value, a.error * std::abs(g_first.value)};
    if (!left.finite() || !right.finite()) continue;
    if (!NumericEqual(left, right)) return false;
    ++points;
  }
  if (points < 3) return false;
  Weaken(evidence, Evidence::kPoints);
  return true;
}

}  // namespace hone::math
