// The interpreter's statements.
#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/jinja/interpreter.h"

namespace hone::jinja {
namespace {

// Opens a scope below `scope` until the end of the block.
class InnerScope {
 public:
  InnerScope(std::shared_ptr<Scope>& scope, std::shared_ptr<Scope> parent) : scope_(scope), outer_(scope) {
    scope_ = std::make_shared<Scope>();
    scope_->parent = std::move(parent);
  }
  explicit InnerScope(std::shared_ptr<Scope>& scope) : InnerScope(scope, scope) {}
  ~InnerScope() { scope_ = outer_; }

 private:
  std::shared_ptr<Scope>& scope_;
  std::shared_ptr<Scope> outer_;
};

}  // namespace

Interpreter::~Interpreter() {
  for (const auto& name_space : namespaces_) name_space->attributes.clear();
}

absl::StatusOr<std::string> Interpreter::Render(const Node& block,
                                                std::vector<std::pair<std::string, Value>> variables) {
  scope_ = std::make_shared<Scope>();
  for (auto& [name, value] : variables) scope_->variables[name] = std::move(value);
  // What the template sets lies in a scope of its own above what it was given.
  const InnerScope inner(scope_);
  std::string out;
  out_ = &out;
  HONE_RETURN_IF_ERROR(ExecuteBlock(block).status());
  return out;
}

absl::Status Interpreter::Print(absl::string_view text) {
  HONE_RETURN_IF_ERROR(budget_.Spend(text.size()));
  HONE_RETURN_IF_ERROR(
      budget_.SpendText(out_->size() + text.size() > Budget::kLongestText ? out_->size() + text.size() : 0));
  absl::StrAppend(out_, text);
  return absl::OkStatus();
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteBlock(const Node& node) {
  for (const auto& statement : node.children) {
    auto flow = Execute(*statement);
    if (!flow.ok()) return Located(flow.status(), *statement);
    if (*flow != Flow::kGoOn) return flow;
  }
  return Flow::kGoOn;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Node& node) {
  HONE_RETURN_IF_ERROR(budget_.Spend(64));
  if (depth_ >= kDeepest) return InputError("macros and blocks lie more than ", kDeepest, " deep in each other");
  ++depth_;
  auto status = absl::StatusOr<Flow>(Flow::kGoOn);
  switch (node.kind) {
    case NodeKind::kText:
      if (const absl::Status printed = Print(node.text); !printed.ok()) status = printed;
      break;
    case NodeKind::kOutput: {
      const auto value = Evaluate(*node.children[0]);
      const auto text = value.ok() ? Str(*value, budget_) : value.status();
      if (const absl::Status printed = text.ok() ? Print(*text) : text.status(); !printed.ok()) status = printed;
      break;
    }
    case NodeKind::kBlock:
      status = ExecuteBlock(node);
      break;
    case NodeKind::kIf:
      status = ExecuteIf(node);
      break;
    case NodeKind::kFor:
      status = ExecuteFor(node);
      break;
    case NodeKind::kBreak:
      status = Flow::kBreak;
      break;
    case NodeKind::kContinue:
      status = Flow::kContinue;
      break;
    default: {
      const absl::Status done = node.kind == NodeKind::kMacro       ? DefineMacro(node, node.text)
                                : node.kind == NodeKind::kCallBlock ? ExecuteCallBlock(node)
                                : node.kind == NodeKind::kWith      ? ExecuteWith(node)
                                                                    : ExecuteSet(node);
      if (!done.ok()) status = done;
    }
  }
  --depth_;
  return status;
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteIf(const Node& node) {
  size_t i = 0;
  for (; i + 1 < node.children.size(); i += 2) {
    HONE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*node.children[i]));
    if (Truth(condition)) return ExecuteBlock(*node.children[i + 1]);
  }
  return i < node.children.size() ? ExecuteBlock(*node.children[i]) : Flow::kGoOn;
}

absl::StatusOr<std::vector<Value>> Interpreter::LoopItems(const Node& node) {
  HONE_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*node.children[1]));
  HONE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(iterable, budget_));
  const Node* condition = node.children[4].get();
  if (condition == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const InnerScope inner(scope_);
    HONE_RETURN_IF_ERROR(Assign(*node.children[0], item));
    HONE_ASSIGN_OR_RETURN(const Value keep, Evaluate(*condition));
    if (Truth(keep)) kept.push_back(std::move(item));
  }
  return kept;
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteFor(const Node& node) {
  const auto loop = std::make_shared<Loop>();
  HONE_ASSIGN_OR_RETURN(loop->items, LoopItems(node));
  for (; loop->index < loop->items.size(); ++loop->index) {
    const InnerScope inner(scope_);
    HONE_RETURN_IF_ERROR(budget_.Spend(256));
    HONE_RETURN_IF_ERROR(Assign(*node.children[0], loop->items[loop->index]));
    scope_->variables["loop"] = Value(Value::Data(std::weak_ptr<Loop>(loop)));
    HONE_ASSIGN_OR_RETURN(const Flow flow, ExecuteBlock(*node.children[2]));
    if (flow == Flow::kBreak) break;
  }
  if (!loop->items.empty() || node.children[3] == nullptr) return Flow::kGoOn;
  const InnerScope inner(scope_);
  return ExecuteBlock(*node.children[3]);
}

