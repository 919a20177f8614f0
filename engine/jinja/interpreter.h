// Renders a template's tree. Semantics are those of Jinja's ImmutableSandboxedEnvironment without autoescape: scopes by
// block, Python's operators, values that templates cannot change (namespaces apart).
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/jinja/syntax.h"
#include "engine/jinja/value.h"

namespace hone::jinja {

// Names of a loop's round, a macro's call or the whole template.
struct Scope {
  std::shared_ptr<Scope> parent;
  absl::flat_hash_map<std::string, Value> variables;
};

// A running loop; `loop` in a template refers to it and ends with it.
struct Loop {
  std::vector<Value> items;
  size_t index = 0;
  int64_t depth = 1;
  std::optional<Value> last_changed;
};

// What a filter, test, method, function or macro is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;

// The arguments of one call by the names of its parameters.
class Bound {
 public:
  // Input errors: too many, an unknown name, a parameter given twice.
  static absl::StatusOr<Bound> Bind(const std::vector<std::string>& parameters, const Arguments& arguments);
  bool has(size_t parameter) const { return values_[parameter].has_value(); }
  const Value& operator[](size_t parameter) const { return *values_[parameter]; }
  // With defaults for parameters that are not given; an input error when it has another type.
  absl::StatusOr<std::string> Text(size_t parameter, const std::string& otherwise) const;
  absl::StatusOr<int64_t> Integer(size_t parameter, int64_t otherwise) const;
  bool Flag(size_t parameter, bool otherwise) const {
    return has(parameter) ? Truth(values_[parameter].value()) : otherwise;
  }

 private:
  std::vector<std::string> names_;
  std::vector<std::optional<Value>> values_;
};

// A filter or method: `self` is what stands before the bar or the point.
struct Builtin {
  std::string name;
  std::vector<std::string> parameters;
  std::function<absl::StatusOr<Value>(Interpreter&, const Value& self, const Bound&)> call;
};
const std::vector<Builtin>& SequenceFilters();
const std::vector<Builtin>& TextFilters();
const std::vector<Builtin>& TextMethods();
const std::vector<Builtin>& DictMethods();
const std::vector<Builtin>& ListMethods();
// Null when there is none of that name.
const Builtin* FindBuiltin(const std::vector<Builtin>& table, absl::string_view name);

// operators.cc. Errors name the types.
absl::StatusOr<Value> Binary(const std::string& name, const Value& left, const Value& right, Budget& budget);
absl::StatusOr<Value> Unary(const std::string& name, const Value& operand);
absl::StatusOr<bool> In(const Value& wanted, const Value& container, Budget& budget);
absl::StatusOr<bool> CompareBy(const std::string& name, const Value& left, const Value& right, Budget& budget);
absl::StatusOr<Value> Slice(const Value& object, const Value& start, const Value& stop, const Value& step,
                            Budget& budget);
// object.name and object[key]: Jinja looks for a method first, for an item second; or the other way round. Undefined when
// there is neither.
absl::StatusOr<Value> GetAttribute(const Value& object, const std::string& name, Budget& budget);
absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Budget& budget);
// An input error for an undefined value, with its reason.
absl::Status MustBeDefined(const Value& value);

class Interpreter {
 public:
  // `now` is what strftime_now prints. Errors begin with `where` and the line. The tree outlives the interpreter.
  Interpreter(const std::string& where, const std::tm& now) : where_(where), now_(now) {}
  ~Interpreter();

  // Once.
  absl::StatusOr<std::string> Render(const Node& block, std::vector<std::pair<std::string, Value>> variables);

  // For filters that call others.
  absl::StatusOr<Value> CallFilter(const std::string& name, const Value& input, const Arguments& arguments);
  absl::StatusOr<bool> CallTest(const std::string& name, const Value& input, const Arguments& arguments);
  Budget& budget() { return budget_; }

 private:
  // Levels of the tree, over all running macros: what the machine's stack holds many times over.
  static constexpr int kDeepest = 1200;
  enum class Flow { kGoOn, kBreak, kContinue };

  // statements.cc
  absl::StatusOr<Flow> Execute(const Node& node);
  absl::StatusOr<Flow> ExecuteBlock(const Node& node);
  absl::StatusOr<Flow> ExecuteIf(const Node& node);
  absl::StatusOr<Flow> ExecuteFor(const Node& node);
  absl::StatusOr<std::vector<Value>> LoopItems(const Node& node);
  absl::Status ExecuteSet(const Node& node);
  absl::Status ExecuteWith(const Node& node);
  absl::Status DefineMacro(const Node& node, const std::string& name);
  absl::Status ExecuteCallBlock(const Node& node);
  absl::Status Assign(const Node& target, Value value);
  absl::StatusOr<std::string> Capture(const Node& block);
  absl::StatusOr<Value> CallMacro(const Function& macro, const Arguments& arguments);
  absl::Status Print(absl::string_view text);

  // expressions.cc
  absl::StatusOr<Value> Evaluate(const Node& node);
  absl::StatusOr<Value> EvaluateInner(const Node& node);
  absl::StatusOr<Value> EvaluateCompare(const Node& node);
  absl::StatusOr<Value> EvaluateSlice(const Node& node);
  absl::StatusOr<Value> EvaluateCollection(const Node& node);
  absl::StatusOr<Value> EvaluateName(const std::string& name);
  absl::StatusOr<Value> EvaluateFilter(const Node& node, const std::optional<Value>& block);
  // A call's children from `first` on; the last ones are named.
  absl::StatusOr<Arguments> EvaluateArguments(const Node& node, size_t first, size_t last);
  absl::StatusOr<Value> EvaluateCall(const Node& node);
  absl::StatusOr<Value> Call(const Value& callee, const Arguments& arguments);
  absl::StatusOr<Value> CallGlobal(const std::string& name, const Arguments& arguments);
  absl::StatusOr<Value> FormatNow(const Value& format);
  absl::Status Located(const absl::Status& status, const Node& node);

  std::string where_;
  std::tm now_;
  Budget budget_;
  std::shared_ptr<Scope> scope_;
  std::string* out_ = nullptr;
  int depth_ = 0;
  bool located_ = false;  // the error on its way out says its line
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace hone::jinja
