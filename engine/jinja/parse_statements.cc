#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "engine/jinja/parser.h"

namespace hone::jinja {

absl::Status Parser::Unexpected(absl::string_view wanted) const {
  const Token& token = Peek();
  std::string found;
  switch (token.kind) {
    case TokenKind::kName:
    case TokenKind::kOperator:
      found = absl::StrCat("'", Visible(token.text, 40), "'");
      break;
    case TokenKind::kConstant:
      found = "a constant";
      break;
    case TokenKind::kTagEnd:
    case TokenKind::kOutputEnd:
      found = "the end of the tag";
      break;
    default:
      found = "the end of the template";
  }
  return Fail("found ", found, ", wanted ", wanted);
}

bool Parser::IsOperator(absl::string_view text) const {
  return Peek().kind == TokenKind::kOperator && Peek().text == text;
}
bool Parser::IsName(absl::string_view text) const { return Peek().kind == TokenKind::kName && Peek().text == text; }
bool Parser::SkipOperator(absl::string_view text) {
  const bool here = IsOperator(text);
  place_ += here;
  return here;
}
bool Parser::SkipName(absl::string_view text) {
  const bool here = IsName(text);
  place_ += here;
  return here;
}

absl::Status Parser::Expect(TokenKind kind, absl::string_view text) {
  if (Peek().kind != kind || (!text.empty() && Peek().text != text))
    return Unexpected(text.empty() ? "the end of the tag" : absl::StrCat("'", text, "'"));
  ++place_;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Parser::ExpectName() {
  if (Peek().kind != TokenKind::kName) return Unexpected("a name");
  return tokens_[place_++].text;
}

NodePtr Parser::New(NodeKind kind, std::string text) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->line = Peek().line;
  node->text = std::move(text);
  return node;
}

absl::Status Parser::Add(Node& node, NodePtr child) const {
  if (child != nullptr) node.height = std::max(node.height, 1 + child->height);
  if (node.height > kTallest) return Fail("statements and expressions lie more than ", kTallest, " deep in each other");
  node.children.push_back(std::move(child));
  return absl::OkStatus();
}

Parsed Parser::Make(NodeKind kind, std::string text, NodePtr first, NodePtr second) const {
  NodePtr node = New(kind, std::move(text));
  node->line = first->line;
  HONE_RETURN_IF_ERROR(Add(*node, std::move(first)));
  if (second != nullptr) HONE_RETURN_IF_ERROR(Add(*node, std::move(second)));
  return node;
}

Parsed Parser::ParseBlock(const std::vector<std::string>& ends) {
  if (nesting_ >= kTallest) return Fail("statements lie more than ", kTallest, " deep in each other");
  ++nesting_;
  NodePtr block = New(NodeKind::kBlock);
  while (Peek().kind != TokenKind::kEnd) {
    NodePtr statement;
    if (Peek().kind == TokenKind::kData) {
      statement = New(NodeKind::kText, Peek().text);
      ++place_;
    } else if (Peek().kind == TokenKind::kOutputBegin) {
      HONE_ASSIGN_OR_RETURN(statement, ParseOutput());
    } else {
      HONE_RETURN_IF_ERROR(Expect(TokenKind::kTagBegin, ""));
      if (Peek().kind == TokenKind::kName && absl::c_linear_search(ends, Peek().text)) {
        --nesting_;
        return block;
      }
      HONE_ASSIGN_OR_RETURN(statement, ParseStatement());
      HONE_RETURN_IF_ERROR(Expect(TokenKind::kTagEnd, ""));
    }
    HONE_RETURN_IF_ERROR(Add(*block, std::move(statement)));
  }
  --nesting_;
  if (!ends.empty()) return Fail("{% ", open_.back(), " %} is not closed; wanted {% ", ends.back(), " %}");
  return block;
}

Parsed Parser::ParseOutput() {
  NodePtr output = New(NodeKind::kOutput);
  ++place_;
  HONE_ASSIGN_OR_RETURN(NodePtr expression, ParseExpression(Commas::kTuple));
  HONE_RETURN_IF_ERROR(Add(*output, std::move(expression)));
  if (Peek().kind != TokenKind::kOutputEnd) return Unexpected("'}}'");
  ++place_;
  return output;
}

// The tag's name is the next token; its end is left for the caller.
Parsed Parser::ParseStatement() {
  HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
  static const auto& kTags = *new std::vector<std::pair<std::string, Parsed (Parser::*)()>>{
      {"if", &Parser::ParseIf},       {"for", &Parser::ParseFor},        {"set", &Parser::ParseSet},
      {"macro", &Parser::ParseMacro}, {"call", &Parser::ParseCallBlock}, {"filter", &Parser::ParseFilterBlock},
      {"with", &Parser::ParseWith}};
  if (name == "break" || name == "continue") {
    if (!absl::c_linear_search(open_, "for")) return Fail("{% ", name, " %} outside of {% for %}");
    return New(name == "break" ? NodeKind::kBreak : NodeKind::kContinue);
  }
  open_.push_back(name);
  Parsed statement = Fail("");
  const auto tag = absl::c_find_if(kTags, [&](const auto& entry) { return entry.first == name; });
  if (tag != kTags.end()) {
    statement = (this->*tag->second)();
  } else if (name == "generation") {
    // Names set inside stay inside, as in {% with %}.
    NodePtr scope = New(NodeKind::kWith);
    HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBody("endgeneration"));
    HONE_RETURN_IF_ERROR(Add(*scope, std::move(block)));
    statement = std::move(scope);
  } else {
    const std::vector<std::string> known = {"break", "call",  "continue", "filter", "for", "generation",
                                            "if",    "macro", "raw",      "set",    "with"};
    return Fail("tag '", Visible(name, 40), "' is not supported here; have: ", absl::StrJoin(known, ", "),
                DidYouMean(name, known));
  }
  open_.pop_back();
  return statement;
}

