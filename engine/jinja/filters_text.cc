// Filters over texts and numbers.
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/jinja/calls.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

absl::StatusOr<Value> Default(Interpreter&, const Value& self, const Bound& bound) {
  const bool replace = self.IsUndefined() || (bound.Flag(1, false) && !Truth(self));
  if (!replace) return self;
  return bound.has(0) ? bound[0] : Value(std::string());
}

absl::StatusOr<Value> ToText(Interpreter& in, const Value& self, const Bound&) {
  if (self.text() != nullptr) return self;
  HONE_ASSIGN_OR_RETURN(std::string text, Str(self, in.budget()));
  return Value(std::move(text));
}

absl::StatusOr<Value> Safe(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(std::string text, Str(self, in.budget()));
  return Value(std::move(text), /*markup=*/true);
}

absl::StatusOr<Value> Trim(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const std::string text, Str(self, in.budget()));
  std::optional<std::string> set;
  if (bound.has(0) && !bound[0].IsNone()) {
    HONE_ASSIGN_OR_RETURN(set, bound.Text(0, ""));
  }
  HONE_RETURN_IF_ERROR(in.budget().Spend(text.size() * (set ? set->size() : 1)));
  return Value(std::string(Strip(text, set, Side::kBoth)), self.markup());
}

template <Case kCase>
absl::StatusOr<Value> ChangeCase(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(const std::string text, Str(self, in.budget()));
  HONE_ASSIGN_OR_RETURN(std::string changed, kCase == Case::kTitle ? TitleWords(text) : Recase(text, kCase));
  return Value(std::move(changed), self.markup());
}

absl::StatusOr<Value> Replace(Interpreter& in, const Value& self, const Bound& bound) {
  if (!bound.has(0) || !bound.has(1)) return InputError("filter 'replace' wants what to replace and by what");
  HONE_ASSIGN_OR_RETURN(std::string text, Str(self, in.budget()));
  HONE_ASSIGN_OR_RETURN(std::string from, Str(bound[0], in.budget()));
  HONE_ASSIGN_OR_RETURN(std::string to, Str(bound[1], in.budget()));
  HONE_ASSIGN_OR_RETURN(const int64_t count, bound.Integer(2, -1));
  return ReplaceText(text, from, to, count, in.budget());
}

absl::StatusOr<Value> Indent(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  if (self.text() == nullptr || self.markup()) return InputError("filter 'indent' wants a text that is not 'safe'");
  std::string indent;
  if (bound.has(0) && bound[0].text() != nullptr) {
    indent = *bound[0].text();
  } else {
    HONE_ASSIGN_OR_RETURN(const int64_t width, bound.Integer(0, 4));
    if (width > 10'000) return InputError("filter 'indent' wants a width of at most 10000");
    indent = std::string(std::max<int64_t>(width, 0), ' ');
  }
  const std::vector<std::string> lines = SplitLines(absl::StrCat(*self.text(), "\n"), LineEnds::kDropped);
  HONE_RETURN_IF_ERROR(in.budget().SpendText(self.text()->size() + indent.size() * lines.size()));
  std::string out = bound.Flag(1, false) ? indent : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool indented = i > 0 && (!lines[i].empty() || bound.Flag(2, false));
    absl::StrAppend(&out, i > 0 ? "\n" : "", indented ? indent : "", lines[i]);
  }
  return Value(std::move(out));
}

absl::StatusOr<Value> TextToJson(Interpreter& in, const Value& self, const Bound& bound) {
  JsonStyle style;
  style.ascii = bound.Flag(0, false);
  style.sort_keys = bound.Flag(3, false);
  if (bound.has(1) && bound[1].text() != nullptr) {
    style.indent = *bound[1].text();
  } else if (bound.has(1) && !bound[1].IsNone()) {
    HONE_ASSIGN_OR_RETURN(const int64_t width, bound.Integer(1, 0));
    if (width > 100) return InputError("filter 'tojson' wants an indent of at most 100");
    style.indent = std::string(std::max<int64_t>(width, 0), ' ');
  }
  if (style.indent) style.item_separator = std::string(1, ',');
  if (bound.has(2) && !bound[2].IsNone()) {
    HONE_ASSIGN_OR_RETURN(const std::vector<Value> separators, Iterate(bound[2], in.budget()));
    if (separators.size() != 2 || separators[0].text() == nullptr || separators[1].text() == nullptr)
      return InputError("filter 'tojson' wants two texts as separators");
    style.item_separator = *separators[0].text();
    style.key_separator = *separators[1].text();
  }
  HONE_ASSIGN_OR_RETURN(std::string json, ToJson(self, style, in.budget()));
  return MakeText(std::move(json), in.budget());
}

