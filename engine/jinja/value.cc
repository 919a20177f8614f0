#include "engine/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

constexpr int64_t kValueCost = 64;

absl::StatusOr<bool> EqualItems(const std::vector<Value>& left, const std::vector<Value>& right, Budget& budget) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const bool same, Equal(left[i], right[i], budget));
    if (!same) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualDicts(const Dict& left, const Dict& right, Budget& budget) {
  if (left.items.size() != right.items.size()) return false;
  for (const auto& [key, value] : left.items) {
    HONE_ASSIGN_OR_RETURN(const Value* const other, Find(right, key, budget));
    if (other == nullptr) return false;
    HONE_ASSIGN_OR_RETURN(const bool same, Equal(value, *other, budget));
    if (!same) return false;
  }
  return true;
}

std::vector<Value> Keys(const Dict& dict) {
  std::vector<Value> keys;
  for (const auto& [key, value] : dict.items) keys.push_back(key);
  return keys;
}

absl::StatusOr<std::string> SequenceRepr(const Sequence& sequence, Budget& budget) {
  if (sequence.kind == SequenceKind::kGenerator || sequence.kind == SequenceKind::kRange)
    return InputError("printing a ", sequence.kind == SequenceKind::kRange ? "range" : "generator",
                      " is not supported; make it a list with the filter 'list'");
  std::vector<std::string> parts;
  for (const Value& item : sequence.items) {
    HONE_ASSIGN_OR_RETURN(std::string part, Repr(item, budget));
    parts.push_back(std::move(part));
  }
  const std::string inside = absl::StrJoin(parts, ", ");
  HONE_RETURN_IF_ERROR(budget.SpendText(inside.size()));
  switch (sequence.kind) {
    case SequenceKind::kTuple:
      return absl::StrCat("(", inside, parts.size() == 1 ? ",)" : ")");
    case SequenceKind::kItems:
      return absl::StrCat("dict_items([", inside, "])");
    case SequenceKind::kKeys:
      return absl::StrCat("dict_keys([", inside, "])");
    case SequenceKind::kValues:
      return absl::StrCat("dict_values([", inside, "])");
    default:
      return absl::StrCat("[", inside, "]");
  }
}

absl::StatusOr<std::string> DictRepr(const Dict& dict, Budget& budget) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : dict.items) {
    HONE_ASSIGN_OR_RETURN(const std::string key_text, Repr(key, budget));
    HONE_ASSIGN_OR_RETURN(const std::string value_text, Repr(value, budget));
    parts.push_back(absl::StrCat(key_text, ": ", value_text));
  }
  const std::string inside = absl::StrJoin(parts, ", ");
  HONE_RETURN_IF_ERROR(budget.SpendText(inside.size()));
  return absl::StrCat("{", inside, "}");
}

int Sign(bool less, bool equal) { return equal ? 0 : less ? -1 : 1; }

}  // namespace

absl::Status Budget::Spend(int64_t units) {
  left_ -= std::min(units, left_ + 1);
  if (left_ >= 0) return absl::OkStatus();
  return InputError("the template makes more than ", kTotal >> 20,
                    " MB of text and values for one prompt; shorten the conversation or mend the template");
}

absl::Status Budget::SpendText(int64_t bytes) {
  if (bytes > kLongestText)
    return InputError("the template makes a text of ", bytes >> 20, " MB, ", kLongestText >> 20, " are the most");
  return Spend(bytes);
}

Value* Namespace::Find(absl::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::optional<int64_t> Value::integer() const {
  if (const bool* value = As<bool>()) return *value;
  if (const int64_t* value = As<int64_t>()) return *value;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const double* value = As<double>()) return *value;
  if (const auto value = integer()) return static_cast<double>(*value);
  return std::nullopt;
}

int Value::depth() const {
  if (sequence() != nullptr) return sequence()->depth;
  if (dict() != nullptr) return dict()->depth;
  if (function() != nullptr && function()->self != nullptr) return 1 + function()->self->depth();
  return 0;
}

absl::StatusOr<Value> MakeSequence(SequenceKind kind, std::vector<Value> items, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(kValueCost * (1 + static_cast<int64_t>(items.size()))));
  auto sequence = std::make_shared<Sequence>();
  for (const Value& item : items) sequence->depth = std::max(sequence->depth, 1 + item.depth());
  if (sequence->depth > Budget::kDeepestValue)
    return InputError("lists lie more than ", Budget::kDeepestValue, " deep in each other");
  sequence->kind = kind;
  sequence->items = std::move(items);
  return Value(Value::Data(std::move(sequence)));
}

