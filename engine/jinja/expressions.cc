// The interpreter's expressions and calls.
#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "engine/jinja/calls.h"
#include "engine/jinja/interpreter.h"

namespace hone::jinja {
namespace {

const std::vector<std::string>& Globals() {
  static const auto& globals =
      *new std::vector<std::string>{"dict", "namespace", "raise_exception", "range", "strftime_now"};
  return globals;
}

constexpr int64_t kLongestRange = 100'000;

absl::StatusOr<Value> Range(const Bound& bound, Budget& budget) {
  HONE_ASSIGN_OR_RETURN(int64_t start, bound.Integer(0, 0));
  HONE_ASSIGN_OR_RETURN(int64_t stop, bound.Integer(1, 0));
  HONE_ASSIGN_OR_RETURN(const int64_t step, bound.Integer(2, 1));
  if (!bound.has(1)) stop = std::exchange(start, 0);
  constexpr int64_t kFar = int64_t{1} << 60;
  if (step == 0 || std::max({std::abs(start), std::abs(stop), std::abs(step)}) > kFar)
    return InputError("range with a step of 0 or numbers beyond 2^60");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    if (static_cast<int64_t>(items.size()) == kLongestRange)
      return InputError("a range has more than ", kLongestRange, " numbers");
    items.emplace_back(i);
  }
  return MakeSequence(SequenceKind::kRange, std::move(items), budget);
}

std::vector<std::string> Names(const std::vector<Builtin>& table) {
  std::vector<std::string> names;
  for (const Builtin& builtin : table) names.push_back(builtin.name);
  return names;
}

}  // namespace

absl::Status Interpreter::Located(const absl::Status& status, const Node& node) {
  if (status.ok() || located_) return status;
  located_ = true;
  return InputError(where_, ":", node.line, ": ", Visible(status.message(), 300));
}

absl::StatusOr<Value> Interpreter::Evaluate(const Node& node) {
  HONE_RETURN_IF_ERROR(budget_.Spend(32));
  if (depth_ >= kDeepest) return InputError("macros and expressions lie more than ", kDeepest, " deep in each other");
  ++depth_;
  absl::StatusOr<Value> value = EvaluateInner(node);
  --depth_;
  if (!value.ok()) return Located(value.status(), node);
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateInner(const Node& node) {
  switch (node.kind) {
    case NodeKind::kConstant:
      return node.value;
    case NodeKind::kName:
      return EvaluateName(node.text);
    case NodeKind::kTuple:
    case NodeKind::kList:
    case NodeKind::kDict:
      return EvaluateCollection(node);
    case NodeKind::kCompare:
      return EvaluateCompare(node);
    case NodeKind::kSlice:
      return EvaluateSlice(node);
    case NodeKind::kCall:
      return EvaluateCall(node);
    case NodeKind::kFilter:
      return EvaluateFilter(node, std::nullopt);
    case NodeKind::kTernary: {
      HONE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*node.children[0]));
      const Node* chosen = node.children[Truth(condition) ? 1 : 2].get();
      return chosen != nullptr ? Evaluate(*chosen) : Value::MakeUndefined("an 'if' without 'else' has no value here");
    }
    default:
      break;
  }
  HONE_ASSIGN_OR_RETURN(Value first, Evaluate(*node.children[0]));
  if (node.kind == NodeKind::kUnary) return Unary(node.text, first);
  if (node.kind == NodeKind::kAttribute) return GetAttribute(first, node.text, budget_);
  if (node.kind == NodeKind::kTest) {
    HONE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(node, 1, node.children.size()));
    HONE_ASSIGN_OR_RETURN(const bool passed, CallTest(node.text, first, arguments));
    return Value(passed);
  }
  if (node.kind == NodeKind::kAnd && !Truth(first)) return first;
  if (node.kind == NodeKind::kOr && Truth(first)) return first;
  HONE_ASSIGN_OR_RETURN(Value second, Evaluate(*node.children[1]));
  if (node.kind == NodeKind::kAnd || node.kind == NodeKind::kOr) return second;
  if (node.kind == NodeKind::kItem) return GetItem(first, second, budget_);
  if (node.kind == NodeKind::kBinary) return Binary(node.text, first, second, budget_);
  HONE_ASSIGN_OR_RETURN(const std::string left, Str(first, budget_));
  HONE_ASSIGN_OR_RETURN(const std::string right, Str(second, budget_));
  return MakeText(left + right, budget_);
}

