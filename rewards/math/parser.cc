// Lists, relations, sets, brackets and environments.
#include "rewards/math/parser.h"

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace hone::math {
namespace {

using Elements = absl::InlinedVector<int32_t, 8>;

constexpr absl::string_view kLeadIns[] = {"approximately", "about", "approx", "roughly", "exactly",
                                          "usd",           "is",    "the",    "rs"};

}  // namespace

int32_t Parser::Fail(absl::string_view why) {
  if (out_.trouble.empty()) out_.trouble = std::string(why);
  return -1;
}

int32_t Parser::Add(Node node) {
  if (out_.nodes.size() >= kMaxNodes) return Fail(absl::StrCat("more than ", kMaxNodes, " operations"));
  out_.nodes.push_back(node);
  return static_cast<int32_t>(out_.nodes.size()) - 1;
}

int32_t Parser::Leaf(NodeKind kind, absl::string_view text) {
  Node node;
  node.kind = kind;
  node.text = text;
  node.decimal = kind == NodeKind::kNumber && text.find('.') != absl::string_view::npos;
  node.variable = kind == NodeKind::kVariable;
  return Add(node);
}

int32_t Parser::Make(NodeKind kind, int32_t a, int32_t b) {
  if (a == -1 || b == -1) return -1;
  if (b >= 0 && At(a).kind == NodeKind::kMatrix && At(b).kind == NodeKind::kMatrix) return OfMatrices(kind, a, b);
  if (At(a).kind == NodeKind::kMatrix && (kind == NodeKind::kNegate || kind == NodeKind::kDivide))
    return Scaled(kind, b, a);
  if (b >= 0 && At(b).kind == NodeKind::kMatrix && kind == NodeKind::kMultiply) return Scaled(kind, a, b);
  if (!IsValue(At(a).kind) || (b >= 0 && !IsValue(At(b).kind))) return Fail("arithmetic with a set, a list or a text");
  Node node;
  node.kind = kind;
  node.a = a;
  node.b = b < 0 ? -1 : b;
  for (const int32_t child : {a, b}) {
    if (child < 0) continue;
    node.decimal |= At(child).decimal;
    node.variable |= At(child).variable;
    node.plus_minus |= At(child).plus_minus;
  }
  node.plus_minus |= kind == NodeKind::kPlusMinus || kind == NodeKind::kMinusPlus;
  return Add(node);
}

int32_t Parser::Group(NodeKind kind, absl::Span<const int32_t> elements, uint8_t code) {
  if (elements.size() > kMaxElements) return Fail(absl::StrCat("more than ", kMaxElements, " elements"));
  Node node;
  node.kind = kind;
  node.code = code;
  node.a = static_cast<int32_t>(out_.children.size());
  for (const int32_t element : elements) {
    out_.children.push_back(element);
    node.variable |= At(element).variable;
    node.decimal |= At(element).decimal;
  }
  node.b = static_cast<int32_t>(out_.children.size());
  return Add(node);
}

// A number before a matrix, a sign, or a number below it belongs to each entry.
int32_t Parser::Scaled(NodeKind kind, int32_t scale, int32_t matrix) {
  const Node old = At(matrix);
  Elements entries;
  for (int32_t child = old.a; child < old.b; ++child) {
    const int32_t entry = out_.children[static_cast<size_t>(child)];
    entries.push_back(kind == NodeKind::kMultiply ? Make(kind, scale, entry) : Make(kind, entry, scale));
    if (entries.back() < 0) return -1;
  }
  const int32_t made = Group(NodeKind::kMatrix, entries);
  if (made >= 0) out_.nodes.back().columns = old.columns;
  return made;
}

// Sums, differences and products of two matrices, entry by entry.
int32_t Parser::OfMatrices(NodeKind kind, int32_t a, int32_t b) {
  const Node left = At(a), right = At(b);
  const int32_t inner = left.columns, rows = (left.b - left.a) / inner, columns = right.columns;
  const auto entry = [&](const Node& matrix, int32_t row, int32_t column) {
    return out_.children[static_cast<size_t>(matrix.a + row * matrix.columns + column)];
  };
  const bool product = kind == NodeKind::kMultiply;
  if (!product && kind != NodeKind::kAdd && kind != NodeKind::kSubtract) return Fail("a quotient of matrices");
  if (product ? (right.b - right.a) / columns != inner : left.b - left.a != right.b - right.a || inner != columns)
    return Fail("matrices that do not fit");
  Elements entries;
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t column = 0; column < columns; ++column) {
      int32_t value = -1;
      if (!product) value = Make(kind, entry(left, row, column), entry(right, row, column));
      for (int32_t term = 0; product && term < inner; ++term) {
        const int32_t factor = Make(NodeKind::kMultiply, entry(left, row, term), entry(right, term, column));
        value = term == 0 ? factor : Make(NodeKind::kAdd, value, factor);
      }
      if (value < 0) return -1;
      entries.push_back(value);
    }
  }
  const int32_t made = Group(NodeKind::kMatrix, entries);
  if (made >= 0) out_.nodes.back().columns = columns;
  return made;
}

