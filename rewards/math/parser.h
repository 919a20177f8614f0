// Recursive descent over the tokens of an answer. Private to the files parser*.cc; the door is Parse in expression.h.
#pragma once

#include <initializer_list>

#include "rewards/math/expression.h"

namespace hone::math {

// A method that reads something returns its node, or -1 after Fail. Loosest first:
//   list = relation {, relation}     relation = ratio {< ratio}     ratio = sets {: sets}     sets = sum {cup sum}     sum = product {+ product}
//   product = signed {* signed | signed}     signed = {-} power     power = postfix [^ exponent]     postfix = primary {! | %}
class Parser {
 public:
  Parser(Reading reading, Expression& out) : reading_(reading), out_(out), tokens_(out.tokens.all) {}

  void Run();

 private:
  static constexpr int32_t kNone = -2;  // no operand; -1 is one that could not be read

  // Structure: parser.cc
  int32_t List();
  int32_t Relation();
  int32_t Ratio();
  int32_t Sets();
  int32_t Brackets();                  // after ( [ or an angle
  int32_t Braces(char close);          // after { or \{
  int32_t Condition(int32_t element);  // after the bar of a set builder
  int32_t Environment();               // after \begin
  int32_t Words();
  void SkipLeadIn();

  // Values: parser_value.cc and parser_leaf.cc
  int32_t Sum();
  int32_t Product();
  int32_t Signed();
  int32_t Power();
  int32_t Exponent();
  int32_t Postfix();
  int32_t Primary();
  int32_t SymbolPrimary(const Token& token);
  int32_t CommandPrimary(const Token& token);
  int32_t Number(const Token& token);
  int32_t MixedNumber(const Token& whole);
  int32_t Repeating(const Token& number);
  int32_t Variable(const Token& letter);
  int32_t Function(const Token& name);
  int32_t FunctionArgument();
  int32_t Argument();  // of a command: a group, a digit or a letter
  int32_t Fraction();
  int32_t Root(bool takes_whole_number);
  int32_t Enclosed(NodeKind kind, char close);
  int32_t Degrees(int32_t value);
  void SkipUnits();
  bool IsUnitLetter(size_t ahead) const;
  bool AtUnit(int32_t left);
  bool StartsFactor() const;

  // Tokens
  const Token& Peek(size_t ahead = 0) const { return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead] : end_; }
  bool AtEnd() const { return at_ >= tokens_.size(); }
  bool Is(char symbol, size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() && Peek(ahead).kind == TokenKind::kSymbol && Peek(ahead).code == symbol;
  }
  bool Is(TokenKind kind, size_t ahead = 0) const { return at_ + ahead < tokens_.size() && Peek(ahead).kind == kind; }
  bool IsCommand(absl::string_view name, size_t ahead = 0) const {
    return Is(TokenKind::kCommand, ahead) && Peek(ahead).text == name;
  }
  bool Take(char symbol) {
    const bool found = Is(symbol);
    at_ += found;
    return found;
  }

  // Nodes
  int32_t Fail(absl::string_view why);
  int32_t Add(Node node);
  int32_t Make(NodeKind kind, int32_t a, int32_t b = kNone);
  int32_t Leaf(NodeKind kind, absl::string_view text = {});
  int32_t Group(NodeKind kind, absl::Span<const int32_t> elements, uint8_t code = 0);
  int32_t OfMatrices(NodeKind kind, int32_t a, int32_t b);
  int32_t Scaled(NodeKind kind, int32_t scale, int32_t matrix);
  const Node& At(int32_t node) const { return out_.nodes[static_cast<size_t>(node)]; }

  // Counts how deep the parser is; converts to false past the limit.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Level() { --parser_.depth_; }
    bool ok() const { return parser_.depth_ <= kMaxDepth; }

   private:
    Parser& parser_;
  };

  const Reading reading_;
  Expression& out_;
  std::vector<Token>& tokens_;
  const Token end_ = {};
  size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;          // open |
  int functions_ = 0;     // whose argument is being read: degrees count there
  bool builder_ = false;  // inside \{ before its bar
};

}  // namespace hone::math