absl::StatusOr<Value> Interpreter::EvaluateName(const std::string& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    HONE_RETURN_IF_ERROR(budget_.Spend(8));
    const auto found = scope->variables.find(name);
    if (found != scope->variables.end()) return found->second;
  }
  if (absl::c_linear_search(Globals(), name)) {
    auto function = std::make_shared<Function>();
    function->kind = Function::Kind::kGlobal;
    function->name = name;
    return Value(Value::Data(std::shared_ptr<const Function>(std::move(function))));
  }
  if (name == "lipsum" || name == "cycler" || name == "joiner")
    return InputError("function '", name, "' is not supported; have: ", absl::StrJoin(Globals(), ", "));
  return Value::MakeUndefined(absl::StrCat("'", name, "' is undefined"));
}

absl::StatusOr<Value> Interpreter::EvaluateCollection(const Node& node) {
  std::vector<Value> items;
  for (const auto& child : node.children) {
    HONE_ASSIGN_OR_RETURN(Value item, Evaluate(*child));
    items.push_back(std::move(item));
  }
  if (node.kind != NodeKind::kDict)
    return MakeSequence(node.kind == NodeKind::kList ? SequenceKind::kList : SequenceKind::kTuple, std::move(items),
                        budget_);
  std::vector<std::pair<Value, Value>> pairs;
  for (size_t i = 0; i < items.size(); i += 2) pairs.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  return MakeDict(pairs, budget_);
}

absl::StatusOr<Value> Interpreter::EvaluateCompare(const Node& node) {
  HONE_ASSIGN_OR_RETURN(Value left, Evaluate(*node.children[0]));
  for (size_t i = 0; i < node.names.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Value right, Evaluate(*node.children[i + 1]));
    HONE_ASSIGN_OR_RETURN(const bool holds, CompareBy(node.names[i], left, right, budget_));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

absl::StatusOr<Value> Interpreter::EvaluateSlice(const Node& node) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (node.children[i] == nullptr) continue;
    HONE_ASSIGN_OR_RETURN(parts[i], Evaluate(*node.children[i]));
  }
  return Slice(parts[0], parts[1], parts[2], parts[3], budget_);
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const Node& node, size_t first, size_t last) {
  Arguments arguments;
  const size_t named_from = last - node.names.size();
  for (size_t i = first; i < last; ++i) {
    HONE_ASSIGN_OR_RETURN(Value value, Evaluate(*node.children[i]));
    if (i < named_from) {
      arguments.positional.push_back(std::move(value));
    } else {
      arguments.named.emplace_back(node.names[i - named_from], std::move(value));
    }
  }
  return arguments;
}

absl::StatusOr<Value> Interpreter::EvaluateFilter(const Node& node, const std::optional<Value>& block) {
  Value input;
  if (node.children[0] == nullptr) {
    input = *block;
  } else if (block && node.children[0]->kind == NodeKind::kFilter) {
    // A chain of filters over a block.
    HONE_ASSIGN_OR_RETURN(input, EvaluateFilter(*node.children[0], block));
  } else {
    HONE_ASSIGN_OR_RETURN(input, Evaluate(*node.children[0]));
  }
  HONE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(node, 1, node.children.size()));
  return CallFilter(node.text, input, arguments);
}

absl::StatusOr<Value> Interpreter::CallFilter(const std::string& name, const Value& input, const Arguments& arguments) {
  const Builtin* filter = FindBuiltin(SequenceFilters(), name);
  if (filter == nullptr) filter = FindBuiltin(TextFilters(), name);
  if (filter == nullptr) {
    std::vector<std::string> names = Names(SequenceFilters()), more = Names(TextFilters());
    names.insert(names.end(), more.begin(), more.end());
    absl::c_sort(names);
    const std::string near = DidYouMean(name, names);
    return InputError("filter '", Visible(name, 40), "' is not supported",
                      near.empty() ? absl::StrCat("; have: ", absl::StrJoin(names, " ")) : near);
  }
  HONE_RETURN_IF_ERROR(budget_.Spend(input.text() != nullptr ? input.text()->size() : 0));
  // select, map and their like pass arguments on.
  const bool passes_on = filter->parameters == std::vector<std::string>{"*"};
  if (passes_on) return LazyFilter(*this, name, input, arguments);
  const auto bound = Bound::Bind(filter->parameters, arguments);
  if (!bound.ok()) return InputError("filter '", name, "' ", bound.status().message());
  return filter->call(*this, input, *bound);
}

