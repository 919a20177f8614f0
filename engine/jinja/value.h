// The values of a template: what Python calls None, bool, int, float, str, list, tuple, dict, with Python's printing and comparing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/base/status.h"

namespace hone::jinja {

class Value;
struct Node;
struct Scope;
struct Loop;

// What a template may use up while it renders: bytes of text and values made, and steps taken, in one currency (about a byte). A hostile
// template ends in an input error instead of filling the memory or running for ever.
class Budget {
 public:
  static constexpr int64_t kTotal = int64_t{1} << 30;
  static constexpr int64_t kLongestText = int64_t{64} << 20;
  static constexpr int kDeepestValue = 200;  // lists in lists

  absl::Status Spend(int64_t units);
  // For a text of that many bytes that is about to be made.
  absl::Status SpendText(int64_t bytes);

 private:
  int64_t left_ = kTotal;
};

// `why` is the message for whoever needs a value here. Prints as nothing, is false, empty, and equal to other undefined ones.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};
// UTF-8. Indices and lengths count code points. `markup` is what the filter 'safe' sets: adding to it escapes the other text.
struct Text {
  std::shared_ptr<const std::string> text;
  bool markup = false;
};

enum class SequenceKind {
  kList,
  kTuple,
  kRange,
  kItems,      // the three views of a dict
  kKeys,       //
  kValues,     //
  kGenerator,  // what lazy filters give: no length, always true, can be walked once
};

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  size_t next = 0;  // a generator's items before this are gone
  int depth = 1;    // 1 + that of the deepest item
};

// Keeps the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  absl::flat_hash_map<std::string, size_t> places;  // HashKey -> index in items
  int depth = 1;
};

// namespace(...): the one value that changes. The interpreter that made it empties it in the end, because it may hold itself.
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* Find(absl::string_view name);
};

// Something to call. A macro lives no longer than the scope it was defined in.
struct Function {
  enum class Kind { kGlobal, kMethod, kMacro };
  Kind kind;
  std::string name;
  std::shared_ptr<const Value> self;  // of a method
  const Node* macro = nullptr;
  std::weak_ptr<Scope> scope;
};

class Value {
 public:
  using Data =
      std::variant<None, Undefined, bool, int64_t, double, Text, std::shared_ptr<Sequence>, std::shared_ptr<Dict>,
                   std::shared_ptr<Namespace>, std::shared_ptr<const Function>, std::weak_ptr<Loop>>;

  Value() = default;  // None
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(std::string text, bool markup = false)
      : data_(Text{std::make_shared<const std::string>(std::move(text)), markup}) {}
  explicit Value(Data data) : data_(std::move(data)) {}
  Value(const char*) = delete;  // would become a bool

  static Value MakeUndefined(std::string why) {
    return Value(Data(Undefined{std::make_shared<const std::string>(std::move(why))}));
  }

  const Data& data() const { return data_; }
  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data_);
  }
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
  bool IsNone() const { return As<None>() != nullptr; }
  // Null unless it is that kind of value.
  const std::string* text() const { return As<Text>() ? As<Text>()->text.get() : nullptr; }
  bool markup() const { return As<Text>() != nullptr && As<Text>()->markup; }
  Sequence* sequence() const { return Pointee<Sequence>(); }
  Dict* dict() const { return Pointee<Dict>(); }
  Namespace* name_space() const { return Pointee<Namespace>(); }
  const Function* function() const { return Pointee<const Function>(); }
  // A bool counts as a number, as in Python.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  int depth() const;

 private:
  template <typename T>
  T* Pointee() const {
    return As<std::shared_ptr<T>>() ? As<std::shared_ptr<T>>()->get() : nullptr;
  }
  Data data_;
};

// Input errors of all below: a budget used up, values too deep, what Python refuses ("unhashable").
absl::StatusOr<Value> MakeSequence(SequenceKind kind, std::vector<Value> items, Budget& budget);
absl::StatusOr<Value> MakeDict(const std::vector<std::pair<Value, Value>>& items, Budget& budget);
absl::StatusOr<Value> MakeText(std::string text, Budget& budget);

// Equal keys, and only these, have equal strings; 1, 1.0 and true are equal keys.
absl::StatusOr<std::string> HashKey(const Value& key, Budget& budget);
// Null when the key is absent or cannot be one.
absl::StatusOr<const Value*> Find(const Dict& dict, const Value& key, Budget& budget);

bool Truth(const Value& value);
absl::StatusOr<bool> Equal(const Value& left, const Value& right, Budget& budget);
// Numbers, texts and sequences have an order; -1, 0 or 1.
absl::StatusOr<int> Compare(const Value& left, const Value& right, Budget& budget);
// What a loop walks over: items, keys, code points; nothing for an undefined value. Uses a generator up.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget& budget);
absl::StatusOr<int64_t> Length(const Value& value, Budget& budget);

// As Python's str() and repr().
absl::StatusOr<std::string> Str(const Value& value, Budget& budget);
absl::StatusOr<std::string> Repr(const Value& value, Budget& budget);
std::string FloatRepr(double value);
// Python's name of the type, for messages: 'str', 'dict'.
std::string TypeName(const Value& value);

// Options of Python's json.dumps.
struct JsonStyle {
  std::optional<std::string> indent;  // one level of it
  std::string item_separator = ", ", key_separator = ": ";
  bool ascii = false, sort_keys = false;
};
absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget);
// A value of JSON text.
absl::StatusOr<Value> FromJson(const std::string& json, Budget& budget);

}  // namespace hone::jinja
