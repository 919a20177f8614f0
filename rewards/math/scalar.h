// When two values are the same: exactly, but for rounding at random points, or to the digits that a decimal gives.
#pragma once

#include <array>
#include <vector>

#include "rewards/math/exact.h"
#include "rewards/math/expression.h"
#include "rewards/math/numeric.h"

namespace hone::math {

// How an equality was found, from the strongest evidence to the weakest. A comparison of many parts is as strong as its weakest.
enum class Evidence : uint8_t { kText, kExact, kNumber, kPoints, kDigits };

// One of the two answers, with the values computed so far. Not thread-safe.
class Side {
 public:
  Expression expression;

  const Node& At(int32_t node) const { return expression.nodes[static_cast<size_t>(node)]; }
  const ExactValue& Exact(int32_t node, int sign, int point);
  const NumericValue& Number(int32_t node, int sign, int point, bool decimal_log = false);
  bool HasPlainLog() const;
  void Forget();  // after a new Parse

 private:
  std::array<std::vector<ExactValue>, 4> exact_;                // sign, point
  std::array<std::vector<NumericValue>, 4 * kPoints> numbers_;  // logarithm, sign, point
};

// A part of an answer; `sign` 1 or -1 chooses one of the two values of a plus-or-minus, 0 leaves it open.
struct Part {
  Side* side = nullptr;
  int32_t node = -1;
  int sign = 0;

  const Node& operator*() const { return side->At(node); }
  const Node* operator->() const { return &side->At(node); }
  Part At(int32_t other) const { return {side, other, sign}; }
  const ExactValue& Exact(int point = 0) const { return side->Exact(node, sign, point); }
  const NumericValue& Number(int point = 0, bool decimal_log = false) const {
    return side->Number(node, sign, point, decimal_log);
  }
};

// Whether a decimal is the other value rounded: they differ by less than a unit of the sixth decimal and by less than a thousandth of
// their size, or one of them, a decimal of seven digits or more that stands alone, is the other rounded to its own last digit.
// So 0.333333 is 1/3 and 0.33 is not, as math-verify has it (it rounds both to six decimals); 3.14 is not pi.
bool SameDigits(const Part& gold, const Part& answer);

// `evidence` is weakened to what the equality rests on.
bool SameValue(const Part& gold, const Part& answer, Evidence& evidence);

// Whether lhs - rhs of two equations, or of inequalities when `positive`, differ by a constant factor only; a positive one then.
bool SameUpToFactor(const std::array<Part, 2>& gold, const std::array<Part, 2>& answer, bool positive,
                    Evidence& evidence);

}  // namespace hone::math