absl::StatusOr<Value> MakeDict(const std::vector<std::pair<Value, Value>>& items, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(kValueCost * (1 + 2 * static_cast<int64_t>(items.size()))));
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : items) {
    HONE_ASSIGN_OR_RETURN(std::string hash, HashKey(key, budget));
    const auto [place, is_new] = dict->places.emplace(std::move(hash), dict->items.size());
    if (is_new) {
      dict->items.emplace_back(key, value);
    } else {
      dict->items[place->second].second = value;
    }
    dict->depth = std::max({dict->depth, 1 + key.depth(), 1 + value.depth()});
  }
  if (dict->depth > Budget::kDeepestValue)
    return InputError("dicts lie more than ", Budget::kDeepestValue, " deep in each other");
  return Value(Value::Data(std::move(dict)));
}

absl::StatusOr<Value> MakeText(std::string text, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.size())));
  return Value(std::move(text));
}

absl::StatusOr<std::string> HashKey(const Value& key, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(16 + (key.text() != nullptr ? key.text()->size() : 0)));
  if (key.text() != nullptr) return absl::StrCat("s", *key.text());
  if (const auto integer = key.integer()) return absl::StrCat("i", *integer);
  if (const auto number = key.number()) {
    // A float that is a whole number is the key of that integer.
    if (std::trunc(*number) == *number && std::abs(*number) < 9e15)
      return absl::StrCat("i", static_cast<int64_t>(*number));
    return absl::StrCat("f", FloatRepr(*number));
  }
  if (key.IsNone()) return std::string("n");
  if (key.sequence() != nullptr && key.sequence()->kind == SequenceKind::kTuple) {
    std::string hash = "t";
    for (const Value& item : key.sequence()->items) {
      HONE_ASSIGN_OR_RETURN(const std::string part, HashKey(item, budget));
      HONE_RETURN_IF_ERROR(budget.Spend(part.size()));
      absl::StrAppend(&hash, part.size(), ":", part);
    }
    return hash;
  }
  return InputError("a ", TypeName(key), " cannot be the key of a dict");
}

absl::StatusOr<const Value*> Find(const Dict& dict, const Value& key, Budget& budget) {
  const auto hash = HashKey(key, budget);
  HONE_RETURN_IF_ERROR(budget.Spend(0));
  if (!hash.ok()) return nullptr;
  const auto place = dict.places.find(*hash);
  const Value* const found = place == dict.places.end() ? nullptr : &dict.items[place->second].second;
  return found;
}

bool Truth(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (value.text() != nullptr) return !value.text()->empty();
  if (const auto number = value.number()) return *number != 0;
  if (const Sequence* sequence = value.sequence())
    return sequence->kind == SequenceKind::kGenerator || !sequence->items.empty();
  if (value.dict() != nullptr) return !value.dict()->items.empty();
  return true;
}

absl::StatusOr<bool> Equal(const Value& left, const Value& right, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(8));
  if (left.integer() && right.integer()) return *left.integer() == *right.integer();
  if (left.number() && right.number()) return *left.number() == *right.number();
  if (left.text() != nullptr && right.text() != nullptr) {
    if (left.text()->size() != right.text()->size()) return false;
    HONE_RETURN_IF_ERROR(budget.Spend(left.text()->size() / 8));
    return *left.text() == *right.text();
  }
  if (left.dict() != nullptr && right.dict() != nullptr) return EqualDicts(*left.dict(), *right.dict(), budget);
  if (left.sequence() != nullptr && right.sequence() != nullptr) {
    const SequenceKind kind = left.sequence()->kind;
    if (left.sequence() == right.sequence()) return true;
    if (kind != right.sequence()->kind || kind == SequenceKind::kGenerator) return false;
    return EqualItems(left.sequence()->items, right.sequence()->items, budget);
  }
  if (left.name_space() != nullptr) return left.name_space() == right.name_space();
  if (left.function() != nullptr) return left.function() == right.function();
  return (left.IsNone() && right.IsNone()) || (left.IsUndefined() && right.IsUndefined());
}

