#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "rewards/math/parser.h"

namespace hone::math {
namespace {

constexpr absl::string_view kNines = "999999999999999999";
constexpr absl::string_view kCounts[] = {"0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8", "9",
                                         "10", "11", "12", "13", "14", "15", "16", "17", "18"};

uint64_t Hash(uint64_t seed, absl::string_view text) {  // FNV-1a: the same on every machine
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return seed;
}

bool IsWhole(absl::string_view digits) { return digits.find('.') == absl::string_view::npos; }

// Whether top / bottom lies between 0 and 1.
bool IsProper(absl::string_view top, absl::string_view bottom) {
  return IsWhole(top) && IsWhole(bottom) &&
         (top.size() < bottom.size() || (top.size() == bottom.size() && top < bottom));
}

}  // namespace

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

// A word behind a value is its unit; so is a letter behind a number, when letters are read so.
bool Parser::AtUnit(int32_t left) {
  if (!IsValue(At(left).kind)) return false;
  if (Is(TokenKind::kWord)) return true;
  if (!Is(TokenKind::kLetter) || At(left).variable) return false;
  out_.unit_letters = true;
  return reading_.letters_are_units;
}

// "cm^2", "km / h", "square feet": up to what is no unit.
void Parser::SkipUnits() {
  const auto is_unit = [this](size_t ahead) {
    return Is(TokenKind::kWord, ahead) || (reading_.letters_are_units && Is(TokenKind::kLetter, ahead));
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

int32_t Parser::Number(const Token& token) {
  if (Is('_') && IsWhole(token.text)) {
    const bool braced = Is('{', 1);
    const Token& base = Peek(braced ? 2 : 1);
    if (base.kind == TokenKind::kNumber && (!braced || Is('}', 3))) {
      at_ += braced ? 4 : 2;
      Node node;
      node.kind = NodeKind::kBased;
      node.text = token.text;
      if (!absl::SimpleAtoi(base.text, &node.id)) return Fail("a base that is no number");
      return Add(node);
    }
  }
  if (IsCommand("overline") && !Peek().after_space) return Repeating(token);
  if (IsWhole(token.text)) return MixedNumber(token);
  return Leaf(NodeKind::kNumber, token.text);
}

// 3\frac{1}{2}, 3 1/2 and 3½ are 7/2; before anything else a whole number is itself.
int32_t Parser::MixedNumber(const Token& whole) {
  const int32_t number = Leaf(NodeKind::kNumber, whole.text);
  if (number < 0) return -1;
  if (Is(TokenKind::kVulgar)) return Make(NodeKind::kAdd, number, Primary());
  const bool slash = Is(TokenKind::kNumber) && Is('/', 1) && Is(TokenKind::kNumber, 2);
  if (slash && IsProper(Peek().text, Peek(2).text)) {
    const int32_t top = Leaf(NodeKind::kNumber, Peek().text);
    const int32_t bottom = Leaf(NodeKind::kNumber, Peek(2).text);
    at_ += 3;
    return bottom < 0 ? -1 : Make(NodeKind::kAdd, number, Make(NodeKind::kDivide, top, bottom));
  }
  if (!IsCommand("frac")) return number;
  ++at_;
  const int32_t fraction = Fraction();
  if (fraction < 0) return -1;
  const Node &top = At(At(fraction).a), &bottom = At(At(fraction).b);
  const bool mixed =
      top.kind == NodeKind::kNumber && bottom.kind == NodeKind::kNumber && IsProper(top.text, bottom.text);
  return Make(mixed ? NodeKind::kAdd : NodeKind::kMultiply, number, fraction);
}

// 0.1\overline{6} = 0.1 + 6 / (9 * 10).
int32_t Parser::Repeating(const Token& number) {
  const size_t point = number.text.find('.');
  const size_t decimals = point == absl::string_view::npos ? 0 : number.text.size() - point - 1;
  if (!Is('{', 1) || !Is(TokenKind::kNumber, 2) || !Is('}', 3)) return Fail("a mark over a formula");
  const absl::string_view period = Peek(2).text;
  if (!IsWhole(period) || period.size() > kNines.size() || decimals >= std::size(kCounts)) return Fail("a long period");
  at_ += 4;
  const int32_t ten = Leaf(NodeKind::kNumber, "10");
  const int32_t shift = Make(NodeKind::kPower, ten, Leaf(NodeKind::kNumber, kCounts[decimals]));
  const int32_t below = Make(NodeKind::kMultiply, Leaf(NodeKind::kNumber, kNines.substr(0, period.size())), shift);
  const int32_t tail = Make(NodeKind::kDivide, Leaf(NodeKind::kNumber, period), below);
  if (tail < 0) return -1;
  const int32_t start = Leaf(NodeKind::kNumber, number.text);
  if (start < 0) return -1;
  out_.nodes.back().decimal = false;  // it is exact
  return Make(NodeKind::kAdd, start, tail);
}

// x, x_1, x_{max}, x': the name is all of it.
int32_t Parser::Variable(const Token& letter) {
  uint64_t id = Hash(0xcbf29ce484222325, letter.text);
  if (Take('_')) {
    id = Hash(id, "_");
    int open = 0;
    do {
      if (AtEnd()) return Fail("a subscript is missing");
      const Token& token = Peek();
      open += Is('{') ? 1 : Is('}') ? -1 : 0;
      if (!Is('{') && !Is('}'))
        id = token.text.empty() ? Hash(id, absl::string_view(&token.code, 1)) : Hash(id, token.text);
      ++at_;
    } while (open > 0);
  }
  while (Take('\'')) id = Hash(id, "'");
  const int32_t node = Leaf(NodeKind::kVariable, letter.text);
  if (node >= 0) out_.nodes.back().id = id;
  return node;
}

int32_t Parser::Function(const Token& name) {
  int32_t base = kNone, exponent = kNone;
  if (Take('_')) {
    base = Is('(') ? Brackets() : Is(TokenKind::kNumber) ? Leaf(NodeKind::kNumber, tokens_[at_++].text) : Argument();
    if (base < 0) return -1;
    if (name.text != "log") return Fail("a function with a subscript");
  }
  if (Take('^')) {
    exponent = Exponent();
    if (exponent < 0) return -1;
  }
  absl::string_view text = name.text;
  const bool inverse = exponent >= 0 && At(exponent).kind == NodeKind::kNegate &&
                       At(At(exponent).a).kind == NodeKind::kNumber && At(At(exponent).a).text == "1";
  if (inverse) {
    if (text != "sin" && text != "cos" && text != "tan") return Fail("an inverse function");
    text = text == "sin" ? "arcsin" : text == "cos" ? "arccos" : "arctan";
    exponent = kNone;
  }
  ++functions_;
  const int32_t argument = FunctionArgument();
  --functions_;
  if (argument < 0) return -1;
  int32_t value = -1;
  if (text == "exp") {
    const int32_t euler = Leaf(NodeKind::kEuler);
    value = euler < 0 ? -1 : Make(NodeKind::kPower, euler, argument);
  } else {
    value = Make(NodeKind::kFunction, argument, base);
    if (value >= 0) out_.nodes.back().text = text;
  }
  return value < 0 || exponent < 0 ? value : Make(NodeKind::kPower, value, exponent);
}

// Brackets, or factors up to the next sign, bracket or function: sin 2x is sin(2x), sin x cos x is a product.
int32_t Parser::FunctionArgument() {
  if (Is('(') || Is('[')) return Brackets();
  if (Is('{')) return Braces('}');
  int32_t value = Signed();
  while (value >= 0 && (Is(TokenKind::kLetter) || Is(TokenKind::kConstant) || Is(TokenKind::kCommand))) {
    const int32_t next = Power();
    value = next < 0 ? -1 : Make(NodeKind::kMultiply, value, next);
  }
  return value;
}

}  // namespace hone::math
