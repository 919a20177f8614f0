// The tests behind `is`, and how calls bind their arguments.
#include <algorithm>
#include <cmath>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/spec.h"
#include "engine/base/text.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

using TestFunction = bool (*)(const Value&);

bool IsSequence(const Value& value) {
  // Whatever has a length and items.
  const Sequence* sequence = value.sequence();
  return value.text() != nullptr || value.dict() != nullptr || value.IsUndefined() ||
         (sequence != nullptr && (sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple ||
                                  sequence->kind == SequenceKind::kRange));
}

bool IsIterable(const Value& value) {
  return value.sequence() != nullptr || value.dict() != nullptr || value.text() != nullptr || value.IsUndefined();
}

// str.isupper() and str.islower(): some letter, and none of the other case.
bool HasCase(absl::string_view text, Case wanted) {
  bool some = false;
  for (; !text.empty(); text.remove_prefix(CharBytes(text))) {
    const char32_t c = FirstChar(text);
    const bool upper = IsUpperChar(c), lower = IsLowerChar(c);
    if (wanted == Case::kUpper ? lower : upper) return false;
    some |= upper || lower;
  }
  return some;
}

bool IsBool(const Value& value) { return value.As<bool>() != nullptr; }

const absl::flat_hash_map<std::string, TestFunction>& PlainTests() {
  static const auto& tests = *new absl::flat_hash_map<std::string, TestFunction>{
      {"defined", [](const Value& v) { return !v.IsUndefined(); }},
      {"undefined", [](const Value& v) { return v.IsUndefined(); }},
      {"none", [](const Value& v) { return v.IsNone(); }},
      {"string", [](const Value& v) { return v.text() != nullptr; }},
      {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
      {"iterable", IsIterable},
      {"sequence", IsSequence},
      {"number", [](const Value& v) { return v.number().has_value(); }},
      {"integer", [](const Value& v) { return v.As<int64_t>() != nullptr; }},
      {"float", [](const Value& v) { return v.As<double>() != nullptr; }},
      {"boolean", IsBool},
      {"true", [](const Value& v) { return IsBool(v) && *v.As<bool>(); }},
      {"false", [](const Value& v) { return IsBool(v) && !*v.As<bool>(); }},
      {"callable", [](const Value& v) { return v.function() != nullptr || v.IsUndefined(); }},
      {"escaped", [](const Value& v) { return v.markup(); }}};
  return tests;
}

// Tests with one argument, by the operator that they are.
const absl::flat_hash_map<std::string, std::string>& Comparisons() {
  static const auto& names = *new absl::flat_hash_map<std::string, std::string>{
      {"eq", "=="},      {"equalto", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"lt", "<"},
      {"lessthan", "<"}, {"<", "<"},        {"le", "<="}, {"<=", "<="}, {"gt", ">"},  {"greaterthan", ">"},
      {">", ">"},        {"ge", ">="},      {">=", ">="}, {"in", "in"}};
  return names;
}

absl::StatusOr<bool> Divisible(const Value& value, const Value& divisor, Budget& budget) {
  HONE_ASSIGN_OR_RETURN(const Value rest, Binary("%", value, divisor, budget));
  return rest.number() == 0.0;
}

// `is`: one object, as far as values without identity have it.
absl::StatusOr<bool> SameAs(const Value& left, const Value& right, Budget& budget) {
  if (left.data().index() != right.data().index()) return false;
  if (left.sequence() != nullptr) return left.sequence() == right.sequence();
  if (left.dict() != nullptr) return left.dict() == right.dict();
  return Equal(left, right, budget);
}

}  // namespace

absl::StatusOr<bool> Interpreter::CallTest(const std::string& name, const Value& input, const Arguments& arguments) {
  const size_t count = arguments.positional.size() + arguments.named.size();
  const auto plain = PlainTests().find(name);
  if (plain != PlainTests().end()) {
    if (count > 0) return InputError("test '", name, "' takes no argument");
    return plain->second(input);
  }
  if (name == "upper" || name == "lower") {
    HONE_ASSIGN_OR_RETURN(const std::string text, Str(input, budget_));
    return HasCase(text, name == "upper" ? Case::kUpper : Case::kLower);
  }
  if (name == "odd" || name == "even") {
    HONE_ASSIGN_OR_RETURN(const Value rest, Binary("%", input, Value(int64_t{2}), budget_));
    return *rest.number() == (name == "odd" ? 1 : 0);
  }
  const auto comparison = Comparisons().find(name);
  const bool known = comparison != Comparisons().end() || name == "divisibleby" || name == "sameas";
  if (known) {
    if (count != 1 || !arguments.named.empty()) return InputError("test '", name, "' wants one argument");
    const Value& argument = arguments.positional[0];
    if (name == "divisibleby") return Divisible(input, argument, budget_);
    if (name == "sameas") return SameAs(input, argument, budget_);
    return CompareBy(comparison->second, input, argument, budget_);
  }
  std::vector<std::string> names = {"odd", "even", "divisibleby", "sameas", "upper", "lower"};
  for (const auto& [test, function] : PlainTests()) names.push_back(test);
  for (const auto& [test, function] : Comparisons()) names.push_back(test);
  absl::c_sort(names);
  const std::string near = DidYouMean(name, names);
  return InputError("test '", Visible(name, 40), "' is not supported",
                    near.empty() ? absl::StrCat("; have: ", absl::StrJoin(names, " ")) : near);
}

absl::StatusOr<Bound> Bound::Bind(const std::vector<std::string>& parameters, const Arguments& arguments) {
  Bound bound;
  bound.names_ = parameters;
  bound.values_.resize(parameters.size());
  if (arguments.positional.size() > parameters.size())
    return InputError("takes at most ", parameters.size(), " arguments, got ", arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound.values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const size_t place = absl::c_find(parameters, name) - parameters.begin();
    if (place == parameters.size())
      return InputError("has no parameter '", name, "'; have: ", absl::StrJoin(parameters, ", "));
    if (bound.has(place)) return InputError("parameter '", name, "' is given twice");
    bound.values_[place] = value;
  }
  return bound;
}

absl::StatusOr<std::string> Bound::Text(size_t parameter, const std::string& otherwise) const {
  if (!has(parameter) || values_[parameter]->IsNone()) return otherwise;
  HONE_RETURN_IF_ERROR(MustBeDefined(*values_[parameter]));
  if (values_[parameter]->text() == nullptr)
    return InputError("parameter '", names_[parameter], "' is a ", TypeName(*values_[parameter]), ", wanted a text");
  return *values_[parameter]->text();
}

absl::StatusOr<int64_t> Bound::Integer(size_t parameter, int64_t otherwise) const {
  if (!has(parameter) || values_[parameter]->IsNone()) return otherwise;
  HONE_RETURN_IF_ERROR(MustBeDefined(*values_[parameter]));
  if (!values_[parameter]->integer())
    return InputError("parameter '", names_[parameter], "' is a ", TypeName(*values_[parameter]), ", wanted a number");
  return *values_[parameter]->integer();
}

const Builtin* FindBuiltin(const std::vector<Builtin>& table, absl::string_view name) {
  const auto found = absl::c_find_if(table, [&](const Builtin& builtin) { return builtin.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace hone::jinja
