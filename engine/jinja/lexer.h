// A template's text cut into tokens: what lies between tags, and the names, numbers, texts and operators inside them.
#pragma once

#include <string>
#include <vector>

#include "engine/jinja/value.h"

namespace hone::jinja {

enum class TokenKind {
  kData,  // text between tags, white space already taken away as the tags ask
  kOutputBegin,
  kOutputEnd,
  kTagBegin,
  kTagEnd,
  kName,
  kConstant,  // a number or a text; in `value`
  kOperator,
  kEnd,  // the last token
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;
  Value value;
};

// Errors begin with `where` and the line.
absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source, const std::string& where);

}  // namespace hone::jinja
