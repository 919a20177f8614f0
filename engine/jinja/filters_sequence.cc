// Filters over lists and dicts.
#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/jinja/calls.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

using Values = std::vector<Value>;

// `item` followed along "a.b.0"; the item itself without a path.
absl::StatusOr<Value> Along(const Value& item, const Value* path, Budget& budget) {
  if (path == nullptr || path->IsNone()) return item;
  if (path->text() == nullptr) return GetItem(item, *path, budget);
  Value value = item;
  for (const absl::string_view part : absl::StrSplit(*path->text(), '.')) {
    int64_t index = 0;
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    if (number && !absl::SimpleAtoi(part, &index)) return InputError("the index ", part, " is too large");
    HONE_ASSIGN_OR_RETURN(value, GetItem(value, number ? Value(index) : Value(std::string(part)), budget));
  }
  return value;
}

const Value* Path(const Bound& bound, size_t parameter) { return bound.has(parameter) ? &bound[parameter] : nullptr; }

// Sorting and uniqueness ignore case unless told otherwise.
absl::StatusOr<Value> SortKey(Value value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  HONE_ASSIGN_OR_RETURN(std::string lower, Recase(*value.text(), Case::kLower));
  return Value(std::move(lower));
}

enum class Order { kAscending, kDescending };

// The places of `keys` in sorted order; equal keys keep theirs.
absl::StatusOr<std::vector<size_t>> SortedPlaces(const Values& keys, Order order, Budget& budget) {
  HONE_RETURN_IF_ERROR(budget.Spend(64 * keys.size()));
  std::vector<size_t> places(keys.size());
  std::iota(places.begin(), places.end(), 0);
  // Whether all keys can be compared is known before the sort, which cannot stop half-way.
  for (size_t i = 1; i < keys.size(); ++i) HONE_RETURN_IF_ERROR(Compare(keys[i - 1], keys[i], budget).status());
  absl::Status status;
  std::stable_sort(places.begin(), places.end(), [&](size_t a, size_t b) {
    const auto comparison = Compare(keys[a], keys[b], budget);
    if (!comparison.ok()) status = comparison.status();
    return comparison.ok() && (order == Order::kDescending ? *comparison > 0 : *comparison < 0);
  });
  HONE_RETURN_IF_ERROR(status);
  return places;
}

absl::StatusOr<Value> Picked(const Values& items, const std::vector<size_t>& places, Budget& budget) {
  Values sorted;
  for (const size_t place : places) sorted.push_back(items[place]);
  return MakeSequence(SequenceKind::kList, std::move(sorted), budget);
}

absl::StatusOr<Value> First(Interpreter& in, const Value& self, const Bound&) {
  if (Sequence* sequence = self.sequence(); sequence != nullptr && sequence->kind == SequenceKind::kGenerator) {
    if (sequence->next < sequence->items.size()) return sequence->items[sequence->next++];
    return Value::MakeUndefined("there is no first item, the list is empty");
  }
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  return items.empty() ? Value::MakeUndefined("there is no first item, the list is empty") : items.front();
}

absl::StatusOr<Value> Last(Interpreter& in, const Value& self, const Bound&) {
  if (self.sequence() != nullptr && self.sequence()->kind == SequenceKind::kGenerator)
    return InputError("a generator has no last item; make it a list with the filter 'list'");
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  return items.empty() ? Value::MakeUndefined("there is no last item, the list is empty") : items.back();
}

absl::StatusOr<Value> LengthOf(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(const int64_t length, Length(self, in.budget()));
  return Value(length);
}

absl::StatusOr<Value> ToList(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(Values items, Iterate(self, in.budget()));
  return MakeSequence(SequenceKind::kList, std::move(items), in.budget());
}

absl::StatusOr<Value> Join(Interpreter& in, const Value& self, const Bound& bound) {
  std::string separator, out;
  if (bound.has(0)) {
    HONE_ASSIGN_OR_RETURN(separator, Str(bound[0], in.budget()));
  }
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  for (size_t i = 0; i < items.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const Value item, Along(items[i], Path(bound, 1), in.budget()));
    HONE_ASSIGN_OR_RETURN(const std::string text, Str(item, in.budget()));
    HONE_RETURN_IF_ERROR(in.budget().Spend(separator.size()));
    absl::StrAppend(&out, i > 0 ? separator : "", text);
  }
  return MakeText(std::move(out), in.budget());
}

