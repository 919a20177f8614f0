// Exact arithmetic on answers: each node's value as a fraction of 64-bit integers, and where that ends as its image in two finite fields.
//
// The second is an identity test after Schwartz and Zippel (https://doi.org/10.1145/322217.322225): two rational functions are the same
// if they agree where the variables are random elements of a large field, and this costs no more than a few multiplications per node
// however large the numbers and polynomials would grow: (a + b + c)^100 or 2^1000000 have no size there. The field is F_p[i] with p about
// 2^61, twice. Both p are 7 mod 8, 2 mod 3, 4 mod 5, and every prime up to 97 is a square mod p. So -1 has the root i, cube roots in F_p
// are unique, sqrt(n) = n^((p+1)/4) is multiplicative, and sums, products and quotients of rationals, i, square and cube roots of
// rationals, pi, e and variables map into the field as they combine in the complex numbers. Different values collide with a probability
// of about (degree or bits) / 2^61, squared for the two fields; the bits are limited to 2^40.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "rewards/math/expression.h"

namespace hone::math {

inline constexpr std::array<uint64_t, 2> kPrimes = {2305843001594877359u,
                                                    2305842996023809919u};  // 2^61 - 7618816593 and - 13189884033
inline constexpr int64_t kMaxBits = int64_t{1} << 40;
inline constexpr int64_t kMaxFactorial = 1000;

// An element of F_p[i] for each p.
struct Residue {
  std::array<uint64_t, 2> re = {};
  std::array<uint64_t, 2> im = {};
};

struct ExactValue {
  enum class Kind : uint8_t {
    kFraction,  // top / bottom, reduced, bottom > 0
    kResidue,
    kUndefined,  // division by zero
    kUnknown,    // not representable: a logarithm, a limit was hit
  };
  Kind kind = Kind::kUnknown;
  bool twisted = false;  // holds the root of a number that is no square mod p: differences mean nothing then
  int64_t top = 0;
  int64_t bottom = 1;
  int64_t bits = 1;  // of a kResidue: bound on degree and size, up to a small factor
  Residue residue;

  bool known() const { return kind == Kind::kFraction || kind == Kind::kResidue; }
};

// Reads decimal digits as a fraction or a residue.
ExactValue ExactNumber(absl::string_view digits);
bool ExactEqual(const ExactValue& a, const ExactValue& b);
ExactValue ExactAdd(const ExactValue& a, const ExactValue& b);
ExactValue ExactSubtract(const ExactValue& a, const ExactValue& b);
ExactValue ExactMultiply(const ExactValue& a, const ExactValue& b);
ExactValue ExactDivide(const ExactValue& a, const ExactValue& b);

// The value of every node that is one, in the order of the nodes. `sign` is that of the kPlusMinus nodes; `point` numbers the random
// elements that the variables stand for.
void EvaluateExactly(const Expression& expression, int sign, int point, std::vector<ExactValue>& values);

}  // namespace hone::math