Parsed Parser::ParseBody(const std::string& end) {
  SkipOperator(":");
  HONE_RETURN_IF_ERROR(Expect(TokenKind::kTagEnd, ""));
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBlock({end}));
  SkipName(end);
  return block;
}

Parsed Parser::ParseIf() {
  NodePtr node = New(NodeKind::kIf);
  while (true) {
    HONE_ASSIGN_OR_RETURN(NodePtr condition, ParseBinary(0));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(condition)));
    HONE_RETURN_IF_ERROR(Expect(TokenKind::kTagEnd, ""));
    HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBlock({"elif", "else", "endif"}));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(block)));
    if (SkipName("endif")) return node;
    if (SkipName("elif")) continue;
    SkipName("else");
    HONE_ASSIGN_OR_RETURN(NodePtr other, ParseBody("endif"));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(other)));
    return node;
  }
}

// A name, a namespace's attribute, or several of them, also in parentheses.
Parsed Parser::ParseTarget() {
  const bool parentheses = SkipOperator("(");
  NodePtr tuple = New(NodeKind::kTuple);
  bool comma = false;
  do {
    HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
    NodePtr target = New(NodeKind::kName, name);
    if (SkipOperator(".")) {
      HONE_ASSIGN_OR_RETURN(const std::string attribute, ExpectName());
      HONE_ASSIGN_OR_RETURN(target, Make(NodeKind::kAttribute, attribute, std::move(target)));
    }
    HONE_RETURN_IF_ERROR(Add(*tuple, std::move(target)));
    comma |= IsOperator(",");
  } while (SkipOperator(",") && Peek().kind == TokenKind::kName && !IsName("in"));
  if (parentheses) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ")"));
  return comma ? std::move(tuple) : std::move(tuple->children[0]);
}

Parsed Parser::ParseFor() {
  NodePtr node = New(NodeKind::kFor);
  HONE_ASSIGN_OR_RETURN(NodePtr target, ParseTarget());
  HONE_RETURN_IF_ERROR(Expect(TokenKind::kName, "in"));
  HONE_ASSIGN_OR_RETURN(NodePtr iterable, ParseBinary(0));
  if (IsOperator(",")) {
    HONE_ASSIGN_OR_RETURN(iterable, Make(NodeKind::kTuple, "", std::move(iterable)));
    while (SkipOperator(",") && Peek().kind != TokenKind::kTagEnd && !IsName("if")) {
      HONE_ASSIGN_OR_RETURN(NodePtr item, ParseBinary(0));
      HONE_RETURN_IF_ERROR(Add(*iterable, std::move(item)));
    }
  }
  NodePtr condition, other;
  if (SkipName("if")) {
    HONE_ASSIGN_OR_RETURN(condition, ParseExpression());
  }
  if (IsName("recursive")) return Fail("'recursive' loops are not supported; write a macro that calls itself");
  HONE_RETURN_IF_ERROR(Expect(TokenKind::kTagEnd, ""));
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBlock({"else", "endfor"}));
  if (SkipName("else")) {
    HONE_ASSIGN_OR_RETURN(other, ParseBody("endfor"));
  } else {
    SkipName("endfor");
  }
  for (NodePtr* child : {&target, &iterable, &block, &other, &condition})
    HONE_RETURN_IF_ERROR(Add(*node, std::move(*child)));
  return node;
}

