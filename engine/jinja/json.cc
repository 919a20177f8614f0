// JSON text to values and back; printing is that of Python's json.dumps.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/jinja/text.h"
#include "engine/jinja/value.h"

namespace hone::jinja {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<Value> Convert(const Json& json, int depth, Budget& budget) {
  if (depth > Budget::kDeepestValue) return InputError("JSON lies more than ", Budget::kDeepestValue, " deep");
  if (json.is_string()) return MakeText(json.get<std::string>(), budget);
  if (json.is_boolean()) return Value(json.get<bool>());
  if (json.is_number_float()) return Value(json.get<double>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX)
    return InputError("the number ", json.get<uint64_t>(), " is too large; ", INT64_MAX, " is the largest");
  if (json.is_number()) return Value(json.get<int64_t>());
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json) {
      HONE_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1, budget));
      items.push_back(std::move(value));
    }
    return MakeSequence(SequenceKind::kList, std::move(items), budget);
  }
  if (json.is_object()) {
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [key, item] : json.items()) {
      HONE_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1, budget));
      items.emplace_back(Value(key), std::move(value));
    }
    return MakeDict(items, budget);
  }
  return Value();
}

class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  absl::Status Print(const Value& value, int level) {
    HONE_RETURN_IF_ERROR(budget_.Spend(16));
    if (value.text() != nullptr) {
      HONE_RETURN_IF_ERROR(budget_.Spend(4 * value.text()->size()));
      out += JsonQuoted(*value.text(), style_.ascii);
    } else if (value.dict() != nullptr) {
      HONE_RETURN_IF_ERROR(PrintDict(*value.dict(), level));
    } else if (value.sequence() != nullptr &&
               (value.sequence()->kind == SequenceKind::kList || value.sequence()->kind == SequenceKind::kTuple)) {
      HONE_RETURN_IF_ERROR(PrintList(value.sequence()->items, level));
    } else {
      HONE_ASSIGN_OR_RETURN(const std::string scalar, Scalar(value));
      out += scalar;
    }
    return budget_.SpendText(static_cast<int64_t>(out.size()) > Budget::kLongestText ? out.size() : 0);
  }

  std::string out;

 private:
  static absl::StatusOr<std::string> Scalar(const Value& value) {
    if (value.IsNone()) return std::string("null");
    if (const bool* flag = value.As<bool>()) return std::string(*flag ? "true" : "false");
    if (const int64_t* integer = value.As<int64_t>()) return absl::StrCat(*integer);
    if (const double* number = value.As<double>()) {
      if (std::isnan(*number)) return std::string("NaN");
      if (std::isinf(*number)) return std::string(*number < 0 ? "-Infinity" : "Infinity");
      return FloatRepr(*number);
    }
    return InputError("a ", TypeName(value), " cannot be written as JSON");
  }

  // A line of its own at `level` when there are indents.
  void NewLine(int level) {
    if (!style_.indent) return;
    out += '\n';
    for (int i = 0; i < level; ++i) out += *style_.indent;
  }

  absl::Status PrintList(const std::vector<Value>& items, int level) {
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      NewLine(level + 1);
      HONE_RETURN_IF_ERROR(Print(items[i], level + 1));
    }
    if (!items.empty()) NewLine(level);
    out += ']';
    return absl::OkStatus();
  }

  absl::Status PrintDict(const Dict& dict, int level) {
    std::vector<std::pair<Value, Value>> items = dict.items;
    if (style_.sort_keys) HONE_RETURN_IF_ERROR(SortByKey(items));
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      NewLine(level + 1);
      const Value& key = items[i].first;
      std::string text;
      if (key.text() != nullptr) {
        text = *key.text();
      } else {
        HONE_ASSIGN_OR_RETURN(text, Scalar(key));
      }
      HONE_RETURN_IF_ERROR(budget_.Spend(4 * text.size()));
      absl::StrAppend(&out, JsonQuoted(text, style_.ascii), style_.key_separator);
      HONE_RETURN_IF_ERROR(Print(items[i].second, level + 1));
    }
    if (!items.empty()) NewLine(level);
    out += '}';
    return absl::OkStatus();
  }

  absl::Status SortByKey(std::vector<std::pair<Value, Value>>& items) {
    absl::Status status;
    std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
      const auto order = Compare(a.first, b.first, budget_);
      if (!order.ok()) status = order.status();
      return order.ok() && *order < 0;
    });
    return status;
  }

  const JsonStyle& style_;
  Budget& budget_;
};

}  // namespace

absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonPrinter printer(style, budget);
  HONE_RETURN_IF_ERROR(printer.Print(value, 0));
  return std::move(printer.out);
}

absl::StatusOr<Value> FromJson(const std::string& text, Budget& budget) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return InputError("not JSON in UTF-8");
  return Convert(json, 0, budget);
}

}  // namespace hone::jinja
