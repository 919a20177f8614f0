#include "rewards/math/equivalence.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "rewards/math/regions.h"
#include "rewards/math/scalar.h"

namespace hone::math {
namespace {

using Parts = std::vector<Part>;

constexpr int kMaxSteps = 20000;  // parts compared with parts

// What holds an answer's elements together.
enum class Holder { kSingle, kBare, kSet, kTuple };

bool IsEquality(char sign) { return sign == '=' || sign == '~'; }

class Comparer {
 public:
  bool Same(const Part& gold, const Part& answer) {
    if (++steps_ > kMaxSteps) return false;
    if (gold->kind == NodeKind::kRelation || answer->kind == NodeKind::kRelation) {
      if (const auto decided = WithRelations(gold, answer)) return *decided;
    }
    if (IsRegion(gold) || IsRegion(answer)) {
      const auto g = ToPieces(gold), a = ToPieces(answer);
      if (g && a) return SamePieces(*g, *a, evidence_);
    }
    Holder gold_holder, answer_holder;
    const Parts g = Elements(gold, gold_holder), a = Elements(answer, answer_holder);
    if (gold_holder != Holder::kSingle || answer_holder != Holder::kSingle)
      return SameElements(g, gold_holder, a, answer_holder);
    return SameSingle(gold, answer);
  }

  Evidence evidence() const { return evidence_; }
  bool exhausted() const { return steps_ > kMaxSteps; }

 private:
  static char SignOf(const Part& relation, size_t index) {
    return relation.side->expression.relations[static_cast<size_t>(relation->columns) + index];
  }
  static Parts SidesOf(const Part& part) {
    Parts parts;
    for (const int32_t child : part.side->expression.ChildrenOf(*part)) parts.push_back(part.At(child));
    return parts;
  }
  static bool OnlyEqualities(const Part& relation) {
    for (size_t sign = 0; sign + 1 < static_cast<size_t>(relation->b - relation->a); ++sign)
      if (!IsEquality(SignOf(relation, sign))) return false;
    return true;
  }

  // Variables and operations without a number, such as f(x), AB / CD or |AB|.
  static bool OnlySymbols(const Part& part) {
    switch (part->kind) {
      case NodeKind::kVariable:
        return true;
      case NodeKind::kAbsolute:
        return OnlySymbols(part.At(part->a));
      case NodeKind::kAdd:
      case NodeKind::kSubtract:
      case NodeKind::kMultiply:
      case NodeKind::kDivide:
        return OnlySymbols(part.At(part->a)) && OnlySymbols(part.At(part->b));
      default:
        return false;
    }
  }

  // x = 3, (x, y) = (1, 2), f(x) = 3: something is given a name.
  static bool IsAssignment(const Part& relation) {
    if (!OnlyEqualities(relation)) return false;
    const Part left = SidesOf(relation)[0];
    if (left->kind == NodeKind::kVariable || left->kind == NodeKind::kText) return true;
    if (OnlySymbols(left)) return true;
    if (left->kind != NodeKind::kTuple) return false;
    const Parts names = SidesOf(left);
    return std::all_of(names.begin(), names.end(), [](const Part& name) { return name->kind == NodeKind::kVariable; });
  }

  // nullopt: the relations say nothing, what they hold is compared otherwise.
  std::optional<bool> WithRelations(const Part& gold, const Part& answer) {
    const bool gold_is = gold->kind == NodeKind::kRelation, answer_is = answer->kind == NodeKind::kRelation;
    if (gold_is && answer_is) return SameRelations(gold, answer);
    if (answer_is) {
      if (!OnlyEqualities(answer))
        return SignOf(answer, 0) == ':' ? std::optional(Same(gold, SidesOf(answer)[1])) : std::nullopt;
      const Parts sides = SidesOf(answer);
      if (Same(gold, sides.back())) return true;
      return SameBeforeRounding(gold, answer, sides);
    }
    if (IsAssignment(gold) || SignOf(gold, 0) == ':') return Same(SidesOf(gold).back(), answer);
    return std::nullopt;
  }