absl::Status Interpreter::Assign(const Node& target, Value value) {
  if (target.kind == NodeKind::kName) {
    scope_->variables[target.text] = std::move(value);
    return absl::OkStatus();
  }
  if (target.kind == NodeKind::kAttribute) {
    HONE_ASSIGN_OR_RETURN(const Value object, EvaluateName(target.children[0]->text));
    Namespace* name_space = object.name_space();
    if (name_space == nullptr)
      return InputError("'", target.children[0]->text, "' is a ", TypeName(object),
                        "; attributes can be set on a namespace only");
    if (target.text[0] == '_') return InputError("the attribute '", target.text, "' of a namespace begins with '_'");
    if (Value* old = name_space->Find(target.text)) {
      *old = std::move(value);
    } else {
      name_space->attributes.emplace_back(target.text, std::move(value));
      HONE_RETURN_IF_ERROR(budget_.Spend(64 * static_cast<int64_t>(name_space->attributes.size())));
    }
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const std::vector<Value> parts, Iterate(value, budget_));
  if (parts.size() != target.children.size())
    return InputError("a ", TypeName(value), " of ", parts.size(), " cannot be taken apart into ",
                      target.children.size(), " names");
  for (size_t i = 0; i < parts.size(); ++i) HONE_RETURN_IF_ERROR(Assign(*target.children[i], parts[i]));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Interpreter::Capture(const Node& block) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const auto flow = ExecuteBlock(block);
  out_ = outer;
  if (!flow.ok()) return flow.status();
  return text;
}

// Also {% filter %}: both render a block to a text.
absl::Status Interpreter::ExecuteSet(const Node& node) {
  if (node.kind == NodeKind::kSet) {
    HONE_ASSIGN_OR_RETURN(Value value, Evaluate(*node.children[1]));
    return Assign(*node.children[0], std::move(value));
  }
  const bool prints = node.kind == NodeKind::kFilterBlock;
  const Node* filters = node.children[prints ? 0 : 2].get();
  std::string text;
  {
    const InnerScope inner(scope_);
    HONE_ASSIGN_OR_RETURN(text, Capture(*node.children[1]));
  }
  Value value(std::move(text));
  if (filters != nullptr) {
    HONE_ASSIGN_OR_RETURN(value, EvaluateFilter(*filters, value));
  }
  if (!prints) return Assign(*node.children[0], std::move(value));
  HONE_ASSIGN_OR_RETURN(const std::string printed, Str(value, budget_));
  return Print(printed);
}

absl::Status Interpreter::ExecuteWith(const Node& node) {
  std::vector<Value> values;
  for (size_t i = 1; i < node.children.size(); i += 2) {
    HONE_ASSIGN_OR_RETURN(Value value, Evaluate(*node.children[i + 1]));
    values.push_back(std::move(value));
  }
  const InnerScope inner(scope_);
  for (size_t i = 0; i < values.size(); ++i) scope_->variables[node.children[1 + 2 * i]->text] = values[i];
  return ExecuteBlock(*node.children[0]).status();
}

absl::Status Interpreter::DefineMacro(const Node& node, const std::string& name) {
  auto macro = std::make_shared<Function>();
  macro->kind = Function::Kind::kMacro;
  macro->name = name;
  macro->macro = &node;
  macro->scope = scope_;
  scope_->variables[name] = Value(Value::Data(std::shared_ptr<const Function>(std::move(macro))));
  return absl::OkStatus();
}

absl::Status Interpreter::ExecuteCallBlock(const Node& node) {
  const InnerScope inner(scope_);
  const Node& call = *node.children.back();
  HONE_ASSIGN_OR_RETURN(const Value callee, Evaluate(*call.children[0]));
  HONE_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(call, 1, call.children.size()));
  HONE_RETURN_IF_ERROR(DefineMacro(node, "caller"));
  arguments.named.emplace_back("caller", scope_->variables["caller"]);
  HONE_ASSIGN_OR_RETURN(const Value value, Call(callee, arguments));
  HONE_ASSIGN_OR_RETURN(const std::string text, Str(value, budget_));
  return Print(text);
}

absl::StatusOr<Value> Interpreter::CallMacro(const Function& function, const Arguments& arguments) {
  const Node& macro = *function.macro;
  const std::shared_ptr<Scope> around = function.scope.lock();
  if (around == nullptr)
    return InputError("the macro '", function.name, "' is called outside of the block that defines it");
  const bool is_caller = macro.kind == NodeKind::kCallBlock;
  const size_t parameters = macro.names.size();
  const size_t defaults = macro.children.size() - 1 - is_caller;
  const bool takes_caller = Truth(macro.value);
  if (arguments.positional.size() > parameters)
    return InputError("macro '", function.name, "' takes ", parameters, " arguments, got ",
                      arguments.positional.size());
  const InnerScope inner(scope_, around);
  if (takes_caller && !is_caller)
    scope_->variables["caller"] = Value::MakeUndefined(absl::StrCat("macro '", function.name, "' has no caller"));
  for (size_t i = 0; i < arguments.positional.size(); ++i) scope_->variables[macro.names[i]] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const size_t place = absl::c_find(macro.names, name) - macro.names.begin();
    if (place < arguments.positional.size() || (place == parameters && !(name == "caller" && takes_caller)))
      return InputError("macro '", function.name, "' has no parameter '", name, "' or was given it twice");
    scope_->variables[name] = value;
  }
  for (size_t i = 0; i < parameters; ++i) {
    if (scope_->variables.contains(macro.names[i])) continue;
    Value value = Value::MakeUndefined(absl::StrCat("parameter '", macro.names[i], "' was not provided"));
    if (i + defaults >= parameters) {
      HONE_ASSIGN_OR_RETURN(value, Evaluate(*macro.children[1 + i + defaults - parameters]));
    }
    scope_->variables[macro.names[i]] = std::move(value);
  }
  HONE_ASSIGN_OR_RETURN(std::string text, Capture(*macro.children[0]));
  return MakeText(std::move(text), budget_);
}

}  // namespace hone::jinja
