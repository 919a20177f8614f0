// An answer as a tree: numbers, variables and operations, and what holds them together (lists, sets, intervals, relations, matrices).
// All nodes lie in one array, children before their parents, so that every later pass is a loop and no depth can overflow a stack.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "rewards/math/tokens.h"

namespace hone::math {

inline constexpr int kMaxDepth = 40;  // brackets, exponents and signs inside one another
inline constexpr int kMaxNodes = 2048;
inline constexpr int kMaxElements = 128;  // of one list, set or matrix

enum class NodeKind : uint8_t {
  // Values; `a` and `b` are operands.
  kNumber,    // text: digits with at most one point
  kVariable,  // id
  kPi,
  kEuler,
  kImaginary,
  kInfinity,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kNegate,
  kPower,
  kRoot,      // of a, the b-th
  kFunction,  // text; a, and for log the base b or -1
  kAbsolute,
  kFloor,
  kCeiling,
  kFactorial,
  kBinomial,
  kPercent,
  kPlusMinus,  // a + b and a - b
  kMinusPlus,  // a - b where others add
  // All others: children are children[a .. b).
  kText,      // text: words, lower case
  kList,      // elements without brackets
  kTuple,     // (1, 2, 3), or an open interval when there are two
  kInterval,  // [1, 2), with brackets in `code`
  kSet,
  kMatrix,  // `columns`
  kUnion,
  kWithout,   // a set less another
  kRelation,  // a chain: relations[a ..] has the signs between the children
  kBased,     // text: digits; id: the base. 1011_2
};

struct Node {
  NodeKind kind = NodeKind::kNumber;
  uint8_t code = 0;         // kInterval: 1 left end included, 2 right end included
  bool decimal = false;     // it or something below is written with a decimal point
  bool variable = false;    // it or something below is a variable
  bool plus_minus = false;  // likewise kPlusMinus
  int32_t a = -1;
  int32_t b = -1;
  int32_t columns = 0;
  uint64_t id = 0;  // kVariable: a hash of its name
  absl::string_view text;
};

// Which letters behind a number are its unit: none, those written apart ("5 m"), or also "5m"; always only those that are units at all.
enum class UnitLetters : uint8_t { kNone, kApart, kAll };

// How an answer is read.
struct Reading {
  CommaMeaning comma = CommaMeaning::kThousands;
  UnitLetters unit_letters = UnitLetters::kNone;
};

struct Expression {
  Tokens tokens;  // what the nodes' texts point into
  std::vector<Node> nodes;
  std::vector<int32_t> children;
  std::vector<char> relations;  // the signs of relation i are at Node::columns ...
  int32_t root = -1;
  bool unit_letters = false;  // there are letters that could be units
  std::string trouble;        // why there is no root

  bool ok() const { return root >= 0; }
  absl::Span<const int32_t> ChildrenOf(const Node& node) const {
    return absl::MakeConstSpan(children).subspan(node.a, node.b - node.a);
  }
};

// `out` is cleared first. The text must outlive it.
void Parse(absl::string_view text, Reading reading, Expression& out);

inline bool IsValue(NodeKind kind) { return kind < NodeKind::kText; }

}  // namespace hone::math