void Parser::Run() {
  if (tokens_.empty()) {
    Fail("nothing to read");
    return;
  }
  const int32_t root = List();
  if (root < 0) return;
  if (!AtEnd()) {
    Fail("something is left over");
    return;
  }
  out_.root = root;
}

void Parser::SkipLeadIn() {
  for (bool more = true; more && !AtEnd();) {
    more = false;
    for (const absl::string_view word : kLeadIns)
      more |= Is(TokenKind::kWord) && Peek().text == word && at_ + 1 < tokens_.size();
    more |= Is(TokenKind::kRelation) && (Peek().code == '~' || Peek().code == '=');
    at_ += more;
  }
}

int32_t Parser::List() {
  const Level level(*this);
  if (!level.ok()) return Fail(absl::StrCat("nested more than ", kMaxDepth, " deep"));
  Elements elements;
  do {
    while (Take(',') || Take(';')) {
    }
    if (AtEnd() || Is(')') || Is(']') || Is('}') || Is(kSetClose)) break;
    SkipLeadIn();
    elements.push_back(Relation());
    if (elements.back() < 0) return -1;
  } while (Is(',') || Is(';'));
  if (elements.empty()) return Fail("nothing to read");
  return elements.size() == 1 ? elements[0] : Group(NodeKind::kList, elements);
}

int32_t Parser::Relation() {
  Elements sides = {Ratio()};
  if (sides[0] < 0) return -1;
  absl::InlinedVector<char, 4> signs;
  while (Is(TokenKind::kRelation)) {
    signs.push_back(Peek().code);
    ++at_;
    sides.push_back(Ratio());
    if (sides.back() < 0) return -1;
  }
  if (signs.empty()) return sides[0];
  const int32_t relation = Group(NodeKind::kRelation, sides);
  if (relation < 0) return -1;
  out_.nodes.back().columns = static_cast<int32_t>(out_.relations.size());
  out_.relations.insert(out_.relations.end(), signs.begin(), signs.end());
  return relation;
}

// 3 : 4 is the fraction.
int32_t Parser::Ratio() {
  int32_t left = Sets();
  while (left >= 0 && !builder_ && Take(kRatio)) left = Make(NodeKind::kDivide, left, Sets());
  return left;
}

int32_t Parser::Sets() {
  int32_t left = Sum();
  Elements pieces;
  while (left >= 0 && (Is(kUnion) || Is(kWithout) || Is(kIntersection))) {
    if (Is(kIntersection)) return Fail("an intersection");
    if (Take(kWithout)) {
      const int32_t less = Sum();
      if (less < 0) return -1;
      const int32_t both[] = {left, less};
      left = Group(NodeKind::kWithout, both);
      continue;
    }
    ++at_;
    if (pieces.empty()) pieces.push_back(left);
    pieces.push_back(Sum());
    if (pieces.back() < 0) return -1;
    left = pieces.back();
  }
  return left < 0 || pieces.empty() ? left : Group(NodeKind::kUnion, pieces);
}

