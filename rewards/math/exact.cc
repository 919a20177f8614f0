#include "rewards/math/exact.h"

#include <numeric>
#include <utility>

namespace hone::math {
namespace {

using Kind = ExactValue::Kind;
using Wide = unsigned __int128;

constexpr uint64_t kMask = (uint64_t{1} << 61) - 1;

// x mod p for x < 2^122: 2^61 = c mod p, with c < 2^34.
template <int field>
uint64_t Reduce(Wide x) {
  constexpr uint64_t c = kMask + 1 - kPrimes[field];
  x = (x >> 61) * c + (static_cast<uint64_t>(x) & kMask);  // < 2^95
  x = (x >> 61) * c + (static_cast<uint64_t>(x) & kMask);  // < 2^69
  x = (x >> 61) * c + (static_cast<uint64_t>(x) & kMask);  // < 2^62
  uint64_t r = static_cast<uint64_t>(x);
  while (r >= kPrimes[field]) r -= kPrimes[field];
  return r;
}

uint64_t Times(int field, uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return field == 0 ? Reduce<0>(product) : Reduce<1>(product);
}
uint64_t Plus(int field, uint64_t a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum >= kPrimes[field] ? sum - kPrimes[field] : sum;
}
uint64_t Minus(int field, uint64_t a, uint64_t b) { return a >= b ? a - b : a + kPrimes[field] - b; }

uint64_t ToThe(int field, uint64_t a, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1, a = Times(field, a, a))
    if (exponent & 1) result = Times(field, result, a);
  return result;
}

uint64_t FromInteger(int field, int64_t n) {
  const uint64_t size = (n < 0 ? -static_cast<uint64_t>(n) : static_cast<uint64_t>(n)) % kPrimes[field];
  return n < 0 ? Minus(field, 0, size) : size;
}

template <typename Operation>  // (field, a.re, a.im, b.re, b.im) -> {re, im}
Residue ForBoth(const Residue& a, const Residue& b, Operation operation) {
  Residue result;
  for (int field = 0; field < 2; ++field)
    std::tie(result.re[field], result.im[field]) = operation(field, a.re[field], a.im[field], b.re[field], b.im[field]);
  return result;
}

Residue Multiply(const Residue& a, const Residue& b) {
  return ForBoth(a, b, [](int f, uint64_t ar, uint64_t ai, uint64_t br, uint64_t bi) {
    if ((ai | bi) == 0) return std::pair(Times(f, ar, br), uint64_t{0});
    return std::pair(Minus(f, Times(f, ar, br), Times(f, ai, bi)), Plus(f, Times(f, ar, bi), Times(f, ai, br)));
  });
}

bool IsZero(const Residue& a) { return (a.re[0] | a.im[0]) == 0 || (a.re[1] | a.im[1]) == 0; }

// conj(a) / |a|^2; the norm is not 0 because -1 is no square mod p.
Residue Inverse(const Residue& a) {
  return ForBoth(a, a, [](int f, uint64_t re, uint64_t im, uint64_t, uint64_t) {
    const uint64_t inverse_norm = ToThe(f, Plus(f, Times(f, re, re), Times(f, im, im)), kPrimes[f] - 2);
    return std::pair(Times(f, re, inverse_norm), Times(f, Minus(f, 0, im), inverse_norm));
  });
}

Residue ToResidue(const ExactValue& value) {
  if (value.kind == Kind::kResidue) return value.residue;
  Residue top, bottom;
  for (int field = 0; field < 2; ++field) {
    top.re[field] = FromInteger(field, value.top);
    bottom.re[field] = FromInteger(field, value.bottom);
  }
  return value.bottom == 1 ? top : Multiply(top, Inverse(bottom));
}

int64_t BitsOf(const ExactValue& value) { return value.kind == Kind::kFraction ? 64 : value.bits; }

ExactValue Undefined() {
  ExactValue value;
  value.kind = Kind::kUndefined;
  return value;
}

ExactValue FromFraction(int64_t top, int64_t bottom) {
  ExactValue value;
  value.kind = Kind::kFraction;
  value.top = top;
  value.bottom = bottom;
  return value;
}

ExactValue FromResidue(const Residue& residue, int64_t bits, bool twisted) {
  ExactValue value;
  if (bits > kMaxBits) return value;
  value.kind = Kind::kResidue;
  value.bits = bits;
  value.twisted = twisted;
  value.residue = residue;
  return value;
}

// top / bottom reduced; false on overflow of the sign.
bool MakeFraction(int64_t top, int64_t bottom, ExactValue& value) {
  constexpr int64_t kLowest = INT64_MIN;
  if (top == kLowest || bottom == kLowest) return false;
  if (bottom != 1) {
    const int64_t divisor = std::gcd(top, bottom) * (bottom < 0 ? -1 : 1);
    top /= divisor;
    bottom /= divisor;
  }
  value = FromFraction(top, bottom);
  return true;
}

// What the result is when an operand has no value.
bool Missing(const ExactValue& a, const ExactValue& b, ExactValue& result) {
  if (a.known() && b.known()) return false;
  result = a.kind == Kind::kUndefined || b.kind == Kind::kUndefined ? Undefined() : ExactValue();
  return true;
}

}  // namespace

