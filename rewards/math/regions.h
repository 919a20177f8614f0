// Subsets of the real line: intervals, unions, inequalities in one variable, the reals without some points.
#pragma once

#include <optional>
#include <vector>

#include "rewards/math/scalar.h"

namespace hone::math {

// An interval; an end that is absent is infinite.
struct Piece {
  std::optional<Part> low, high;
  bool low_included = false, high_included = false;
};

// nullopt: `part` is no region. A pair (1, 3) is read as an open interval.
std::optional<std::vector<Piece>> ToPieces(const Part& part);

// Equal as unions of the pieces in any order; pieces that overlap are not joined.
bool SamePieces(const std::vector<Piece>& gold, const std::vector<Piece>& answer, Evidence& evidence);

// Whether it can only be a region: an interval with a closed or an infinite end, a union, an inequality.
bool IsRegion(const Part& part);

bool IsInfinite(const Part& part, bool& negative);

}  // namespace hone::math