Parsed Parser::ParseSet() {
  NodePtr node = New(NodeKind::kSet);
  HONE_ASSIGN_OR_RETURN(NodePtr target, ParseTarget());
  HONE_RETURN_IF_ERROR(Add(*node, std::move(target)));
  if (SkipOperator("=")) {
    HONE_ASSIGN_OR_RETURN(NodePtr value, ParseExpression(Commas::kTuple));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(value)));
    return node;
  }
  node->kind = NodeKind::kSetBlock;
  NodePtr filters;
  while (SkipOperator("|")) {
    HONE_ASSIGN_OR_RETURN(filters, ParseFilter(std::move(filters)));
  }
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBody("endset"));
  HONE_RETURN_IF_ERROR(Add(*node, std::move(block)));
  HONE_RETURN_IF_ERROR(Add(*node, std::move(filters)));
  return node;
}

absl::Status Parser::ParseParameters(Node& node) {
  HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, "("));
  for (bool first = true; !SkipOperator(")"); first = false) {
    if (!first) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
    HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
    node.names.push_back(name);
    if (SkipOperator("=")) {
      HONE_ASSIGN_OR_RETURN(NodePtr value, ParseExpression());
      HONE_RETURN_IF_ERROR(Add(node, std::move(value)));
    } else if (!node.children.empty()) {
      return Fail("a parameter without default follows one with a default");
    }
  }
  return absl::OkStatus();
}

Parsed Parser::ParseMacro() {
  NodePtr node = New(NodeKind::kMacro);
  HONE_ASSIGN_OR_RETURN(node->text, ExpectName());
  HONE_RETURN_IF_ERROR(ParseParameters(*node));
  // A loop around the macro is not one of its own.
  std::vector<std::string> around = {"macro"};
  around.swap(open_);
  mentions_caller_ = false;
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBody("endmacro"));
  node->value = Value(mentions_caller_);
  around.swap(open_);
  node->height = std::max(node->height, 1 + block->height);
  node->children.insert(node->children.begin(), std::move(block));
  return node;
}

Parsed Parser::ParseCallBlock() {
  NodePtr node = New(NodeKind::kCallBlock, "caller");
  if (IsOperator("(")) HONE_RETURN_IF_ERROR(ParseParameters(*node));
  HONE_ASSIGN_OR_RETURN(NodePtr call, ParseExpression());
  if (call->kind != NodeKind::kCall) return Fail("{% call %} wants a call");
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBody("endcall"));
  node->height = std::max(node->height, 1 + block->height);
  node->children.insert(node->children.begin(), std::move(block));
  HONE_RETURN_IF_ERROR(Add(*node, std::move(call)));
  return node;
}

Parsed Parser::ParseFilterBlock() {
  NodePtr node = New(NodeKind::kFilterBlock);
  HONE_ASSIGN_OR_RETURN(NodePtr filters, ParseFilter(nullptr));
  while (SkipOperator("|")) {
    HONE_ASSIGN_OR_RETURN(filters, ParseFilter(std::move(filters)));
  }
  HONE_ASSIGN_OR_RETURN(NodePtr block, ParseBody("endfilter"));
  HONE_RETURN_IF_ERROR(Add(*node, std::move(filters)));
  HONE_RETURN_IF_ERROR(Add(*node, std::move(block)));
  return node;
}

Parsed Parser::ParseWith() {
  NodePtr node = New(NodeKind::kWith);
  HONE_RETURN_IF_ERROR(Add(*node, nullptr));
  while (Peek().kind != TokenKind::kTagEnd) {
    if (node->children.size() > 1) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
    HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
    HONE_RETURN_IF_ERROR(Add(*node, New(NodeKind::kName, name)));
    HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, "="));
    HONE_ASSIGN_OR_RETURN(NodePtr value, ParseExpression());
    HONE_RETURN_IF_ERROR(Add(*node, std::move(value)));
  }
  HONE_ASSIGN_OR_RETURN(node->children[0], ParseBody("endwith"));
  node->height = std::max(node->height, 1 + node->children[0]->height);
  return node;
}

Parsed Parse(const std::string& source, const std::string& where) {
  HONE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source, where));
  return Parser(std::move(tokens), where).ParseBlock({});
}

}  // namespace hone::jinja