  // "sqrt(2) ~ 1.41": what stands before the sign counts when the number behind it is near.
  bool SameBeforeRounding(const Part& gold, const Part& answer, const Parts& sides) {
    for (size_t sign = 0; sign + 1 < sides.size(); ++sign) {
      if (SignOf(answer, sign) != '~') continue;
      const Part &exact = sides[sign], &rounded = sides.back();
      if (!IsValue(exact->kind) || !IsValue(rounded->kind) || exact->variable || rounded->variable) return false;
      const NumericValue &x = exact.Number(), &y = rounded.Number();
      if (!x.finite() || !y.finite() || std::abs(x.value - y.value) > 0.01 * std::abs(x.value)) return false;
      return Same(gold, exact);
    }
    return false;
  }

  bool SameRelations(const Part& gold, const Part& answer) {
    const Parts g = SidesOf(gold), a = SidesOf(answer);
    if (OnlyEqualities(gold) && OnlyEqualities(answer)) {
      if (SameUpToFactor({g.front(), g.back()}, {a.front(), a.back()}, /*positive=*/false, evidence_)) return true;
      return Same(g.front(), a.front()) && Same(g.back(), a.back());
    }
    if (g.size() == 2 && a.size() == 2 && SameInequality(gold, g, answer, a)) return true;
    if (const auto g_pieces = ToPieces(gold), a_pieces = ToPieces(answer); g_pieces && a_pieces) {
      if (SamePieces(*g_pieces, *a_pieces, evidence_)) return SameVariables(gold, answer);
    }
    return SameChain(gold, g, answer, a);
  }

  // x < 3 and y < 3 bound different things.
  static bool SameVariables(const Part& gold, const Part& answer) {
    const auto first = [](const Part& relation) {
      for (const Part& side : SidesOf(relation))
        if (side->kind == NodeKind::kVariable) return side->id;
      return uint64_t{0};
    };
    return first(gold) == first(answer);
  }

  bool SameInequality(const Part& gold, Parts g, const Part& answer, Parts a) {
    const auto orient = [](char sign, Parts& sides) {
      if (sign != '>' && sign != 'g') return sign;
      std::swap(sides[0], sides[1]);
      return sign == '>' ? '<' : 'l';
    };
    const char g_sign = orient(SignOf(gold, 0), g), a_sign = orient(SignOf(answer, 0), a);
    if (g_sign != a_sign || g_sign == ':') return false;
    return SameUpToFactor({g[0], g[1]}, {a[0], a[1]}, /*positive=*/g_sign != '!', evidence_);
  }

  bool SameChain(const Part& gold, const Parts& g, const Part& answer, const Parts& a) {
    if (g.size() != a.size()) return false;
    const size_t last = g.size() - 1;
    const auto same = [&](bool reversed) {
      for (size_t sign = 0; sign < last; ++sign) {
        const char of_answer = SignOf(answer, reversed ? last - 1 - sign : sign);
        const absl::string_view signs = "<>lg><gl";
        const size_t at = signs.find(of_answer);
        const char wanted = reversed && at != absl::string_view::npos ? signs[at ^ 1] : of_answer;
        if (SignOf(gold, sign) != wanted) return false;
      }
      for (size_t side = 0; side <= last; ++side)
        if (!Same(g[side], a[reversed ? last - side : side])) return false;
      return true;
    };
    return same(false) || same(true);
  }

  static Parts Elements(const Part& part, Holder& holder) {
    holder = Holder::kSingle;
    switch (part->kind) {
      case NodeKind::kList:
        holder = Holder::kBare;
        break;
      case NodeKind::kSet:
        holder = Holder::kSet;
        break;
      case NodeKind::kTuple:
      case NodeKind::kInterval:
        holder = Holder::kTuple;
        break;
      case NodeKind::kMatrix:
        if (part->columns == 1 || part->columns == part->b - part->a) holder = Holder::kTuple;
        break;
      default:
        if (part->plus_minus && part.sign == 0) holder = Holder::kBare;
    }
    Parts elements;
    const auto add = [&](const Part& element) {
      elements.push_back(element);
      if (holder == Holder::kTuple || !element->plus_minus || element.sign != 0) return;
      elements.back().sign = 1;
      elements.push_back(element);
      elements.back().sign = -1;
    };
    if (holder == Holder::kSingle || IsValue(part->kind)) {
      add(part);
    } else {
      for (const int32_t child : part.side->expression.ChildrenOf(*part)) add(part.At(child));
    }
    return elements;
  }

