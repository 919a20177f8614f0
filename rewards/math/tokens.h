// What a mathematical answer is made of. Models write LaTeX, Unicode, Markdown and plain text in one line: this is where all of them
// become the same tokens, and where what carries no value (spacing, \left, currency, thousands separators) disappears.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::math {

inline constexpr size_t kMaxAnswerBytes = 4096;  // a longer text is no answer
inline constexpr size_t kMaxTokens = 2048;

enum class TokenKind : uint8_t {
  kNumber,    // digits with at most one point, separators removed: "1234.5"
  kVulgar,    // a Unicode fraction: "1/2"
  kLetter,    // a variable: "x", "theta"
  kConstant,  // p (pi), e, i, o (infinity), R (the reals), 0 (the empty set)
  kFunction,  // "sin", "log", ...
  kCommand,  // "frac", "binom", "sqrt", "root" (Unicode: takes a whole number), "overline", "circ", "decor" (an accent, without meaning)
  kWord,     // text in lower case: a unit, "yes", ...
  kBegin,    // \begin{...}
  kEnd,      // \end{...}
  kRelation,  // < > l (<=) g (>=) = ! ~ (about) : (in)
  kSymbol,    // + - * / ^ _ ( ) [ ] { } , ; | ! % & ' and those below
};

// Symbols of more than one character have these codes.
inline constexpr char kPlusMinus = 'P', kMinusPlus = 'M', kSetOpen = 'S', kSetClose = 'T', kUnion = 'U',
                      kIntersection = 'N', kWithout = 'W', kNewRow = 'L', kFloorOpen = 'F', kFloorClose = 'G',
                      kCeilOpen = 'C', kCeilClose = 'D', kAngleOpen = 'A', kAngleClose = 'B', kDegree = 'O',
                      kRatio = ':', kDots = 'Q';

struct Token {
  TokenKind kind = TokenKind::kSymbol;
  char code = 0;             // of a symbol, relation or constant
  bool after_space = false;  // white space stood before it
  bool ambiguous = false;    // a number whose separators may also separate list elements: "(1,234)"
  absl::string_view text;    // of the others; points into Tokens::store
};

struct Tokens {
  std::string store;  // reserved once: the views stay valid
  std::vector<Token> all;
  bool ambiguous = false;      // one of them is
  bool decimal_comma = false;  // a comma stands between digits and separates no thousands: 3,14
  std::string trouble;         // why there are none although there is text: "answer has 9000 bytes, ..."
};

enum class CommaMeaning { kThousands, kList, kDecimal };

// Never fails: what it does not know becomes a word, and is compared as one. `out` is cleared first.
void Tokenize(absl::string_view text, CommaMeaning comma, Tokens& out);

}  // namespace hone::math
