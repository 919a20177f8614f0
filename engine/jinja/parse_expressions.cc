#include "absl/strings/str_cat.h"
#include "engine/jinja/parser.h"

namespace hone::jinja {
namespace {

struct Level {
  NodeKind kind;
  std::vector<std::string> operators;
};

// Left-associative operators from loose to tight. `not` and comparisons lie between `and` and `+`; ** and signs bind tighter than all.
const Level kLevels[] = {{NodeKind::kOr, {"or"}},
                         {NodeKind::kAnd, {"and"}},
                         {NodeKind::kBinary, {"+", "-"}},
                         {NodeKind::kConcat, {"~"}},
                         {NodeKind::kBinary, {"*", "/", "//", "%"}}};
constexpr size_t kNotLevel = 2, kLevelCount = 5;

}  // namespace

Parsed Parser::ParseExpression(Commas commas) {
  if (nesting_ >= kTallest) return Fail("expressions lie more than ", kTallest, " deep in each other");
  ++nesting_;
  Parsed first = ParseTernary();
  --nesting_;
  if (!first.ok() || commas == Commas::kStop || !IsOperator(",")) return first;
  NodePtr tuple = New(NodeKind::kTuple);
  HONE_RETURN_IF_ERROR(Add(*tuple, *std::move(first)));
  while (SkipOperator(",")) {
    // A comma may be the last thing in a tuple.
    if (Peek().kind == TokenKind::kTagEnd || Peek().kind == TokenKind::kOutputEnd || IsOperator(")") || IsOperator("="))
      break;
    HONE_ASSIGN_OR_RETURN(NodePtr item, ParseExpression());
    HONE_RETURN_IF_ERROR(Add(*tuple, std::move(item)));
  }
  return tuple;
}

Parsed Parser::ParseTernary() {
  HONE_ASSIGN_OR_RETURN(NodePtr value, ParseBinary(0));
  while (SkipName("if")) {
    NodePtr node = New(NodeKind::kTernary);
    HONE_ASSIGN_OR_RETURN(NodePtr condition, ParseBinary(0));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(condition)));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(value)));
    NodePtr other;
    if (SkipName("else")) {
      HONE_ASSIGN_OR_RETURN(other, ParseExpression());
    }
    HONE_RETURN_IF_ERROR(Add(*node, std::move(other)));
    value = std::move(node);
  }
  return value;
}

Parsed Parser::ParseBinary(size_t level) {
  if (level == kLevelCount) return ParsePower();
  const auto tighter = [&] { return level + 1 == kNotLevel ? ParseNot() : ParseBinary(level + 1); };
  HONE_ASSIGN_OR_RETURN(NodePtr left, tighter());
  while (true) {
    std::string found;
    for (const std::string& name : kLevels[level].operators) {
      if (level < kNotLevel ? SkipName(name) : SkipOperator(name)) found = name;
      if (!found.empty()) break;
    }
    if (found.empty()) return left;
    HONE_ASSIGN_OR_RETURN(NodePtr right, tighter());
    HONE_ASSIGN_OR_RETURN(left, Make(kLevels[level].kind, found, std::move(left), std::move(right)));
  }
}

Parsed Parser::ParseNot() {
  if (!IsName("not")) return ParseCompare();
  if (nesting_ >= kTallest) return Fail("expressions lie more than ", kTallest, " deep in each other");
  SkipName("not");
  ++nesting_;
  Parsed operand = ParseNot();
  --nesting_;
  if (!operand.ok()) return operand;
  return Make(NodeKind::kUnary, "not", *std::move(operand));
}

Parsed Parser::ParseCompare() {
  HONE_ASSIGN_OR_RETURN(NodePtr first, ParseBinary(kNotLevel));
  NodePtr node;
  while (true) {
    std::string found;
    for (const char* name : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (found.empty() && SkipOperator(name)) found = name;
    }
    if (found.empty() && SkipName("in")) found = "in";
    if (found.empty() && IsName("not") && Peek(1).kind == TokenKind::kName && Peek(1).text == "in") {
      place_ += 2;
      found = "not in";
    }
    if (found.empty()) return node == nullptr ? std::move(first) : std::move(node);
    if (node == nullptr) {
      HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kCompare, "", std::move(first)));
    }
    node->names.push_back(found);
    HONE_ASSIGN_OR_RETURN(NodePtr operand, ParseBinary(kNotLevel));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(operand)));
  }
}

