// Answers in complex floating point, for what exact arithmetic cannot represent and for decimals that stand for something rounded.
#pragma once

#include <complex>
#include <vector>

#include "rewards/math/expression.h"

namespace hone::math {

inline constexpr int kPoints =
    8;  // where formulas with variables are compared; the last three have negative coordinates too

struct NumericValue {
  std::complex<double> value;  // NaN: undefined, or too large
  double error = 0;            // a bound on what rounding has added, up to a small factor

  bool finite() const { return std::isfinite(value.real()) && std::isfinite(value.imag()); }
  bool real() const { return std::abs(value.imag()) <= 64 * error + 1e-12 * std::abs(value.real()); }
};

// Equal but for rounding.
bool NumericEqual(const NumericValue& a, const NumericValue& b);

// Every node's value in the order of the nodes; the same for the same formula on every call. `decimal_log`: log without a base has 10,
// not e.
void EvaluateNumerically(const Expression& expression, int sign, int point, bool decimal_log,
                         std::vector<NumericValue>& values);

}  // namespace hone::math