absl::StatusOr<Value> Items(Interpreter& in, const Value& self, const Bound&) {
  Values pairs;
  if (!self.IsUndefined() && self.dict() == nullptr)
    return InputError("filter 'items' wants a dict, got a ", TypeName(self));
  for (const auto& [key, value] : self.IsUndefined() ? Dict().items : self.dict()->items) {
    HONE_ASSIGN_OR_RETURN(Value pair, MakeSequence(SequenceKind::kTuple, {key, value}, in.budget()));
    pairs.push_back(std::move(pair));
  }
  return MakeSequence(SequenceKind::kGenerator, std::move(pairs), in.budget());
}

absl::StatusOr<Value> DictSort(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  if (self.dict() == nullptr) return InputError("filter 'dictsort' wants a dict, got a ", TypeName(self));
  HONE_ASSIGN_OR_RETURN(const std::string by, bound.Text(1, "key"));
  if (by != "key" && by != "value") return InputError("parameter 'by' is '", by, "', wanted 'key' or 'value'");
  Values keys, pairs;
  for (const auto& [key, value] : self.dict()->items) {
    HONE_ASSIGN_OR_RETURN(Value sort_key, SortKey(by == "key" ? key : value, bound.Flag(0, false)));
    keys.push_back(std::move(sort_key));
    HONE_ASSIGN_OR_RETURN(Value pair, MakeSequence(SequenceKind::kTuple, {key, value}, in.budget()));
    pairs.push_back(std::move(pair));
  }
  const Order order = bound.Flag(2, false) ? Order::kDescending : Order::kAscending;
  HONE_ASSIGN_OR_RETURN(const std::vector<size_t> places, SortedPlaces(keys, order, in.budget()));
  return Picked(pairs, places, in.budget());
}

// The key of an item by "a,b.c": a list with one entry a path.
absl::StatusOr<Value> MultiKey(const Value& item, const Value* paths, bool case_sensitive, Budget& budget) {
  Values parts;
  const std::string* text = paths != nullptr ? paths->text() : nullptr;
  std::vector<Value> split;
  if (text != nullptr) {
    for (const absl::string_view path : absl::StrSplit(*text, ',')) split.emplace_back(std::string(path));
  } else {
    split.push_back(paths != nullptr ? *paths : Value());
  }
  for (const Value& path : split) {
    HONE_ASSIGN_OR_RETURN(Value part, Along(item, &path, budget));
    HONE_ASSIGN_OR_RETURN(part, SortKey(std::move(part), case_sensitive));
    parts.push_back(std::move(part));
  }
  return MakeSequence(SequenceKind::kList, std::move(parts), budget);
}

absl::StatusOr<Value> Sort(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  Values keys;
  for (const Value& item : items) {
    HONE_ASSIGN_OR_RETURN(Value key, MultiKey(item, Path(bound, 2), bound.Flag(1, false), in.budget()));
    keys.push_back(std::move(key));
  }
  const Order order = bound.Flag(0, false) ? Order::kDescending : Order::kAscending;
  HONE_ASSIGN_OR_RETURN(const std::vector<size_t> places, SortedPlaces(keys, order, in.budget()));
  return Picked(items, places, in.budget());
}