absl::StatusOr<Value> Interpreter::EvaluateCall(const Node& node) {
  HONE_ASSIGN_OR_RETURN(const Value callee, Evaluate(*node.children[0]));
  HONE_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(node, 1, node.children.size()));
  return Call(callee, arguments);
}

absl::StatusOr<Value> Interpreter::Call(const Value& callee, const Arguments& arguments) {
  HONE_RETURN_IF_ERROR(MustBeDefined(callee));
  const Function* function = callee.function();
  if (function == nullptr) return InputError("a ", TypeName(callee), " cannot be called");
  if (function->kind == Function::Kind::kMacro) return CallMacro(*function, arguments);
  if (function->kind == Function::Kind::kGlobal) return CallGlobal(function->name, arguments);
  const Value& self = *function->self;
  HONE_RETURN_IF_ERROR(budget_.Spend(self.text() != nullptr ? self.text()->size() : 0));
  if (const auto* weak = self.As<std::weak_ptr<Loop>>())
    return CallLoopMethod(*weak, function->name, arguments, budget_);
  if (self.text() != nullptr && function->name == "format") return FormatText(*self.text(), arguments, budget_);
  const auto& table = self.text() != nullptr ? TextMethods() : self.dict() != nullptr ? DictMethods() : ListMethods();
  const Builtin* method = FindBuiltin(table, function->name);
  if (method == nullptr)
    return InputError("method '", function->name, "' of ", TypeName(self),
                      " is not supported; have: ", absl::StrJoin(Names(table), " "));
  const auto bound = Bound::Bind(method->parameters, arguments);
  if (!bound.ok()) return InputError("method '", function->name, "' ", bound.status().message());
  return method->call(*this, self, *bound);
}

absl::StatusOr<Value> Interpreter::CallGlobal(const std::string& name, const Arguments& arguments) {
  if (name == "namespace" || name == "dict") {
    std::vector<std::pair<Value, Value>> items;
    for (const Value& start : arguments.positional) {
      if (arguments.positional.size() > 1 || start.dict() == nullptr)
        return InputError(name, "() wants names, or one dict");
      items = start.dict()->items;
    }
    for (const auto& [key, value] : arguments.named) items.emplace_back(Value(key), value);
    HONE_ASSIGN_OR_RETURN(const Value dict, MakeDict(items, budget_));
    if (name == "dict") return dict;
    auto name_space = std::make_shared<Namespace>();
    for (const auto& [key, value] : dict.dict()->items) {
      if (key.text() == nullptr || (!key.text()->empty() && key.text()->front() == '_'))
        return InputError("names in a namespace are texts that do not begin with '_'");
      name_space->attributes.emplace_back(*key.text(), value);
    }
    namespaces_.push_back(name_space);
    return Value(Value::Data(std::move(name_space)));
  }
  if (name == "range") {
    HONE_ASSIGN_OR_RETURN(const Bound bound, Bound::Bind({"start", "stop", "step"}, arguments));
    if (!bound.has(0)) return InputError("range() wants at least one number");
    return Range(bound, budget_);
  }
  HONE_ASSIGN_OR_RETURN(const Bound bound, Bound::Bind({name == "strftime_now" ? "format" : "message"}, arguments));
  if (!bound.has(0)) return InputError(name, "() wants one argument");
  if (name == "strftime_now") return FormatNow(bound[0]);
  HONE_ASSIGN_OR_RETURN(const std::string message, Str(bound[0], budget_));
  return InputError(message);
}

absl::StatusOr<Value> Interpreter::FormatNow(const Value& format) {
  if (format.text() == nullptr) return InputError("strftime_now() wants a text");
  const std::string& text = *format.text();
  if (text.size() > 1000 || text.find('\0') != text.npos) return InputError("strftime_now() wants at most 1000 bytes");
  for (size_t i = text.find('%'); i != text.npos; i = text.find('%', i + 2)) {
    const size_t letter = i + 1 < text.size() && text[i + 1] == '-' ? i + 2 : i + 1;
    if (letter >= text.size() || !absl::StrContains("aAbBcdDeFHIjmMpSTuUwWxXyY%", text.substr(letter, 1)))
      return InputError("strftime_now(): '", text.substr(i, 3), "' is not supported");
    i = letter - 1;
  }
  if (text.empty()) return Value(std::string());
  char buffer[64 * 1024];
  const size_t size = std::strftime(buffer, sizeof buffer, text.c_str(), &now_);
  return Value(std::string(buffer, size));
}

}  // namespace hone::jinja