  bool SameElements(const Parts& gold, Holder gold_holder, const Parts& answer, Holder answer_holder) {
    const bool gold_tuple = gold_holder == Holder::kTuple, answer_tuple = answer_holder == Holder::kTuple;
    if ((gold_tuple && answer_holder == Holder::kSet) || (answer_tuple && gold_holder == Holder::kSet)) return false;
    if (gold_tuple) return answer_holder != Holder::kSingle && SameInOrder(gold, answer);
    if (answer_tuple && gold_holder == Holder::kSingle) return false;
    return SameInAnyOrder(gold, answer);
  }

  bool SameInOrder(const Parts& gold, const Parts& answer) {
    if (gold.size() != answer.size()) return false;
    for (size_t element = 0; element < gold.size(); ++element)
      if (!Same(gold[element], answer[element])) return false;
    return true;
  }

  // What is written twice counts once.
  bool SameInAnyOrder(const Parts& gold, const Parts& answer) {
    std::vector<bool> matched(answer.size());
    for (const Part& g : gold) {
      bool found = false;
      for (size_t element = 0; element < answer.size(); ++element) {
        if (found && matched[element]) continue;
        if (!Same(g, answer[element])) continue;
        found = true;
        matched[element] = true;
      }
      if (!found) return false;
    }
    return std::all_of(matched.begin(), matched.end(), [](bool match) { return match; });
  }

  bool SameSingle(Part gold, Part answer) {
    if (gold->kind == NodeKind::kMatrix || answer->kind == NodeKind::kMatrix) {
      if (gold->kind != answer->kind || gold->columns != answer->columns) return false;
      return SameInOrder(SidesOf(gold), SidesOf(answer));
    }
    if (gold->kind == NodeKind::kText || answer->kind == NodeKind::kText)
      return gold->kind == answer->kind && gold->text == answer->text;
    if (gold->kind == NodeKind::kBased || answer->kind == NodeKind::kBased) return SameBased(*gold, *answer);
    if (!IsValue(gold->kind) || !IsValue(answer->kind)) return false;
    bool gold_negative = false, answer_negative = false;
    const bool gold_infinite = IsInfinite(gold, gold_negative), answer_infinite = IsInfinite(answer, answer_negative);
    if (gold_infinite || answer_infinite) return gold_infinite == answer_infinite && gold_negative == answer_negative;
    // 50% is 1/2 and, as people write it, 50.
    const bool gold_percent = gold->kind == NodeKind::kPercent, answer_percent = answer->kind == NodeKind::kPercent;
    if (gold_percent != answer_percent) {
      const Part g = gold_percent ? gold.At(gold->a) : gold, a = answer_percent ? answer.At(answer->a) : answer;
      if (SameValue(g, a, evidence_)) return true;
    } else if (gold_percent) {
      gold = gold.At(gold->a);
      answer = answer.At(answer->a);
    }
    return SameValue(gold, answer, evidence_);
  }

  // 1011_2; the base may be left out, as the question names it.
  static bool SameBased(const Node& gold, const Node& answer) {
    if (gold.kind == answer.kind) return gold.text == answer.text && gold.id == answer.id;
    const Node& plain = gold.kind == NodeKind::kBased ? answer : gold;
    return plain.kind == NodeKind::kNumber && gold.text == answer.text;
  }