bool ExactEqual(const ExactValue& a, const ExactValue& b) {
  if (a.kind == Kind::kFraction && b.kind == Kind::kFraction) return a.top == b.top && a.bottom == b.bottom;
  const Residue x = ToResidue(a), y = ToResidue(b);
  return x.re == y.re && x.im == y.im;
}

ExactValue ExactAdd(const ExactValue& a, const ExactValue& b) {
  ExactValue result;
  if (Missing(a, b, result)) return result;
  if (a.kind == Kind::kFraction && b.kind == Kind::kFraction) {
    int64_t left = 0, right = 0, top = 0, bottom = 0;
    if (!__builtin_mul_overflow(a.top, b.bottom, &left) && !__builtin_mul_overflow(b.top, a.bottom, &right) &&
        !__builtin_add_overflow(left, right, &top) && !__builtin_mul_overflow(a.bottom, b.bottom, &bottom) &&
        MakeFraction(top, bottom, result)) {
      return result;
    }
  }
  const Residue sum =
      ForBoth(ToResidue(a), ToResidue(b), [](int f, uint64_t ar, uint64_t ai, uint64_t br, uint64_t bi) {
        return std::pair(Plus(f, ar, br), Plus(f, ai, bi));
      });
  return FromResidue(sum, BitsOf(a) + BitsOf(b), a.twisted || b.twisted);
}

ExactValue ExactMultiply(const ExactValue& a, const ExactValue& b) {
  ExactValue result;
  if (Missing(a, b, result)) return result;
  if (a.kind == Kind::kFraction && b.kind == Kind::kFraction) {
    int64_t top = 0, bottom = 0;
    if (!__builtin_mul_overflow(a.top, b.top, &top) && !__builtin_mul_overflow(a.bottom, b.bottom, &bottom) &&
        MakeFraction(top, bottom, result)) {
      return result;
    }
  }
  return FromResidue(Multiply(ToResidue(a), ToResidue(b)), BitsOf(a) + BitsOf(b), a.twisted || b.twisted);
}

ExactValue ExactSubtract(const ExactValue& a, const ExactValue& b) {
  return ExactAdd(a, ExactMultiply(FromFraction(-1, 1), b));
}

ExactValue ExactDivide(const ExactValue& a, const ExactValue& b) {
  ExactValue result;
  if (Missing(a, b, result)) return result;
  if (b.kind == Kind::kFraction) {
    if (b.top == 0) return Undefined();
    ExactValue inverse;
    if (MakeFraction(b.bottom, b.top, inverse)) return ExactMultiply(a, inverse);
  }
  const Residue divisor = ToResidue(b);
  if (IsZero(divisor)) return Undefined();
  return FromResidue(Multiply(ToResidue(a), Inverse(divisor)), BitsOf(a) + BitsOf(b), a.twisted || b.twisted);
}