absl::StatusOr<int> Compare(const Value& left, const Value& right, Budget& budget) {
  for (const Value* side : {&left, &right}) {
    if (side->IsUndefined()) return InputError(*side->As<Undefined>()->why);
  }
  if (left.integer() && right.integer())
    return Sign(*left.integer() < *right.integer(), *left.integer() == *right.integer());
  if (left.number() && right.number()) return Sign(*left.number() < *right.number(), *left.number() == *right.number());
  if (left.text() != nullptr && right.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.Spend(std::min(left.text()->size(), right.text()->size()) / 8 + 8));
    // Bytes of UTF-8 are in the order of code points.
    const int order = left.text()->compare(*right.text());
    return Sign(order < 0, order == 0);
  }
  const Sequence *a = left.sequence(), *b = right.sequence();
  if (a != nullptr && b != nullptr && a->kind == b->kind &&
      (a->kind == SequenceKind::kList || a->kind == SequenceKind::kTuple)) {
    for (size_t i = 0; i < a->items.size() && i < b->items.size(); ++i) {
      HONE_ASSIGN_OR_RETURN(const bool same, Equal(a->items[i], b->items[i], budget));
      if (!same) return Compare(a->items[i], b->items[i], budget);
    }
    return Sign(a->items.size() < b->items.size(), a->items.size() == b->items.size());
  }
  return InputError("a ", TypeName(left), " and a ", TypeName(right), " have no order");
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget& budget) {
  if (value.IsUndefined()) return std::vector<Value>();
  if (Sequence* sequence = value.sequence()) {
    HONE_RETURN_IF_ERROR(budget.Spend(kValueCost * (1 + static_cast<int64_t>(sequence->items.size()))));
    if (sequence->kind != SequenceKind::kGenerator) return sequence->items;
    std::vector<Value> rest(sequence->items.begin() + sequence->next, sequence->items.end());
    sequence->next = sequence->items.size();
    return rest;
  }
  if (value.dict() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.Spend(kValueCost * (1 + static_cast<int64_t>(value.dict()->items.size()))));
    return Keys(*value.dict());
  }
  if (value.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.Spend(2 * kValueCost * CountChars(*value.text())));
    std::vector<Value> characters;
    for (absl::string_view rest = *value.text(); !rest.empty(); rest.remove_prefix(CharBytes(rest)))
      characters.emplace_back(std::string(rest.substr(0, CharBytes(rest))));
    return characters;
  }
  return InputError("a ", TypeName(value), " cannot be walked over; wanted a list, a dict or a text");
}

absl::StatusOr<int64_t> Length(const Value& value, Budget& budget) {
  if (value.IsUndefined()) return 0;
  if (value.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.Spend(value.text()->size() / 4));
    return CountChars(*value.text());
  }
  if (value.dict() != nullptr) return static_cast<int64_t>(value.dict()->items.size());
  if (value.sequence() != nullptr && value.sequence()->kind != SequenceKind::kGenerator)
    return static_cast<int64_t>(value.sequence()->items.size());
  return InputError("a ", TypeName(value), " has no length");
}

absl::StatusOr<std::string> Str(const Value& value, Budget& budget) {
  if (value.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.SpendText(value.text()->size()));
    return *value.text();
  }
  return value.IsUndefined() ? std::string() : Repr(value, budget);
}

absl::StatusOr<std::string> Repr(const Value& value, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(kValueCost));
  if (value.IsUndefined()) return std::string("Undefined");
  if (value.IsNone()) return std::string("None");
  if (const bool* flag = value.As<bool>()) return std::string(*flag ? "True" : "False");
  if (const int64_t* integer = value.As<int64_t>()) return absl::StrCat(*integer);
  if (const double* number = value.As<double>()) return FloatRepr(*number);
  if (value.text() != nullptr) {
    HONE_RETURN_IF_ERROR(budget.SpendText(4 * value.text()->size()));
    return value.markup() ? absl::StrCat("Markup(", QuotedText(*value.text()), ")") : QuotedText(*value.text());
  }
  if (value.sequence() != nullptr) return SequenceRepr(*value.sequence(), budget);
  if (value.dict() != nullptr) return DictRepr(*value.dict(), budget);
  return InputError("printing a ", TypeName(value), " is not supported");
}

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that give the value back, as d.ddde+XX, which Python lays out by the size of the exponent.
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string digits(buffer, end.ptr);
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return digits;
  const std::string sign = digits[0] == '-' ? "-" : "";
  digits = absl::StrReplaceAll(digits.substr(sign.size(), e - sign.size()), {{".", ""}});
  if (exponent < 0) return absl::StrCat(sign, "0.", std::string(-exponent - 1, '0'), digits);
  const size_t before_point = exponent + 1;
  if (digits.size() <= before_point)
    return absl::StrCat(sign, digits, std::string(before_point - digits.size(), '0'), ".0");
  return absl::StrCat(sign, digits.substr(0, before_point), ".", digits.substr(before_point));
}

std::string TypeName(const Value& value) {
  static constexpr const char* kNames[] = {"NoneType", "undefined value", "bool",     "int", "float", "str", "list",
                                           "dict",     "namespace",       "function", "loop"};
  static constexpr const char* kSequences[] = {"list",      "tuple",       "range",    "dict_items",
                                               "dict_keys", "dict_values", "generator"};
  if (value.sequence() != nullptr) return kSequences[static_cast<int>(value.sequence()->kind)];
  return kNames[value.data().index()];
}

}  // namespace hone::jinja