Parsed Parser::ParsePower() {
  HONE_ASSIGN_OR_RETURN(NodePtr left, ParseUnary(Filters::kTaken));
  while (SkipOperator("**")) {
    HONE_ASSIGN_OR_RETURN(NodePtr right, ParseUnary(Filters::kTaken));
    HONE_ASSIGN_OR_RETURN(left, Make(NodeKind::kBinary, "**", std::move(left), std::move(right)));
  }
  return left;
}

Parsed Parser::ParseUnary(Filters filters) {
  NodePtr node;
  if (IsOperator("-") || IsOperator("+")) {
    if (nesting_ >= kTallest) return Fail("expressions lie more than ", kTallest, " deep in each other");
    const std::string sign = tokens_[place_++].text;
    ++nesting_;
    Parsed operand = ParseUnary(Filters::kLeft);
    --nesting_;
    if (!operand.ok()) return operand;
    HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kUnary, sign, *std::move(operand)));
  } else {
    HONE_ASSIGN_OR_RETURN(node, ParsePrimary());
  }
  HONE_ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
  return filters == Filters::kTaken ? ParseFilters(std::move(node)) : std::move(node);
}

Parsed Parser::ParsePrimary() {
  const Token& token = Peek();
  if (token.kind == TokenKind::kName) {
    const std::string name = token.text;
    NodePtr node = New(NodeKind::kConstant, name);
    ++place_;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      node->value = Value(name == "true" || name == "True");
    } else if (name != "none" && name != "None") {
      node->kind = NodeKind::kName;
      mentions_caller_ |= name == "caller";
      const bool in_macro = !open_.empty() && (open_[0] == "macro" || open_[0] == "call");
      if (in_macro && (name == "varargs" || name == "kwargs")) return Fail("'", name, "' of a macro is not supported");
    }
    return node;
  }
  if (token.kind == TokenKind::kConstant) {
    NodePtr node = New(NodeKind::kConstant);
    node->value = token.value;
    ++place_;
    if (node->value.text() == nullptr) return node;
    std::string text = *node->value.text();
    for (; Peek().kind == TokenKind::kConstant && Peek().value.text() != nullptr; ++place_)
      text += *Peek().value.text();
    node->value = Value(std::move(text));
    return node;
  }
  if (IsOperator("(")) return ParseParenthesis();
  if (IsOperator("[")) return ParseList();
  if (IsOperator("{")) return ParseDict();
  return Unexpected("an expression");
}

Parsed Parser::ParseParenthesis() {
  SkipOperator("(");
  if (SkipOperator(")")) return New(NodeKind::kTuple);
  HONE_ASSIGN_OR_RETURN(NodePtr inside, ParseExpression(Commas::kTuple));
  HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ")"));
  return inside;
}

Parsed Parser::ParseList() {
  SkipOperator("[");
  NodePtr list = New(NodeKind::kList);
  while (!SkipOperator("]")) {
    if (!list->children.empty()) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
    if (SkipOperator("]")) break;
    HONE_ASSIGN_OR_RETURN(NodePtr item, ParseExpression());
    HONE_RETURN_IF_ERROR(Add(*list, std::move(item)));
  }
  return list;
}

Parsed Parser::ParseDict() {
  SkipOperator("{");
  NodePtr dict = New(NodeKind::kDict);
  while (!SkipOperator("}")) {
    if (!dict->children.empty()) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
    if (SkipOperator("}")) break;
    HONE_ASSIGN_OR_RETURN(NodePtr key, ParseExpression());
    HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ":"));
    HONE_ASSIGN_OR_RETURN(NodePtr value, ParseExpression());
    HONE_RETURN_IF_ERROR(Add(*dict, std::move(key)));
    HONE_RETURN_IF_ERROR(Add(*dict, std::move(value)));
  }
  return dict;
}

Parsed Parser::ParsePostfix(NodePtr node) {
  while (true) {
    if (SkipOperator(".")) {
      const Token token = Peek();
      ++place_;
      if (token.kind == TokenKind::kName) {
        HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kAttribute, token.text, std::move(node)));
      } else if (token.kind == TokenKind::kConstant && token.value.As<int64_t>() != nullptr) {
        NodePtr index = New(NodeKind::kConstant);
        index->value = token.value;
        HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kItem, "", std::move(node), std::move(index)));
      } else {
        --place_;
        return Unexpected("a name after '.'");
      }
    } else if (IsOperator("[")) {
      HONE_ASSIGN_OR_RETURN(node, ParseItem(std::move(node)));
    } else if (IsOperator("(")) {
      HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kCall, "", std::move(node)));
      HONE_RETURN_IF_ERROR(ParseArguments(*node));
    } else {
      return node;
    }
  }
}

