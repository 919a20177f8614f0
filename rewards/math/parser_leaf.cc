// Numbers, variables and functions.
#include <cstddef>
#include <iterator>

#include "absl/strings/numbers.h"
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