absl::StatusOr<Value> Extreme(Interpreter& in, const Value& self, const Bound& bound, int sign) {
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  if (items.empty()) return Value::MakeUndefined("there is no smallest or largest item, the list is empty");
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(Value key, Along(items[i], Path(bound, 1), in.budget()));
    HONE_ASSIGN_OR_RETURN(key, SortKey(std::move(key), bound.Flag(0, false)));
    if (i > 0) {
      HONE_ASSIGN_OR_RETURN(const int order, Compare(key, best_key, in.budget()));
      if (order * sign <= 0) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

absl::StatusOr<Value> Unique(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  absl::flat_hash_set<std::string> seen;
  Values kept;
  for (const Value& item : items) {
    HONE_ASSIGN_OR_RETURN(Value key, Along(item, Path(bound, 1), in.budget()));
    HONE_ASSIGN_OR_RETURN(key, SortKey(std::move(key), bound.Flag(0, false)));
    HONE_ASSIGN_OR_RETURN(const std::string hash, HashKey(key, in.budget()));
    if (seen.insert(hash).second) kept.push_back(item);
  }
  return MakeSequence(SequenceKind::kGenerator, std::move(kept), in.budget());
}

absl::StatusOr<Value> Reverse(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(Values items, Iterate(self, in.budget()));
  std::reverse(items.begin(), items.end());
  if (self.text() != nullptr) {
    std::string text;
    for (const Value& item : items) text += *item.text();
    return Value(std::move(text), self.markup());
  }
  const bool lazy = self.sequence() == nullptr || self.sequence()->kind != SequenceKind::kGenerator;
  return MakeSequence(lazy ? SequenceKind::kGenerator : SequenceKind::kList, std::move(items), in.budget());
}

absl::StatusOr<Value> Sum(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const Values items, Iterate(self, in.budget()));
  Value sum = bound.has(1) ? bound[1] : Value(int64_t{0});
  if (sum.text() != nullptr) return InputError("filter 'sum' cannot add texts; use 'join'");
  for (const Value& item : items) {
    HONE_ASSIGN_OR_RETURN(const Value number, Along(item, Path(bound, 0), in.budget()));
    HONE_ASSIGN_OR_RETURN(sum, Binary("+", sum, number, in.budget()));
  }
  return sum;
}

// map(attribute='a', default=x), or map('filter', arguments...).
absl::StatusOr<Value> Map(Interpreter& in, const Value& item, const Arguments& arguments) {
  const Value *attribute = nullptr, *otherwise = nullptr;
  for (const auto& [name, value] : arguments.named) {
    if (name == "attribute") attribute = &value;
    if (name == "default") otherwise = &value;
  }
  if (!arguments.positional.empty()) {
    if (arguments.positional[0].text() == nullptr) return InputError("filter 'map' wants the name of a filter");
    Arguments rest = arguments;
    rest.positional.erase(rest.positional.begin());
    return in.CallFilter(*arguments.positional[0].text(), item, rest);
  }
  if (attribute == nullptr) return InputError("filter 'map' wants the name of a filter, or attribute=...");
  HONE_ASSIGN_OR_RETURN(Value value, Along(item, attribute, in.budget()));
  return value.IsUndefined() && otherwise != nullptr ? *otherwise : value;
}

// select('test', arguments...) and selectattr('path', 'test', arguments...).
absl::StatusOr<bool> Passes(Interpreter& in, const Value& item, bool by_attribute, const Arguments& arguments) {
  Value value = item;
  const size_t skip = by_attribute;
  if (arguments.positional.size() < skip) return InputError("wants the name of an attribute");
  if (by_attribute) {
    HONE_ASSIGN_OR_RETURN(value, Along(item, &arguments.positional[0], in.budget()));
  }
  if (arguments.positional.size() == skip) return Truth(value);
  if (arguments.positional[skip].text() == nullptr) return InputError("wants the name of a test");
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + skip + 1);
  return in.CallTest(*arguments.positional[skip].text(), value, rest);
}

}  // namespace

absl::StatusOr<Value> LazyFilter(Interpreter& in, const std::string& name, const Value& input,
                                 const Arguments& arguments) {
  Values out;
  Values items;
  if (Truth(input)) {
    HONE_ASSIGN_OR_RETURN(items, Iterate(input, in.budget()));
  }
  for (const Value& item : items) {
    HONE_RETURN_IF_ERROR(in.budget().Spend(64));
    if (name == "map") {
      HONE_ASSIGN_OR_RETURN(Value value, Map(in, item, arguments));
      out.push_back(std::move(value));
    } else {
      HONE_ASSIGN_OR_RETURN(const bool passes, Passes(in, item, name.ends_with("attr"), arguments));
      if (passes == name.starts_with("select")) out.push_back(item);
    }
  }
  return MakeSequence(SequenceKind::kGenerator, std::move(out), in.budget());
}

const std::vector<Builtin>& SequenceFilters() {
  static const auto& filters = *new std::vector<Builtin>{
      {"count", {}, LengthOf},
      {"dictsort", {"case_sensitive", "by", "reverse"}, DictSort},
      {"first", {}, First},
      {"items", {}, Items},
      {"join", {"d", "attribute"}, Join},
      {"last", {}, Last},
      {"length", {}, LengthOf},
      {"list", {}, ToList},
      {"map", {"*"}, nullptr},
      {"max",
       {"case_sensitive", "attribute"},
       [](Interpreter& in, const Value& self, const Bound& bound) { return Extreme(in, self, bound, 1); }},
      {"min",
       {"case_sensitive", "attribute"},
       [](Interpreter& in, const Value& self, const Bound& bound) { return Extreme(in, self, bound, -1); }},
      {"reject", {"*"}, nullptr},
      {"rejectattr", {"*"}, nullptr},
      {"reverse", {}, Reverse},
      {"select", {"*"}, nullptr},
      {"selectattr", {"*"}, nullptr},
      {"sort", {"reverse", "case_sensitive", "attribute"}, Sort},
      {"sum", {"attribute", "start"}, Sum},
      {"unique", {"case_sensitive", "attribute"}, Unique}};
  return filters;
}

}  // namespace hone::jinja