ExactValue ExactNumber(absl::string_view digits) {
  const size_t point = digits.find('.');
  const size_t decimals = point == absl::string_view::npos ? 0 : digits.size() - point - 1;
  ExactValue value;
  if (digits.size() <= 18) {
    int64_t top = 0, bottom = 1;
    for (const char c : digits)
      if (c != '.') top = 10 * top + (c - '0');
    for (size_t decimal = 0; decimal < decimals; ++decimal) bottom *= 10;
    MakeFraction(top, bottom, value);
    return value;
  }
  Residue top, bottom;
  for (int field = 0; field < 2; ++field) {
    for (const char c : digits)
      if (c != '.') top.re[field] = Plus(field, Times(field, top.re[field], 10), static_cast<uint64_t>(c - '0'));
    bottom.re[field] = ToThe(field, 10, decimals);
  }
  return FromResidue(decimals == 0 ? top : Multiply(top, Inverse(bottom)), 4 * static_cast<int64_t>(digits.size()),
                     false);
}

namespace {

// base ^ exponent for an integer.
ExactValue Power(const ExactValue& base, int64_t exponent) {
  if (exponent < 0) return ExactDivide(FromFraction(1, 1), Power(base, -exponent));
  if (base.kind == Kind::kFraction && (base.top == 0 || base.top == 1 || base.top == -1) && base.bottom == 1) {
    if (base.top == 0 && exponent == 0) return Undefined();
    return FromFraction(exponent % 2 == 0 ? base.top * base.top : base.top, 1);
  }
  ExactValue result = FromFraction(1, 1), square = base;
  for (int64_t rest = exponent; rest > 0 && result.known(); rest >>= 1) {
    if (rest & 1) result = ExactMultiply(result, square);
    if (rest > 1) square = ExactMultiply(square, square);
  }
  return result;
}

// The whole number whose power is n, or -1.
int64_t WholeRoot(int64_t n, int index) {
  if (n < 0) return -1;
  int64_t low = 0, high = index == 2 ? 3037000499 : 2097151;  // the largest whose power fits
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    const int64_t power = index == 2 ? middle * middle : middle * middle * middle;
    if (power <= n) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return (index == 2 ? low * low : low * low * low) == n ? low : -1;
}

// Square and cube roots of fractions; the real root where there is one.
ExactValue Root(const ExactValue& radicand, int64_t index) {
  if (radicand.kind != Kind::kFraction || (index != 2 && index != 3) || radicand.top == INT64_MIN)
    return index == 1 ? radicand : ExactValue();
  const bool negative = radicand.top < 0;
  const int64_t size = negative ? -radicand.top : radicand.top;
  const int64_t top = WholeRoot(size, static_cast<int>(index)),
                bottom = WholeRoot(radicand.bottom, static_cast<int>(index));
  if (top >= 0 && bottom >= 0 && (!negative || index == 3)) return FromFraction(negative ? -top : top, bottom);
  Residue root;
  bool twisted = false;
  for (int field = 0; field < 2; ++field) {
    const uint64_t p = kPrimes[field];
    // sqrt(a / b) = sqrt(a b) / b, and so for the cube root of a / b = a b^2 / b^3.
    uint64_t n = Times(field, FromInteger(field, size), FromInteger(field, radicand.bottom));
    if (index == 3) n = Times(field, n, FromInteger(field, radicand.bottom));
    uint64_t value = index == 2 ? ToThe(field, n, (p + 1) / 4) : ToThe(field, n, (2 * p - 1) / 3);
    const bool square = index == 3 || Times(field, value, value) == n;
    twisted |= !square;
    value = Times(field, value, ToThe(field, FromInteger(field, radicand.bottom), p - 2));
    if (index == 3) {
      root.re[field] = negative ? Minus(field, 0, value) : value;
    } else if (negative == square) {
      // i * sqrt(|a|) for a negative, i * sqrt(-n) for an n that is no square.
      root.im[field] = value;
    } else {
      root.re[field] = negative ? Minus(field, 0, value) : value;  // i * i * sqrt(-n)
    }
  }
  return FromResidue(root, 64, twisted);
}

ExactValue ToFraction(const ExactValue& base, const ExactValue& exponent) {
  if (exponent.kind != Kind::kFraction || !base.known()) return {};
  if (exponent.bottom == 1) return Power(base, exponent.top);
  return Power(Root(base, exponent.bottom), exponent.top);
}

ExactValue Factorial(const ExactValue& n) {
  if (n.kind != Kind::kFraction || n.bottom != 1 || n.top < 0 || n.top > kMaxFactorial) return {};
  ExactValue result = FromFraction(1, 1);
  for (int64_t factor = 2; factor <= n.top; ++factor) result = ExactMultiply(result, FromFraction(factor, 1));
  return result;
}

ExactValue Binomial(const ExactValue& n, const ExactValue& k) {
  if (k.kind != Kind::kFraction || k.bottom != 1 || k.top < 0 || k.top > kMaxFactorial) return {};
  ExactValue top = FromFraction(1, 1), bottom = FromFraction(1, 1);
  for (int64_t step = 0; step < k.top && top.known(); ++step) {
    top = ExactMultiply(top, ExactSubtract(n, FromFraction(step, 1)));
    bottom = ExactMultiply(bottom, FromFraction(step + 1, 1));
  }
  return ExactDivide(top, bottom);
}

ExactValue Rounded(const ExactValue& value, NodeKind kind) {
  if (value.kind != Kind::kFraction) return {};
  if (kind == NodeKind::kAbsolute) return FromFraction(value.top < 0 ? -value.top : value.top, value.bottom);
  const int64_t toward_zero = value.top / value.bottom, rest = value.top % value.bottom;
  return FromFraction(toward_zero + (kind == NodeKind::kFloor ? -(rest < 0) : (rest > 0)), 1);
}

uint64_t Mix(uint64_t x) {  // splitmix64, https://doi.org/10.1145/2714064.2660195
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// A random element of both fields that stands for a variable, for pi or e.
ExactValue Unknown(uint64_t id, int point) {
  Residue residue;
  for (int field = 0; field < 2; ++field)
    residue.re[field] = Mix(id + 0x9e3779b97f4a7c15 * static_cast<uint64_t>(2 * point + field + 1)) % kPrimes[field];
  return FromResidue(residue, 1, false);
}

ExactValue Evaluate(const Node& node, const std::vector<ExactValue>& values, int sign, int point) {
  const ExactValue none;
  const ExactValue& a = node.a >= 0 && IsValue(node.kind) ? values[static_cast<size_t>(node.a)] : none;
  const ExactValue& b = node.b >= 0 && IsValue(node.kind) ? values[static_cast<size_t>(node.b)] : none;
  switch (node.kind) {
    case NodeKind::kNumber:
      return ExactNumber(node.text);
    case NodeKind::kVariable:
      return Unknown(node.id, point);
    case NodeKind::kPi:
      return Unknown(1, 0);
    case NodeKind::kEuler:
      return Unknown(2, 0);
    case NodeKind::kImaginary: {
      Residue i;
      i.im = {1, 1};
      return FromResidue(i, 1, false);
    }
    case NodeKind::kAdd:
      return ExactAdd(a, b);
    case NodeKind::kSubtract:
      return ExactSubtract(a, b);
    case NodeKind::kPlusMinus:
      return sign > 0 ? ExactAdd(a, b) : ExactSubtract(a, b);
    case NodeKind::kMinusPlus:
      return sign > 0 ? ExactSubtract(a, b) : ExactAdd(a, b);
    case NodeKind::kMultiply:
      return ExactMultiply(a, b);
    case NodeKind::kDivide:
      return ExactDivide(a, b);
    case NodeKind::kPercent:
      return ExactDivide(a, FromFraction(100, 1));
    case NodeKind::kNegate:
      return ExactMultiply(FromFraction(-1, 1), a);
    case NodeKind::kPower:
      return ToFraction(a, b);
    case NodeKind::kRoot:
      return b.kind == Kind::kFraction && b.bottom == 1 ? Root(a, b.top) : none;
    case NodeKind::kAbsolute:
    case NodeKind::kFloor:
    case NodeKind::kCeiling:
      return Rounded(a, node.kind);
    case NodeKind::kFactorial:
      return Factorial(a);
    case NodeKind::kBinomial:
      return Binomial(a, b);
    default:
      return none;
  }
}

}  // namespace

void EvaluateExactly(const Expression& expression, int sign, int point, std::vector<ExactValue>& values) {
  values.clear();
  values.reserve(expression.nodes.size());
  for (const Node& node : expression.nodes) values.push_back(Evaluate(node, values, sign, point));
}

}  // namespace hone::math
