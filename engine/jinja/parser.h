// The recursive-descent parser behind Parse(). Statements are in parse_statements.cc, expressions in parse_expressions.cc.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "engine/jinja/lexer.h"
#include "engine/jinja/syntax.h"

namespace hone::jinja {

using NodePtr = std::unique_ptr<Node>;
using Parsed = absl::StatusOr<NodePtr>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string where) : tokens_(std::move(tokens)), where_(std::move(where)) {}

  // Statements and text up to the end, or up to a tag named in `ends`; that name is left as the next token.
  Parsed ParseBlock(const std::vector<std::string>& ends);

 private:
  // Trees are walked recursively, here and by the interpreter.
  static constexpr int kTallest = 250;
  enum class Commas { kTuple, kStop };

  template <typename... Parts>
  absl::Status Fail(const Parts&... parts) const {
    return InputError(where_, ":", Peek().line, ": ", parts...);
  }
  absl::Status Unexpected(absl::string_view wanted) const;

  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(place_ + ahead, tokens_.size() - 1)]; }
  bool IsOperator(absl::string_view text) const;
  bool IsName(absl::string_view text) const;
  bool SkipOperator(absl::string_view text);
  bool SkipName(absl::string_view text);
  absl::Status Expect(TokenKind kind, absl::string_view text);
  absl::StatusOr<std::string> ExpectName();
  NodePtr New(NodeKind kind, std::string text = "") const;
  // Adds a child; refuses trees that grow too tall.
  absl::Status Add(Node& node, NodePtr child) const;
  Parsed Make(NodeKind kind, std::string text, NodePtr first, NodePtr second = nullptr) const;

  Parsed ParseStatement();
  Parsed ParseIf();
  Parsed ParseFor();
  Parsed ParseSet();
  Parsed ParseMacro();
  Parsed ParseCallBlock();
  Parsed ParseFilterBlock();
  Parsed ParseWith();
  Parsed ParseOutput();
  absl::Status ParseParameters(Node& node);
  Parsed ParseTarget();
  // A block up to {% `end` %}, which is read too.
  Parsed ParseBody(const std::string& end);

  // An expression; `a, b` is a tuple when `commas` says so.
  Parsed ParseExpression(Commas commas = Commas::kStop);
  Parsed ParseTernary();
  Parsed ParseBinary(size_t level);
  Parsed ParseNot();
  Parsed ParseCompare();
  Parsed ParsePower();
  enum class Filters { kTaken, kLeft };
  Parsed ParseUnary(Filters filters);
  Parsed ParsePrimary();
  Parsed ParseParenthesis();
  Parsed ParseList();
  Parsed ParseDict();
  Parsed ParsePostfix(NodePtr node);
  Parsed ParseItem(NodePtr object);
  Parsed ParseFilters(NodePtr node);
  Parsed ParseFilter(NodePtr input);
  Parsed ParseTest(NodePtr input);
  // (arguments): positional ones, then named ones.
  absl::Status ParseArguments(Node& call);

  std::vector<Token> tokens_;
  std::string where_;
  size_t place_ = 0;
  bool mentions_caller_ = false;   // the macro being read does
  int nesting_ = 0;                // of calls to this parser
  std::vector<std::string> open_;  // names of the open statements, for messages and for break and continue
};

}  // namespace hone::jinja
