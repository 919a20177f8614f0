#include "rewards/math/numeric.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <string>

#include "absl/strings/numbers.h"

namespace hone::math {
namespace {

using Complex = std::complex<double>;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kAgreement = 1e-10;  // relative

NumericValue Rounded(Complex value, double error) { return {value, error + kEpsilon * std::abs(value)}; }

double Digits(absl::string_view text) {
  double value = 0;
  return absl::SimpleAtod(text, &value) ? value : kNan;
}

NumericValue Literal(absl::string_view text) {
  const double value = Digits(text);
  return {value, value == std::floor(value) && value < 0x1p53 ? 0 : kEpsilon * value};
}

// Between 0.25 and 3.25; negative for some variables at the last points.
double Coordinate(uint64_t id, int point) {
  uint64_t mixed = (id ^ static_cast<uint64_t>(point)) * 0x9e3779b97f4a7c15;
  mixed ^= mixed >> 29;
  mixed *= 0xbf58476d1ce4e5b9;
  mixed ^= mixed >> 32;
  const double size = 0.25 + 3 * static_cast<double>(mixed >> 11) * 0x1p-53;
  return point >= kPoints - 3 && (point == kPoints - 1 || (mixed & 1)) ? -size : size;
}

NumericValue Add(const NumericValue& a, const NumericValue& b, double sign) {
  return Rounded(a.value + sign * b.value, a.error + b.error);
}

NumericValue Multiply(const NumericValue& a, const NumericValue& b) {
  const double error = std::abs(a.value) * b.error + std::abs(b.value) * a.error;
  if (a.value.imag() == 0 && b.value.imag() == 0) return Rounded(a.value.real() * b.value.real(), error);
  return Rounded(a.value * b.value, error);
}

NumericValue Divide(const NumericValue& a, const NumericValue& b) {
  const double size = std::abs(b.value);
  if (size <= 4 * b.error || size == 0) return {kNan, 0};
  const Complex value =
      a.value.imag() == 0 && b.value.imag() == 0 ? Complex(a.value.real() / b.value.real()) : a.value / b.value;
  return Rounded(value, (a.error + std::abs(value) * b.error) / size);
}

NumericValue IntegerPower(NumericValue base, int exponent) {
  NumericValue result{1.0, 0};
  for (int rest = std::abs(exponent); rest > 0; rest >>= 1, base = Multiply(base, base))
    if (rest & 1) result = Multiply(result, base);
  return exponent < 0 ? Divide({1.0, 0}, result) : result;
}

NumericValue Power(const NumericValue& base, const NumericValue& exponent) {
  const double whole = exponent.value.real();
  if (exponent.value.imag() == 0 && std::abs(whole) <= 1024 && whole == std::floor(whole)) {
    if (whole == 0 && base.value == 0.0) return {kNan, 0};
    return IntegerPower(base, static_cast<int>(whole));
  }
  if (base.value == 0.0) return exponent.value.real() > 0 ? NumericValue{0.0, 0} : NumericValue{kNan, 0};
  const bool real = base.value.imag() == 0 && exponent.value.imag() == 0 && base.value.real() > 0;
  const Complex value =
      real ? Complex(std::pow(base.value.real(), exponent.value.real())) : std::pow(base.value, exponent.value);
  const double relative = std::abs(exponent.value) * base.error / std::abs(base.value) +
                          std::abs(std::log(base.value)) * (exponent.error + kEpsilon * std::abs(exponent.value));
  return Rounded(value, std::abs(value) * relative);
}

// The real root of a negative number where the index is odd.
NumericValue Root(const NumericValue& radicand, const NumericValue& index) {
  const double n = index.value.real();
  if (index.value.imag() != 0 || n == 0) return {kNan, 0};
  const double x = radicand.value.real();
  if (radicand.value.imag() == 0 && n == 2) {
    const double root = std::sqrt(std::abs(x));
    // A radicand of rounding noise only: the error of the root is the root of the error.
    const double error = std::abs(x) > radicand.error ? radicand.error / (2 * root) : std::sqrt(radicand.error);
    return Rounded(x < 0 ? Complex(0, root) : Complex(root, 0), root == 0 && radicand.error == 0 ? 0 : error);
  }
  if (radicand.value.imag() == 0 && x < 0 && n == std::floor(n) && std::fmod(n, 2) != 0) {
    NumericValue root = Power({-radicand.value, radicand.error}, Divide({1.0, 0}, index));
    root.value = -root.value;
    return root;
  }
  return Power(radicand, Divide({1.0, 0}, index));
}

NumericValue Logarithm(const NumericValue& a) {
  if (std::abs(a.value) <= a.error || a.value == 0.0) return {kNan, 0};
  const Complex value =
      a.value.imag() == 0 && a.value.real() > 0 ? Complex(std::log(a.value.real())) : std::log(a.value);
  return Rounded(value, a.error / std::abs(a.value));
}

Complex Trigonometric(absl::string_view name, Complex x) {
  if (x.imag() == 0) {
    const double r = x.real();
    if (name == "sin") return std::sin(r);
    if (name == "cos") return std::cos(r);
    if (name == "tan") return std::tan(r);
    if (name == "arctan") return std::atan(r);
    if (name == "arccot") return std::numbers::pi / 2 - std::atan(r);
    if (name == "arcsin" && std::abs(r) <= 1) return std::asin(r);
    if (name == "arccos" && std::abs(r) <= 1) return std::acos(r);
  }
  if (name == "sin") return std::sin(x);
  if (name == "cos") return std::cos(x);
  if (name == "tan") return std::tan(x);
  if (name == "cot") return std::cos(x) / std::sin(x);
  if (name == "sec") return 1.0 / std::cos(x);
  if (name == "csc") return 1.0 / std::sin(x);
  if (name == "arcsin") return std::asin(x);
  if (name == "arccos") return std::acos(x);
  if (name == "arctan") return std::atan(x);
  if (name == "arcsec") return std::acos(1.0 / x);
  if (name == "arccsc") return std::asin(1.0 / x);
  if (name == "sinh") return std::sinh(x);
  if (name == "cosh") return std::cosh(x);
  if (name == "tanh") return std::tanh(x);
  return kNan;
}

NumericValue Function(absl::string_view name, const NumericValue& a, const NumericValue* base, bool decimal_log) {
  if (name == "ln") return Logarithm(a);
  if (name == "lg") return Divide(Logarithm(a), Logarithm({10.0, 0}));
  if (name == "log") {
    if (base == nullptr) return decimal_log ? Divide(Logarithm(a), Logarithm({10.0, 0})) : Logarithm(a);
    return Divide(Logarithm(a), Logarithm(*base));
  }
  const Complex value = Trigonometric(name, a.value);
  // The slope, from a step well above rounding.
  const double step = std::max(1e-6, 1e-6 * std::abs(a.value));
  const double slope = std::abs(Trigonometric(name, a.value + step) - value) / step;
  if (std::abs(value) > 1e12) return {kNan, 0};  // tan(pi / 2)
  return Rounded(value, a.error * (std::isfinite(slope) ? slope : 1e6) + kEpsilon * std::abs(a.value));
}

NumericValue Factorial(const NumericValue& n) {
  const double x = n.value.real();
  if (n.value.imag() != 0 || x < 0 || x > 170 || x != std::floor(x)) return {kNan, 0};
  const double value = std::round(std::tgamma(x + 1));
  return {value, 16 * kEpsilon * value};
}

NumericValue Binomial(const NumericValue& n, const NumericValue& k) {
  const double steps = k.value.real();
  if (k.value.imag() != 0 || steps < 0 || steps > 200 || steps != std::floor(steps)) return {kNan, 0};
  NumericValue result{1.0, 0};
  for (double step = 0; step < steps; ++step) result = Divide(Multiply(result, Add(n, {step, 0}, -1)), {step + 1, 0});
  return result;
}

NumericValue ToWhole(const NumericValue& a, NodeKind kind) {
  const double x = a.value.real();
  if (!a.real()) return {kNan, 0};
  if (std::abs(x - std::round(x)) <= 64 * a.error) return {std::round(x), 0};
  return {kind == NodeKind::kFloor ? std::floor(x) : std::ceil(x), 0};
}

NumericValue Evaluate(const Node& node, const std::vector<NumericValue>& values, int sign, int point,
                      bool decimal_log) {
  static constexpr NumericValue kNone{kNan, 0};
  if (!IsValue(node.kind)) return kNone;
  const NumericValue& a = node.a >= 0 ? values[static_cast<size_t>(node.a)] : kNone;
  const NumericValue& b = node.b >= 0 ? values[static_cast<size_t>(node.b)] : kNone;
  switch (node.kind) {
    case NodeKind::kNumber:
      return Literal(node.text);
    case NodeKind::kVariable:
      return {Coordinate(node.id, point), 0};
    case NodeKind::kPi:
      return Rounded(std::numbers::pi, 0);
    case NodeKind::kEuler:
      return Rounded(std::numbers::e, 0);
    case NodeKind::kImaginary:
      return {Complex(0, 1), 0};
    case NodeKind::kAdd:
      return Add(a, b, 1);
    case NodeKind::kSubtract:
      return Add(a, b, -1);
    case NodeKind::kPlusMinus:
      return Add(a, b, sign);
    case NodeKind::kMinusPlus:
      return Add(a, b, -sign);
    case NodeKind::kMultiply:
      return Multiply(a, b);
    case NodeKind::kDivide:
      return Divide(a, b);
    case NodeKind::kPercent:
      return Divide(a, {100.0, 0});
    case NodeKind::kNegate:
      return {-a.value, a.error};
    case NodeKind::kPower:
      return Power(a, b);
    case NodeKind::kRoot:
      return Root(a, b);
    case NodeKind::kFunction:
      return Function(node.text, a, node.b >= 0 ? &b : nullptr, decimal_log);
    case NodeKind::kAbsolute:
      return {std::abs(a.value), a.error};
    case NodeKind::kFloor:
    case NodeKind::kCeiling:
      return ToWhole(a, node.kind);
    case NodeKind::kFactorial:
      return Factorial(a);
    case NodeKind::kBinomial:
      return Binomial(a, b);
    default:
      return kNone;
  }
}

}  // namespace

bool NumericEqual(const NumericValue& a, const NumericValue& b) {
  if (!a.finite() || !b.finite()) return false;
  const double size = std::max(std::abs(a.value), std::abs(b.value));
  // Where rounding has eaten most digits, agreement says nothing.
  if (a.error + b.error > 1e-6 * size && size > 1e-6) return false;
  return std::abs(a.value - b.value) <= kAgreement * size + 64 * (a.error + b.error);
}

void EvaluateNumerically(const Expression& expression, int sign, int point, bool decimal_log,
                         std::vector<NumericValue>& values) {
  values.clear();
  values.reserve(expression.nodes.size());
  for (const Node& node : expression.nodes) values.push_back(Evaluate(node, values, sign, point, decimal_log));
}

}  // namespace hone::math