absl::StatusOr<double> ParseFloat(const Value& value) {
  if (value.number()) return *value.number();
  double number = 0;
  const absl::string_view text =
      value.text() != nullptr ? Strip(*value.text(), std::nullopt, Side::kBoth) : absl::string_view();
  // absl takes hexadecimal floats, Python does not.
  if (text.find_first_of("xX_") != text.npos || !absl::SimpleAtod(text, &number)) return InputError("not a number");
  return number;
}

absl::StatusOr<Value> ToInt(Interpreter&, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  HONE_ASSIGN_OR_RETURN(const int64_t base, bound.Integer(1, 10));
  if (base != 10) return InputError("filter 'int' with a base other than 10 is not supported");
  if (self.integer()) return Value(*self.integer());
  int64_t integer = 0;
  if (self.text() != nullptr) {
    const absl::string_view text = Strip(*self.text(), std::nullopt, Side::kBoth);
    if (absl::SimpleAtoi(text, &integer)) return Value(integer);
    if (!text.empty() && text.find_first_not_of("+-0123456789") == text.npos && text.size() > 18)
      return InputError("filter 'int': ", text, " is beyond 64 bits");
  }
  const auto number = ParseFloat(self);
  if (number.ok() && std::isfinite(*number)) {
    if (std::abs(*number) >= 9.2e18) return InputError("filter 'int': the number is beyond 64 bits");
    return Value(static_cast<int64_t>(*number));
  }
  return bound.has(0) ? bound[0] : Value(int64_t{0});
}

absl::StatusOr<Value> ToFloat(Interpreter&, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  const auto number = ParseFloat(self);
  if (number.ok()) return Value(*number);
  return bound.has(0) ? bound[0] : Value(0.0);
}

absl::StatusOr<Value> Abs(Interpreter&, const Value& self, const Bound&) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  if (self.integer() && *self.integer() != INT64_MIN) return Value(std::abs(*self.integer()));
  if (!self.number()) return InputError("filter 'abs' wants a number, got a ", TypeName(self));
  return Value(std::abs(*self.number()));
}

// Halves go to the even neighbour, as in Python; for decimals the digits that print decide.
absl::StatusOr<Value> Round(Interpreter&, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(MustBeDefined(self));
  HONE_ASSIGN_OR_RETURN(const int64_t precision, bound.Integer(0, 0));
  HONE_ASSIGN_OR_RETURN(const std::string method, bound.Text(1, "common"));
  if (!self.number()) return InputError("filter 'round' wants a number, got a ", TypeName(self));
  if (precision < 0 || precision > 15) return InputError("filter 'round' wants a precision from 0 to 15");
  const double scale = std::pow(10.0, static_cast<double>(precision)), number = *self.number();
  if (method == "ceil") return Value(std::ceil(number * scale) / scale);
  if (method == "floor") return Value(std::floor(number * scale) / scale);
  if (method != "common") return InputError("filter 'round': method '", method, "', wanted common, ceil or floor");
  if (self.integer()) return Value(*self.integer());
  if (!std::isfinite(number)) return self;
  double rounded = 0;
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), number);
  if (!absl::SimpleAtod(buffer, &rounded)) return InputError("filter 'round' cannot round ", number);
  return Value(rounded);
}

}  // namespace

const std::vector<Builtin>& TextFilters() {
  static const auto& filters =
      *new std::vector<Builtin>{{"abs", {}, Abs},
                                {"capitalize", {}, ChangeCase<Case::kCapitalize>},
                                {"d", {"default_value", "boolean"}, Default},
                                {"default", {"default_value", "boolean"}, Default},
                                {"float", {"default"}, ToFloat},
                                {"indent", {"width", "first", "blank"}, Indent},
                                {"int", {"default", "base"}, ToInt},
                                {"lower", {}, ChangeCase<Case::kLower>},
                                {"replace", {"old", "new", "count"}, Replace},
                                {"round", {"precision", "method"}, Round},
                                {"safe", {}, Safe},
                                {"string", {}, ToText},
                                {"title", {}, ChangeCase<Case::kTitle>},
                                {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, TextToJson},
                                {"trim", {"chars"}, Trim},
                                {"upper", {}, ChangeCase<Case::kUpper>}};
  return filters;
}

}  // namespace hone::jinja