  Evidence evidence_ = Evidence::kText;
  int steps_ = 0;
};

// The tokens on one line, without what only groups.
std::string PlainText(const Tokens& tokens, bool& words_only) {
  std::string text;
  words_only = !tokens.all.empty();
  for (const Token& token : tokens.all) {
    if (token.kind != TokenKind::kWord) words_only = false;
    if (token.kind == TokenKind::kCommand && (token.text == "decor" || token.text == "overline")) continue;
    if (token.kind == TokenKind::kSymbol && (token.code == '{' || token.code == '}' || token.code == kDegree)) continue;
    if (token.text.empty()) {
      text += token.code;
    } else {
      absl::StrAppend(&text, token.text);
    }
  }
  return text;
}

bool SameText(const Tokens& gold, const Tokens& answer) {
  bool gold_words = false, answer_words = false;
  const std::string g = PlainText(gold, gold_words), a = PlainText(answer, answer_words);
  if (g.empty()) return false;
  return g == a || ((gold_words || answer_words) && absl::EqualsIgnoreCase(g, a));
}

// "(B) 12", "B: 12" or "B) 12" for the choice B.
bool SameChoice(const Tokens& gold, const Tokens& answer) {
  std::vector<Token> letter;
  for (const Token& token : gold.all)
    if (token.kind == TokenKind::kLetter) letter.push_back(token);
  if (letter.size() != 1 || gold.all.size() > 3 || letter[0].text.size() != 1 ||
      !absl::ascii_isupper(static_cast<unsigned char>(letter[0].text[0])))
    return false;
  const bool bracket = !answer.all.empty() && answer.all[0].code == '(';
  if (answer.all.size() < (bracket ? 3u : 2u)) return false;
  const Token &first = answer.all[bracket ? 1 : 0], &next = answer.all[bracket ? 2 : 1];
  return first.kind == TokenKind::kLetter && first.text == letter[0].text && (next.code == ')' || next.code == kRatio);
}

const char* Words(Evidence evidence) {
  switch (evidence) {
    case Evidence::kText:
      return "equal as text";
    case Evidence::kExact:
      return "equal in exact arithmetic";
    case Evidence::kNumber:
      return "equal in floating point";
    case Evidence::kPoints:
      return "equal at 8 random points";
    default:
      return "equal to the digits given";
  }
}

// Compares under one reading of both.
bool CompareRead(Side& gold, Side& answer, Comparison& result) {
  if (!gold.expression.ok() || !answer.expression.ok()) return false;
  Comparer comparer;
  result.equal =
      comparer.Same({&gold, gold.expression.root}, {&answer, answer.expression.root}) && !comparer.exhausted();
  result.how = result.equal           ? Words(comparer.evidence())
               : comparer.exhausted() ? absl::StrCat("not equal after ", kMaxSteps, " comparisons of parts")
                                      : "not equal";
  return result.equal;
}

void Read(absl::string_view text, Reading reading, Side& side) {
  Parse(text, reading, side.expression);
  side.Forget();
}

bool UsesVariables(const Side& side) { return side.expression.ok() && side.At(side.expression.root).variable; }

}  // namespace

Comparison Compare(absl::string_view gold_text, absl::string_view answer_text) {
  Side gold, answer;
  Read(gold_text, {}, gold);
  Read(answer_text, {}, answer);
  Comparison result{false, "not equal"};
  if (CompareRead(gold, answer, result)) return result;
  if (SameText(gold.expression.tokens, answer.expression.tokens) ||
      SameChoice(gold.expression.tokens, answer.expression.tokens))
    return {true, Words(Evidence::kText)};

  const std::string gold_trouble = gold.expression.trouble, answer_trouble = answer.expression.trouble;
  const bool decimal_commas = gold.expression.tokens.decimal_comma || answer.expression.tokens.decimal_comma;
  const bool commas = gold.expression.tokens.ambiguous || answer.expression.tokens.ambiguous;
  if (gold.expression.unit_letters && !UsesVariables(answer)) {
    Read(gold_text, {CommaMeaning::kThousands, UnitLetters::kApart}, gold);
    if (CompareRead(gold, answer, result)) return result;
  } else if (answer.expression.unit_letters && !UsesVariables(gold)) {
    Read(answer_text, {CommaMeaning::kThousands, UnitLetters::kAll}, answer);
    if (CompareRead(gold, answer, result)) return result;
  }
  if (commas) {
    Read(gold_text, {CommaMeaning::kList, UnitLetters::kNone}, gold);
    Read(answer_text, {CommaMeaning::kList, UnitLetters::kNone}, answer);
    if (CompareRead(gold, answer, result)) return result;
  }
  if (decimal_commas) {
    Read(gold_text, {CommaMeaning::kDecimal, UnitLetters::kNone}, gold);
    Read(answer_text, {CommaMeaning::kDecimal, UnitLetters::kNone}, answer);
    if (CompareRead(gold, answer, result)) return result;
  }
  if (!gold_trouble.empty())
    result.how = absl::StrCat("not equal as text, the gold answer cannot be read: ", gold_trouble);
  if (gold_trouble.empty() && !answer_trouble.empty())
    result.how = absl::StrCat("not equal as text, the answer cannot be read: ", answer_trouble);
  return result;
}

}  // namespace hone::math
