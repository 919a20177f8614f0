// From a template's text to its tree. The language is that of Jinja 3.1 with what transformers sets: trim_blocks,
// lstrip_blocks, break and continue, and {% generation %}, whose content is simply rendered. Our own, because no C++ library
// in Debian 12 knows namespaces, macros and Python's methods on texts, which most templates of models use.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/jinja/value.h"

namespace hone::jinja {

// Children are given in the order in which they stand in Node::children; [x] may be null.
enum class NodeKind {
  // Expressions.
  kConstant,   // value
  kName,       // text
  kTuple,      // items
  kList,       // items
  kDict,       // key, value, key, value, ...
  kUnary,      // text is "-", "+" or "not"; operand
  kBinary,     // text is the operator; left, right
  kAnd,        // left, right
  kOr,         // left, right
  kConcat,     // left, right
  kCompare,    // names are the operators; operands, one more than operators
  kTernary,    // condition, then, [else]
  kAttribute,  // text is the name; object
  kItem,       // object, index
  kSlice,      // object, [start], [stop], [step]
  kCall,       // callee, arguments; the last of these are called by names
  kFilter,     // text is the name; [input] (null in a filter block), arguments as in kCall
  kTest,       // text is the name; input, arguments
  // Statements.
  kText,      // text
  kOutput,    // expressions, printed one after the other
  kBlock,     // statements
  kIf,        // condition, block, condition, block, ..., and at an odd place the block of else
  kFor,       // target, iterable, block, [else block], [condition]
  kSet,       // target, expression
  kSetBlock,  // target, block, [filters]
  kMacro,  // text is the name, names the parameters, value says if it mentions `caller`; block, [defaults at the end]
  kCallBlock,    // the same, with the call as last child: {% call %} defines the macro `caller` for it
  kFilterBlock,  // filters, block
  kWith,         // block, target, expression, target, expression, ...
  kBreak,
  kContinue,
};

struct Node {
  NodeKind kind;
  int line = 0;
  int height = 1;  // 1 + that of the tallest child; bounded, because trees are walked recursively
  std::string text;
  Value value;
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Node>> children;
};

// A kBlock. Errors begin with `where` and the line: "chat_template:12: tag 'include' is not supported; have: ...".
absl::StatusOr<std::unique_ptr<Node>> Parse(const std::string& source, const std::string& where);

}  // namespace hone::jinja
