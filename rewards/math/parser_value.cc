// Sums, products, powers, and what they are made of.
#include "absl/strings/str_cat.h"
#include "rewards/math/parser.h"

namespace hone::math {
int32_t Parser::Sum() {
  const Level level(*this);
  if (!level.ok()) return Fail(absl::StrCat("nested more than ", kMaxDepth, " deep"));
  int32_t left = -1;
  if (Is(kPlusMinus) || Is(kMinusPlus)) {
    left = Leaf(NodeKind::kNumber, "0");
  } else {
    left = Product();
  }
  while (left >= 0) {
    NodeKind kind = NodeKind::kAdd;
    if (Take('+')) {
      kind = NodeKind::kAdd;
    } else if (Take('-')) {
      kind = NodeKind::kSubtract;
    } else if (Take(kPlusMinus)) {
      kind = NodeKind::kPlusMinus;
    } else if (Take(kMinusPlus)) {
      kind = NodeKind::kMinusPlus;
    } else {
      return left;
    }
    const int32_t right = Product();
    if (right < 0) return -1;
    left = Make(kind, left, right);
  }
  return left;
}

// What may follow a factor without a sign.
bool Parser::StartsFactor() const {
  switch (Peek().kind) {
    case TokenKind::kLetter:
    case TokenKind::kConstant:
    case TokenKind::kFunction:
    case TokenKind::kCommand:
    case TokenKind::kBegin:
      return !AtEnd();
    case TokenKind::kSymbol:
      return Is('(') || Is('[') || Is('{') || Is(kFloorOpen) || Is(kCeilOpen) || (Is('|') && bars_ == 0 && !builder_);
    default:
      return false;
  }
}

// Metre, second, gram, hour, litre, joule, newton, watt, volt, ampere, kelvin, day, tonne.
bool Parser::IsUnitLetter(size_t ahead) const {
  return Is(TokenKind::kLetter, ahead) && Peek(ahead).text.size() == 1 &&
         absl::string_view("msghlLJNWVAKdt").find(Peek(ahead).text[0]) != absl::string_view::npos;
}

// A word behind a value is its unit; so is a letter behind a number, when letters are read so.
bool Parser::AtUnit(int32_t left) {
  if (!IsValue(At(left).kind)) return false;
  if (Is(TokenKind::kWord)) return true;
  if (At(left).variable || !IsUnitLetter(0)) return false;
  out_.unit_letters = true;
  return reading_.unit_letters == UnitLetters::kAll ||
         (reading_.unit_letters == UnitLetters::kApart && Peek().after_space);
}

// "cm^2", "km / h", "square feet": up to what is no unit.
void Parser::SkipUnits() {
  const auto is_unit = [this](size_t ahead) {
    return Is(TokenKind::kWord, ahead) || (reading_.unit_letters != UnitLetters::kNone && IsUnitLetter(ahead));
  };
  while (!AtEnd()) {
    if (is_unit(0)) {
      ++at_;
    } else if ((Is('/') || Is('*') || Is('-')) && is_unit(1)) {
      at_ += 2;
    } else if (Is('^') && Is(TokenKind::kNumber, 1)) {
      at_ += 2;
    } else if (Is('^') && Is('{', 1) && Is(TokenKind::kNumber, 2) && Is('}', 3)) {
      at_ += 4;
    } else if (Is('^') && Is('{', 1) && Is('-', 2) && Is(TokenKind::kNumber, 3) && Is('}', 4)) {
      at_ += 5;
    } else {
      return;
    }
  }
}

int32_t Parser::Product() {
  int32_t left = Signed();
  while (left >= 0) {
    if (AtUnit(left) || ((Is('/') || Is('*')) && Is(TokenKind::kWord, 1) && IsValue(At(left).kind))) {
      SkipUnits();
      if (Is(TokenKind::kWord)) return Fail("words and numbers mixed");
      continue;
    }
    NodeKind kind = NodeKind::kMultiply;
    if (Take('*')) {
    } else if (Take('/')) {
      kind = NodeKind::kDivide;
    } else if (!StartsFactor()) {
      return left;
    }
    const int32_t right = Signed();
    if (right < 0) return -1;
    left = Make(kind, left, right);
  }
  return left;
}

int32_t Parser::Signed() {
  bool negative = false;
  while (Is('-') || Is('+')) {
    negative ^= Is('-');
    ++at_;
  }
  const int32_t value = Power();
  if (!negative || value < 0) return value;
  if (At(value).kind != NodeKind::kPercent) return Make(NodeKind::kNegate, value);
  return Make(NodeKind::kPercent,
              Make(NodeKind::kNegate, At(value).a));  // the comparison looks for an outermost percent
}

int32_t Parser::Power() {
  const Level level(*this);
  if (!level.ok()) return Fail(absl::StrCat("nested more than ", kMaxDepth, " deep"));
  const int32_t base = Postfix();
  if (base < 0 || !Is('^')) return base;
  if (IsCommand("circ", 1) || Is(kDegree, 1)) {
    at_ += 2;
    return Degrees(base);
  }
  if (Is('{', 1) && (IsCommand("circ", 2) || Is(kDegree, 2)) && Is('}', 3)) {
    at_ += 4;
    return Degrees(base);
  }
  ++at_;
  if (AtEnd()) return base;
  const int32_t exponent = Exponent();
  if (exponent < 0) return -1;
  return At(exponent).kind == NodeKind::kText ? base : Make(NodeKind::kPower, base, exponent);  // 12^{\text{th}}
}

int32_t Parser::Exponent() {
  if (Is('{')) {
    const int32_t inside = Braces('}');
    if (inside < 0 || !Take('^')) return inside;
    const int32_t next = Power();
    return next < 0 ? -1 : Make(NodeKind::kPower, inside, next);
  }
  return Signed();
}

int32_t Parser::Degrees(int32_t value) {
  if ((Is(TokenKind::kLetter) && (Peek().text == "C" || Peek().text == "F")) || Is(TokenKind::kWord)) ++at_;
  if (functions_ == 0 || value < 0) return value;
  const int32_t pi = Leaf(NodeKind::kPi);
  const int32_t half_turn = Leaf(NodeKind::kNumber, "180");
  return half_turn < 0 ? -1 : Make(NodeKind::kMultiply, value, Make(NodeKind::kDivide, pi, half_turn));
}

int32_t Parser::Postfix() {
  int32_t value = Primary();
  while (value >= 0) {
    if (Take('!')) {
      value = Make(NodeKind::kFactorial, value);
    } else if (Take('%')) {
      value = Make(NodeKind::kPercent, value);
    } else if (Take(kDegree)) {
      value = Degrees(value);
    } else if (!Take('\'')) {
      return value;
    }
  }
  return value;
}

int32_t Parser::Primary() {
  if (AtEnd()) return Fail("it ends where a value is wanted");
  const Token token = Peek();
  switch (token.kind) {
    case TokenKind::kNumber:
      ++at_;
      return Number(token);
    case TokenKind::kVulgar: {
      ++at_;
      const int32_t top = Leaf(NodeKind::kNumber, token.text.substr(0, 1));
      const int32_t bottom = Leaf(NodeKind::kNumber, token.text.substr(2, 1));
      return bottom < 0 ? -1 : Make(NodeKind::kDivide, top, bottom);
    }
    case TokenKind::kLetter:
      ++at_;
      return Variable(token);
    case TokenKind::kConstant: {
      ++at_;
      if (token.code == '0') return Group(NodeKind::kSet, {});
      if (token.code != 'R') {
        return Leaf(token.code == 'p'   ? NodeKind::kPi
                    : token.code == 'e' ? NodeKind::kEuler
                    : token.code == 'i' ? NodeKind::kImaginary
                                        : NodeKind::kInfinity);
      }
      const int32_t high = Leaf(NodeKind::kInfinity);
      const int32_t ends[] = {Make(NodeKind::kNegate, high), high};
      return ends[0] < 0 ? -1 : Group(NodeKind::kInterval, ends);
    }
    case TokenKind::kFunction:
      ++at_;
      return Function(token);
    case TokenKind::kCommand:
      ++at_;
      return CommandPrimary(token);
    case TokenKind::kBegin:
      return Environment();
    case TokenKind::kWord:
      return Words();
    default:
      return SymbolPrimary(token);
  }
}

int32_t Parser::SymbolPrimary(const Token& token) {
  if (token.kind != TokenKind::kSymbol) return Fail("a sign where a value is wanted");
  switch (token.code) {
    case '(':
    case '[':
    case kAngleOpen:
      return Brackets();
    case '{':
      return Braces('}');
    case kSetOpen:
      return Braces(kSetClose);
    case '|':
      return Enclosed(NodeKind::kAbsolute, '|');
    case kFloorOpen:
      return Enclosed(NodeKind::kFloor, kFloorClose);
    case kCeilOpen:
      return Enclosed(NodeKind::kCeiling, kCeilClose);
    case kDots:
      ++at_;
      return Leaf(NodeKind::kText, "...");
    default:
      return Fail(absl::StrCat("a sign where a value is wanted"));
  }
}

int32_t Parser::Enclosed(NodeKind kind, char close) {
  ++at_;
  bars_ += close == '|';
  const int32_t inside = Sum();
  bars_ -= close == '|';
  if (inside < 0) return -1;
  return Take(close) ? Make(kind, inside) : Fail("a bar is never closed");
}

int32_t Parser::CommandPrimary(const Token& token) {
  if (token.text == "frac") return Fraction();
  if (token.text == "sqrt" || token.text == "root") return Root(token.text == "root");
  if (token.text == "decor") return Argument();
  if (token.text == "binom") {
    const int32_t top = Argument();
    const int32_t bottom = top < 0 ? -1 : Argument();
    return bottom < 0 ? -1 : Make(NodeKind::kBinomial, top, bottom);
  }
  return Fail("a mark over a formula");  // \overline of anything but repeating decimals, a lone \circ
}

int32_t Parser::Fraction() {
  const int32_t top = Argument();
  const int32_t bottom = top < 0 ? -1 : Argument();
  return bottom < 0 ? -1 : Make(NodeKind::kDivide, top, bottom);
}

// \sqrt2 takes a digit, as in LaTeX; the sign √ and the word take the number.
int32_t Parser::Root(bool takes_whole_number) {
  int32_t index = -1;
  if (Is('[') && !takes_whole_number) {
    ++at_;
    index = Sum();
    if (index < 0) return -1;
    if (!Take(']')) return Fail("a bracket is never closed");
  }
  const int32_t radicand = Is('(') ? Brackets() : takes_whole_number && !Is('{') ? Primary() : Argument();
  if (radicand < 0) return -1;
  if (index < 0) index = Leaf(NodeKind::kNumber, "2");
  return Make(NodeKind::kRoot, radicand, index);
}

int32_t Parser::Argument() {
  if (Is('{')) return Braces('}');
  if (!Is(TokenKind::kNumber)) return Primary();
  // \frac12 is 1/2: a digit is taken, the rest of the number stays.
  Token& number = tokens_[at_];
  const absl::string_view digit = number.text.substr(0, 1);
  number.text.remove_prefix(1);
  if (number.text.empty()) ++at_;
  return Leaf(NodeKind::kNumber, digit);
}

}  // namespace hone::math