Parsed Parser::ParseItem(NodePtr object) {
  SkipOperator("[");
  NodePtr parts[3];
  size_t part = 0;
  bool slice = false;
  while (!SkipOperator("]")) {
    if (IsOperator(":") && part < 2) {
      SkipOperator(":");
      slice = true;
      ++part;
    } else if (parts[part] == nullptr) {
      HONE_ASSIGN_OR_RETURN(parts[part], ParseExpression());
    } else {
      return Unexpected("']'");
    }
  }
  if (!slice) {
    if (parts[0] == nullptr) return Fail("wanted an index in '[]'");
    return Make(NodeKind::kItem, "", std::move(object), std::move(parts[0]));
  }
  HONE_ASSIGN_OR_RETURN(NodePtr node, Make(NodeKind::kSlice, "", std::move(object)));
  for (NodePtr& bound : parts) HONE_RETURN_IF_ERROR(Add(*node, std::move(bound)));
  return node;
}

Parsed Parser::ParseFilters(NodePtr node) {
  while (true) {
    if (IsOperator("|")) {
      SkipOperator("|");
      HONE_ASSIGN_OR_RETURN(node, ParseFilter(std::move(node)));
    } else if (IsName("is")) {
      HONE_ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (IsOperator("(")) {
      HONE_ASSIGN_OR_RETURN(node, Make(NodeKind::kCall, "", std::move(node)));
      HONE_RETURN_IF_ERROR(ParseArguments(*node));
    } else {
      return node;
    }
  }
}

Parsed Parser::ParseFilter(NodePtr input) {
  HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
  NodePtr node = New(NodeKind::kFilter, name);
  HONE_RETURN_IF_ERROR(Add(*node, std::move(input)));
  if (IsOperator("(")) HONE_RETURN_IF_ERROR(ParseArguments(*node));
  return node;
}

Parsed Parser::ParseTest(NodePtr input) {
  SkipName("is");
  const bool negated = SkipName("not");
  HONE_ASSIGN_OR_RETURN(const std::string name, ExpectName());
  NodePtr node = New(NodeKind::kTest, name);
  HONE_RETURN_IF_ERROR(Add(*node, std::move(input)));
  const Token& next = Peek();
  const bool starts_argument =
      next.kind == TokenKind::kConstant || IsOperator("[") || IsOperator("{") ||
      (next.kind == TokenKind::kName && next.text != "else" && next.text != "or" && next.text != "and");
  if (IsOperator("(")) {
    HONE_RETURN_IF_ERROR(ParseArguments(*node));
  } else if (starts_argument && next.text != "if" && next.text != "not" && next.text != "in") {
    // x is divisibleby 3
    if (IsName("is")) return Fail("'is' cannot follow a test; use parentheses");
    HONE_ASSIGN_OR_RETURN(NodePtr argument, ParsePrimary());
    HONE_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    HONE_RETURN_IF_ERROR(Add(*node, std::move(argument)));
  }
  return negated ? Make(NodeKind::kUnary, "not", std::move(node)) : std::move(node);
}

absl::Status Parser::ParseArguments(Node& call) {
  SkipOperator("(");
  for (bool first = true; !SkipOperator(")"); first = false) {
    if (!first) HONE_RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
    if (SkipOperator(")")) break;
    if (IsOperator("*") || IsOperator("**")) return Fail("arguments with ", Peek().text, " are not supported");
    if (Peek().kind == TokenKind::kName && Peek(1).kind == TokenKind::kOperator && Peek(1).text == "=") {
      call.names.push_back(Peek().text);
      place_ += 2;
    } else if (!call.names.empty()) {
      return Fail("an argument without name follows one with a name");
    }
    HONE_ASSIGN_OR_RETURN(NodePtr argument, ParseExpression());
    HONE_RETURN_IF_ERROR(Add(call, std::move(argument)));
  }
  return absl::OkStatus();
}

}  // namespace hone::jinja
