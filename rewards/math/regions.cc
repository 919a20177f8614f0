#include "rewards/math/regions.h"

#include <algorithm>

namespace hone::math {
namespace {

using Pieces = std::vector<Piece>;

std::optional<Part> End(const Part& part) {
  bool negative = false;
  return IsInfinite(part, negative) ? std::nullopt : std::optional(part);
}

bool SameEnd(const std::optional<Part>& gold, const std::optional<Part>& answer, Evidence& evidence) {
  if (!gold || !answer) return !gold && !answer;
  return SameValue(*gold, *answer, evidence);
}

// x, or f(x).
bool IsVariable(const Part& part) {
  if (part->kind == NodeKind::kVariable) return true;
  return part->kind == NodeKind::kMultiply && part.At(part->a)->kind == NodeKind::kVariable &&
         part.At(part->b)->kind == NodeKind::kVariable;
}

char SignOf(const Part& relation, int32_t index) {
  return relation.side->expression.relations[static_cast<size_t>(relation->columns + index)];
}

// x < b, a < x, a < x < b and the like, x != c, x in a region.
std::optional<Pieces> FromRelation(const Part& relation) {
  const auto sides = relation.side->expression.ChildrenOf(*relation);
  const Part first = relation.At(sides[0]), second = relation.At(sides[1]);
  const char sign = SignOf(relation, 0);
  if (sign == ':') return sides.size() == 2 && IsVariable(first) ? ToPieces(second) : std::nullopt;
  if (sign == '!') {
    if (sides.size() != 2 || !IsVariable(first) || second->variable || !IsValue(second->kind)) return std::nullopt;
    return Pieces{{std::nullopt, second}, {second, std::nullopt}};
  }
  const bool less = sign == '<' || sign == 'l';
  if (!less && sign != '>' && sign != 'g') return std::nullopt;
  Piece piece;
  const bool included = sign == 'l' || sign == 'g';
  if (sides.size() == 2) {
    const Part bound = IsVariable(first) ? second : first;
    if (!IsVariable(first) && !IsVariable(second)) return std::nullopt;
    if (bound->variable || !IsValue(bound->kind)) return std::nullopt;
    const bool below = IsVariable(first) == less;  // the variable lies below the bound
    (below ? piece.high : piece.low) = End(bound);
    (below ? piece.high_included : piece.low_included) = included;
    return Pieces{piece};
  }
  const char next = SignOf(relation, 1);
  if (sides.size() != 3 || !IsVariable(second) || (less ? next != '<' && next != 'l' : next != '>' && next != 'g')) {
    return std::nullopt;
  }
  const Part third = relation.At(sides[2]);
  if (first->variable || third->variable || !IsValue(first->kind) || !IsValue(third->kind)) return std::nullopt;
  const bool next_included = next == 'l' || next == 'g';
  piece = {End(less ? first : third), End(less ? third : first), less ? included : next_included,
           less ? next_included : included};
  return Pieces{piece};
}

// The reals without finitely many points.
std::optional<Pieces> FromWithout(const Part& part) {
  const auto both = part.side->expression.ChildrenOf(*part);
  const auto whole = ToPieces(part.At(both[0]));
  if (!whole || whole->size() != 1 || (*whole)[0].low || (*whole)[0].high) return std::nullopt;
  const Part less = part.At(both[1]);
  std::vector<Part> points;
  if (less->kind == NodeKind::kSet) {
    for (const int32_t child : less.side->expression.ChildrenOf(*less)) points.push_back(part.At(child));
  } else {
    points.push_back(less);
  }
  for (const Part& point : points)
    if (!IsValue(point->kind) || point->variable || !point.Number().finite()) return std::nullopt;
  std::sort(points.begin(), points.end(),
            [](const Part& a, const Part& b) { return a.Number().value.real() < b.Number().value.real(); });
  Pieces pieces;
  std::optional<Part> low;
  for (const Part& point : points) {
    pieces.push_back({low, point});
    low = point;
  }
  pieces.push_back({low, std::nullopt});
  return pieces;
}

}  // namespace

bool IsInfinite(const Part& part, bool& negative) {
  Part inner = part;
  negative = false;
  while (inner->kind == NodeKind::kNegate) {
    negative = !negative;
    inner = inner.At(inner->a);
  }
  if (inner->kind == NodeKind::kInfinity) return true;
  // + infinity is read as a sum when a sign precedes it in some styles.
  return false;
}

bool IsRegion(const Part& part) {
  if (part->kind == NodeKind::kInterval || part->kind == NodeKind::kUnion || part->kind == NodeKind::kWithout)
    return true;
  return part->kind == NodeKind::kRelation && FromRelation(part).has_value();
}

std::optional<Pieces> ToPieces(const Part& part) {
  const Expression& expression = part.side->expression;
  switch (part->kind) {
    case NodeKind::kInterval:
    case NodeKind::kTuple: {
      const auto ends = expression.ChildrenOf(*part);
      if (ends.size() != 2 || !IsValue(part.At(ends[0])->kind) || !IsValue(part.At(ends[1])->kind)) return std::nullopt;
      return Pieces{{End(part.At(ends[0])), End(part.At(ends[1])), (part->code & 1) != 0, (part->code & 2) != 0}};
    }
    case NodeKind::kSet:
    case NodeKind::kUnion:
    case NodeKind::kList: {
      Pieces pieces;
      for (const int32_t child : expression.ChildrenOf(*part)) {
        const Part point = part.At(child);
        if (part->kind == NodeKind::kSet) {
          if (!IsValue(point->kind)) return std::nullopt;
          pieces.push_back({point, point, true, true});
          continue;
        }
        const auto more = ToPieces(point);
        if (!more) return std::nullopt;
        pieces.insert(pieces.end(), more->begin(), more->end());
      }
      return pieces;
    }
    case NodeKind::kWithout:
      return FromWithout(part);
    case NodeKind::kRelation:
      return FromRelation(part);
    default:
      return std::nullopt;
  }
}

bool SamePieces(const Pieces& gold, const Pieces& answer, Evidence& evidence) {
  if (gold.size() != answer.size()) return false;
  std::vector<bool> used(answer.size());
  for (const Piece& g : gold) {
    size_t match = 0;
    for (; match < answer.size(); ++match) {
      const Piece& a = answer[match];
      if (used[match]) continue;
      const bool ends_alike = g.low_included == a.low_included && g.high_included == a.high_included;
      // An infinite end is open however it is written.
      const bool low_alike = (!g.low && !a.low) || g.low_included == a.low_included;
      const bool high_alike = (!g.high && !a.high) || g.high_included == a.high_included;
      if ((ends_alike || (low_alike && high_alike)) && SameEnd(g.low, a.low, evidence) &&
          SameEnd(g.high, a.high, evidence))
        break;
    }
    if (match == answer.size()) return false;
    used[match] = true;
  }
  return true;
}

}  // namespace hone::math
