// Python's operators, items and attributes.
#include <algorithm>
#include <cmath>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

absl::Status NoOperator(const std::string& name, const Value& left, const Value& right) {
  HONE_RETURN_IF_ERROR(MustBeDefined(left));
  HONE_RETURN_IF_ERROR(MustBeDefined(right));
  return InputError("'", name, "' of a ", TypeName(left), " and a ", TypeName(right), " is not supported");
}

absl::StatusOr<Value> IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  int64_t result = 1;
  for (; exponent > 0 && result != 0 && base != 1; --exponent) {
    if (exponent > 64 && (base == -1 || base == 0)) exponent = 2 + exponent % 2;
    if (__builtin_mul_overflow(result, base, &result)) return InputError("'**' gives a number beyond 64 bits");
  }
  return Value(result);
}

absl::StatusOr<Value> IntegerOperator(const std::string& name, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (name == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (name == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (name == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (name == "**") {
    return IntegerPower(a, b);
  } else if (b == 0) {
    return InputError("division by zero");
  } else if (name == "/") {
    return Value(static_cast<double>(a) / static_cast<double>(b));
  } else if (b == -1) {
    if (name == "//") overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
  } else {
    // Python rounds down; the remainder has the divisor's sign.
    const int64_t rest = a % b, correction = rest != 0 && (rest < 0) != (b < 0);
    result = name == "//" ? a / b - correction : rest + correction * b;
  }
  if (overflow) return InputError("'", name, "' gives a number beyond 64 bits");
  return Value(result);
}

absl::StatusOr<Value> FloatOperator(const std::string& name, double a, double b) {
  if (name == "+") return Value(a + b);
  if (name == "-") return Value(a - b);
  if (name == "*") return Value(a * b);
  if (name == "**") return Value(std::pow(a, b));
  if (b == 0) return InputError("division by zero");
  if (name == "/") return Value(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (name == "%") return Value(rest);
  const double quotient = (a - rest) / b;
  const double floor = std::floor(quotient);
  return Value(quotient - floor > 0.5 ? floor + 1 : floor);
}

absl::StatusOr<Value> AddTexts(const Value& left, const Value& right, Budget& budget) {
  const bool markup = left.markup() || right.markup();
  const auto part = [&](const Value& side) {
    return markup && !side.markup() ? EscapedMarkup(*side.text()) : *side.text();
  };
  HONE_RETURN_IF_ERROR(budget.SpendText(left.text()->size() + right.text()->size()));
  return Value(absl::StrCat(part(left), part(right)), markup);
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t times, Budget& budget) {
  times = std::max<int64_t>(times, 0);
  const int64_t size = value.text() != nullptr ? value.text()->size() : 64 * value.sequence()->items.size();
  if (size > 0 && times > Budget::kLongestText / size) return InputError("'*' makes a text or list that is too long");
  if (value.text() != nullptr) {
    std::string text;
    for (int64_t i = 0; i < times && size > 0; ++i) text += *value.text();
    return MakeText(std::move(text), budget);
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < times && size > 0; ++i)
    items.insert(items.end(), value.sequence()->items.begin(), value.sequence()->items.end());
  return MakeSequence(value.sequence()->kind, std::move(items), budget);
}

bool IsListOrTuple(const Value& value) {
  return value.sequence() != nullptr &&
         (value.sequence()->kind == SequenceKind::kList || value.sequence()->kind == SequenceKind::kTuple);
}

// Index `i` of a sequence of `size`, counted from the end when negative; -1 when outside.
int64_t Place(int64_t i, int64_t size) { return i < -size || i >= size ? -1 : i < 0 ? i + size : i; }

Value Method(const Value& self, const std::string& name) {
  auto method = std::make_shared<Function>();
  method->kind = Function::Kind::kMethod;
  method->name = name;
  method->self = std::make_shared<const Value>(self);
  return Value(Value::Data(std::shared_ptr<const Function>(std::move(method))));
}

// The names that Python's types have. Those that change a value have none here, as in Jinja's immutable sandbox.
using Words = std::vector<std::string>;
const Words& MethodNames(const Value& value) {
  static const auto& none = *new Words;
  static const auto& text =
      *new Words{"capitalize", "casefold",     "center",       "count",   "encode",     "endswith",    "expandtabs",
                 "find",       "format",       "format_map",   "index",   "isalnum",    "isalpha",     "isascii",
                 "isdecimal",  "isdigit",      "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",
                 "istitle",    "isupper",      "join",         "ljust",   "lower",      "lstrip",      "maketrans",
                 "partition",  "removeprefix", "removesuffix", "replace", "rfind",      "rindex",      "rjust",
                 "rpartition", "rsplit",       "rstrip",       "split",   "splitlines", "startswith",  "strip",
                 "swapcase",   "title",        "translate",    "upper",   "zfill"};
  static const auto& dict = *new Words{"copy", "fromkeys", "get", "items", "keys", "values"};
  static const auto& list = *new Words{"copy", "count", "index"};
  static const auto& tuple = *new Words{"count", "index"};
  if (value.text() != nullptr) return text;
  if (value.dict() != nullptr) return dict;
  if (!IsListOrTuple(value)) return none;
  return value.sequence()->kind == SequenceKind::kList ? list : tuple;
}

const Words& ChangingNames(const Value& value) {
  static const auto& none = *new Words;
  static const auto& dict = *new Words{"clear", "pop", "popitem", "setdefault", "update"};
  static const auto& list = *new Words{"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
  if (value.dict() != nullptr) return dict;
  return value.sequence() != nullptr && value.sequence()->kind == SequenceKind::kList ? list : none;
}

absl::StatusOr<Value> LoopAttribute(const std::weak_ptr<Loop>& weak, const Value& self, const std::string& name) {
  const std::shared_ptr<Loop> loop = weak.lock();
  if (loop == nullptr) return InputError("'loop' is used after its loop");
  const auto index = static_cast<int64_t>(loop->index), size = static_cast<int64_t>(loop->items.size());
  const std::pair<const char*, int64_t> numbers[] = {{"index", index + 1},
                                                     {"index0", index},
                                                     {"revindex", size - index},
                                                     {"revindex0", size - index - 1},
                                                     {"length", size}};
  for (const auto& [known, number] : numbers) {
    if (name == known) return Value(number);
  }
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == size);
  if (name == "previtem") return index > 0 ? loop->items[index - 1] : Value::MakeUndefined("there is no previous item");
  if (name == "nextitem")
    return index + 1 < size ? loop->items[index + 1] : Value::MakeUndefined("there is no next item");
  if (name == "cycle" || name == "changed") return Method(self, name);
  return InputError("'loop.", name,
                    "' is not supported; have: changed cycle first index index0 last length nextitem "
                    "previtem revindex revindex0");
}

// What getattr() finds; nullopt when the type has no such name.
absl::StatusOr<std::optional<Value>> Attribute(const Value& object, const std::string& name) {
  if (object.IsUndefined()) return MustBeDefined(object);
  if (const auto* loop = object.As<std::weak_ptr<Loop>>()) return LoopAttribute(*loop, object, name);
  if (Namespace* name_space = object.name_space()) {
    const Value* found = name_space->Find(name);
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
  }
  if (absl::c_linear_search(MethodNames(object), name)) return Method(object, name);
  if (absl::c_linear_search(ChangingNames(object), name))
    return Value::MakeUndefined(
        absl::StrCat("'", name, "' would change a ", TypeName(object), ", which templates may not"));
  if (object.function() != nullptr) return InputError("attribute '", name, "' of a function or macro is not supported");
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> Item(const Value& object, const Value& key, Budget& budget) {
  if (const Dict* dict = object.dict()) {
    HONE_ASSIGN_OR_RETURN(const Value* const found, Find(*dict, key, budget));
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
  }
  const auto index = key.integer();
  if (!index) return std::nullopt;
  if (const Sequence* sequence = object.sequence();
      sequence != nullptr && (IsListOrTuple(object) || sequence->kind == SequenceKind::kRange)) {
    const int64_t place = Place(*index, sequence->items.size());
    return place >= 0 ? std::optional<Value>(sequence->items[place]) : std::nullopt;
  }
  if (const std::string* text = object.text()) {
    HONE_RETURN_IF_ERROR(budget.Spend(text->size() / 4));
    const int64_t place = Place(*index, CountChars(*text));
    if (place < 0) return std::nullopt;
    const size_t offset = CharOffset(*text, place);
    return Value(text->substr(offset, CharBytes(absl::string_view(*text).substr(offset))), object.markup());
  }
  return std::nullopt;
}

Value Missing(const Value& object, const std::string& name) {
  return Value::MakeUndefined(object.IsNone() ? absl::StrCat("None has no '", name, "'")
                                              : absl::StrCat("a ", TypeName(object), " has no '", name, "'"));
}

}  // namespace

absl::Status MustBeDefined(const Value& value) {
  return value.IsUndefined() ? InputError(*value.As<Undefined>()->why) : absl::OkStatus();
}

absl::StatusOr<Value> Binary(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  if (left.integer() && right.integer()) return IntegerOperator(name, *left.integer(), *right.integer());
  if (left.number() && right.number()) return FloatOperator(name, *left.number(), *right.number());
  if (name == "+" && left.text() != nullptr && right.text() != nullptr) return AddTexts(left, right, budget);
  if (name == "+" && IsListOrTuple(left) && IsListOrTuple(right) && left.sequence()->kind == right.sequence()->kind) {
    std::vector<Value> items = left.sequence()->items;
    items.insert(items.end(), right.sequence()->items.begin(), right.sequence()->items.end());
    return MakeSequence(left.sequence()->kind, std::move(items), budget);
  }
  const auto repeats = [](const Value& value) { return value.text() != nullptr || IsListOrTuple(value); };
  if (name == "*" && repeats(left) && right.integer()) return Repeat(left, *right.integer(), budget);
  if (name == "*" && repeats(right) && left.integer()) return Repeat(right, *left.integer(), budget);
  return NoOperator(name, left, right);
}

absl::StatusOr<Value> Unary(const std::string& name, const Value& operand) {
  if (name == "not") return Value(!Truth(operand));
  if (const auto integer = operand.integer()) return name == "+" ? Value(*integer) : IntegerOperator("-", 0, *integer);
  if (const auto number = operand.number()) return Value(name == "+" ? *number : -*number);
  HONE_RETURN_IF_ERROR(MustBeDefined(operand));
  return InputError("'", name, "' before a ", TypeName(operand), " is not supported");
}

absl::StatusOr<bool> In(const Value& wanted, const Value& container, Budget& budget) {
  if (const std::string* text = container.text()) {
    HONE_RETURN_IF_ERROR(MustBeDefined(wanted));
    if (wanted.text() == nullptr) return InputError("'in' a text wants a text, got a ", TypeName(wanted));
    HONE_RETURN_IF_ERROR(budget.Spend(text->size() * (1 + wanted.text()->size() / 64)));
    return text->find(*wanted.text()) != std::string::npos;
  }
  if (container.dict() != nullptr) {
    HONE_RETURN_IF_ERROR(HashKey(wanted, budget).status());
    HONE_ASSIGN_OR_RETURN(const Value* const found, Find(*container.dict(), wanted, budget));
    return found != nullptr;
  }
  if (container.IsUndefined()) return false;
  Sequence* sequence = container.sequence();
  if (sequence == nullptr) return InputError("'in' a ", TypeName(container), " is not supported");
  const bool once = sequence->kind == SequenceKind::kGenerator;
  for (size_t i = once ? sequence->next : 0; i < sequence->items.size(); ++i) {
    if (once) sequence->next = i + 1;
    HONE_ASSIGN_OR_RETURN(const bool same, Equal(sequence->items[i], wanted, budget));
    if (same) return true;
  }
  return false;
}

absl::StatusOr<bool> CompareBy(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  if (name == "==") return Equal(left, right, budget);
  if (name == "in") return In(left, right, budget);
  if (name == "!=" || name == "not in") {
    HONE_ASSIGN_OR_RETURN(const bool holds, name == "!=" ? Equal(left, right, budget) : In(left, right, budget));
    return !holds;
  }
  const auto is_nan = [](const Value& value) { return value.number() && std::isnan(*value.number()); };
  if (is_nan(left) || is_nan(right)) return false;
  HONE_ASSIGN_OR_RETURN(const int order, Compare(left, right, budget));
  return name == "<" ? order < 0 : name == "<=" ? order <= 0 : name == ">" ? order > 0 : order >= 0;
}

absl::StatusOr<Value> Slice(const Value& object, const Value& start, const Value& stop, const Value& step_value,
                            Budget& budget) {
  HONE_RETURN_IF_ERROR(MustBeDefined(object));
  const Sequence* sequence = object.sequence();
  const bool known = object.text() != nullptr || IsListOrTuple(object) ||
                     (sequence != nullptr && sequence->kind == SequenceKind::kRange);
  if (!known) return InputError("a ", TypeName(object), " cannot be sliced");
  for (const Value* bound : {&start, &stop, &step_value}) {
    if (!bound->IsNone() && !bound->integer())
      return InputError("a slice wants whole numbers, got a ", TypeName(*bound));
  }
  const int64_t step = step_value.integer().value_or(1);
  if (step == 0) return InputError("a slice has step 0");
  std::vector<char32_t> characters;
  if (object.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.Spend(4 * object.text()->size()));
    characters = ToChars(*object.text());
  }
  const int64_t size = sequence != nullptr ? sequence->items.size() : characters.size();
  // Bounds outside move to the nearest place that the walk can begin or end at.
  const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
  const auto clamp = [&](const Value& bound, int64_t otherwise) {
    if (!bound.integer()) return otherwise;
    const int64_t index = *bound.integer();
    return std::clamp(index < 0 ? std::max(index, -size - 1) + size : index, lowest, highest);
  };
  const int64_t first = clamp(start, step > 0 ? 0 : size - 1), end = clamp(stop, step > 0 ? size : -1);
  std::vector<Value> items;
  std::string text;
  for (int64_t i = first; step > 0 ? i < end : i > end;) {
    if (sequence != nullptr) {
      items.push_back(sequence->items[i]);
    } else {
      AppendChar(characters[i], text);
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (sequence == nullptr) return Value(std::move(text), object.markup());
  return MakeSequence(sequence->kind, std::move(items), budget);
}

absl::StatusOr<Value> GetAttribute(const Value& object, const std::string& name, Budget& budget) {
  HONE_ASSIGN_OR_RETURN(std::optional<Value> found, Attribute(object, name));
  if (!found) {
    HONE_ASSIGN_OR_RETURN(found, Item(object, Value(name), budget));
  }
  return found ? *std::move(found) : Missing(object, name);
}

absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Budget& budget) {
  HONE_RETURN_IF_ERROR(MustBeDefined(object));
  HONE_ASSIGN_OR_RETURN(std::optional<Value> found, Item(object, key, budget));
  if (!found && key.text() != nullptr) {
    HONE_ASSIGN_OR_RETURN(found, Attribute(object, *key.text()));
  }
  if (found) return *std::move(found);
  return Missing(object, key.text() != nullptr ? *key.text()
                         : key.integer()       ? absl::StrCat(*key.integer())
                                               : TypeName(key));
}

}  // namespace hone::jinja