int32_t Parser::Brackets() {
  const char open = Peek().code;
  ++at_;
  const int bars = std::exchange(bars_, 0);
  const bool builder = std::exchange(builder_, false);
  const int32_t inside = List();
  bars_ = bars;
  builder_ = builder;
  if (inside < 0) return -1;
  if (!Is(')') && !Is(']') && !Is(kAngleClose)) return Fail("a bracket is never closed");
  const char close = Peek().code;
  ++at_;
  if (At(inside).kind != NodeKind::kList) {
    if ((open == '(') != (close == ')')) return Fail("brackets of two kinds");
    return inside;
  }
  const Node list = At(inside);
  const bool half_open = (open == '(') != (close == ')');
  if (list.b - list.a == 2 && (open == '[' || half_open)) {
    out_.nodes[static_cast<size_t>(inside)].kind = NodeKind::kInterval;
    out_.nodes[static_cast<size_t>(inside)].code = static_cast<uint8_t>((open == '[' ? 1 : 0) + (close == ']' ? 2 : 0));
    return inside;
  }
  if (half_open) return Fail("brackets of two kinds");
  out_.nodes[static_cast<size_t>(inside)].kind = NodeKind::kTuple;
  return inside;
}

// Braces without backslashes only group: {1, 2} is a list.
int32_t Parser::Braces(char close) {
  ++at_;
  if (Take(close)) return close == kSetClose ? Group(NodeKind::kSet, {}) : Fail("empty braces");
  const int bars = std::exchange(bars_, 0);
  const bool builder = std::exchange(builder_, close == kSetClose);
  const int32_t inside = List();
  bars_ = bars;
  builder_ = builder;
  if (inside < 0) return -1;
  if (close == kSetClose && (Take('|') || Take(kRatio))) return Condition(inside);
  if (!Take(close)) return Fail("a brace is never closed");
  if (close == '}') return inside;
  if (At(inside).kind == NodeKind::kList) {
    out_.nodes[static_cast<size_t>(inside)].kind = NodeKind::kSet;
    return inside;
  }
  const int32_t one[] = {inside};
  return Group(NodeKind::kSet, one);
}

// {x | 1 < x < 3} says what 1 < x < 3 says.
int32_t Parser::Condition(int32_t element) {
  const Node& node = At(element);
  if (node.kind != NodeKind::kVariable && node.kind != NodeKind::kRelation)
    return Fail("a set of formulas with a condition");
  const int32_t condition = List();
  if (condition < 0) return -1;
  if (!Take(kSetClose)) return Fail("a brace is never closed");
  return condition;
}

// Matrices are rows of columns; the rows of cases, aligned equations and the like are elements of a list.
int32_t Parser::Environment() {
  const absl::string_view name = Peek().text;
  ++at_;
  const bool matrix = name.find("matrix") != absl::string_view::npos || name == "array";
  Elements entries;
  int32_t columns = 0, in_row = 0;
  while (!Is(TokenKind::kEnd)) {
    if (AtEnd()) return Fail("\\begin without \\end");
    if (Take(kNewRow)) {
      if (columns != 0 && in_row != columns && matrix) return Fail("a matrix with rows of different length");
      columns = in_row;
      in_row = 0;
    } else if (!Take('&') && !Take(',')) {
      const int32_t entry = Relation();
      if (entry < 0) return -1;
      entries.push_back(entry);
      ++in_row;
    }
  }
  ++at_;
  if (entries.empty()) return Fail("an empty matrix");
  if (!matrix) return Group(NodeKind::kList, entries);
  if (in_row != 0 && columns != 0 && in_row != columns) return Fail("a matrix with rows of different length");
  if (columns == 0) columns = in_row;
  if (name == "vmatrix" || name == "Vmatrix") return Fail("a determinant");
  const int32_t made = Group(NodeKind::kMatrix, entries);
  if (made >= 0) out_.nodes.back().columns = columns;
  return made;
}

int32_t Parser::Words() {
  Elements words;
  while (Is(TokenKind::kWord)) {
    words.push_back(Leaf(NodeKind::kText, Peek().text));
    if (words.back() < 0) return -1;
    ++at_;
  }
  return words.size() == 1 ? words[0] : Group(NodeKind::kTuple, words);
}

void Parse(absl::string_view text, Reading reading, Expression& out) {
  out.nodes.clear();
  out.children.clear();
  out.relations.clear();
  out.root = -1;
  out.unit_letters = false;
  out.trouble.clear();
  Tokenize(text, reading.comma, out.tokens);
  if (!out.tokens.trouble.empty()) {
    out.trouble = out.tokens.trouble;
    return;
  }
  Parser(reading, out).Run();
}

}  // namespace hone::math
