// Methods of texts, dicts, lists and `loop`.
#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/jinja/calls.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

// A search costs the text's length, times the pattern's for the worst texts.
absl::Status SpendSearch(absl::string_view text, absl::string_view pattern, Budget& budget) {
  return budget.Spend(static_cast<int64_t>(text.size() * (1 + pattern.size() / 64)));
}

template <Side kSide>
absl::StatusOr<Value> StripMethod(Interpreter& in, const Value& self, const Bound& bound) {
  std::optional<std::string> set;
  if (bound.has(0) && !bound[0].IsNone()) {
    HONE_ASSIGN_OR_RETURN(set, bound.Text(0, ""));
  }
  HONE_RETURN_IF_ERROR(in.budget().Spend(self.text()->size() * (set ? 1 + set->size() / 4 : 1)));
  return Value(std::string(Strip(*self.text(), set, kSide)), self.markup());
}

template <Case kCase>
absl::StatusOr<Value> CaseMethod(Interpreter& in, const Value& self, const Bound&) {
  HONE_RETURN_IF_ERROR(in.budget().Spend(4 * self.text()->size()));
  HONE_ASSIGN_OR_RETURN(std::string changed, Recase(*self.text(), kCase));
  return Value(std::move(changed), self.markup());
}

// Texts marked as safe would have to escape the arguments; no template known does that.
absl::Status NoMarkup(const Value& self) {
  return self.markup() ? InputError("this method of a text marked by 'safe' is not supported") : absl::OkStatus();
}

std::vector<std::string> SplitAtSpace(absl::string_view text, int64_t most) {
  std::vector<std::string> parts;
  text = Strip(text, std::nullopt, Side::kLeft);
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.emplace_back(Strip(text, std::nullopt, Side::kRight));
      break;
    }
    size_t end = 0;
    while (end < text.size() && !IsSpace(FirstChar(text.substr(end)))) end += CharBytes(text.substr(end));
    parts.emplace_back(text.substr(0, end));
    text = Strip(text.substr(end), std::nullopt, Side::kLeft);
  }
  return parts;
}

absl::StatusOr<std::vector<std::string>> SplitAt(absl::string_view text, const std::string& separator, int64_t most,
                                                 Side from, Budget& budget) {
  if (separator.empty()) return InputError("split() wants a separator that is not empty");
  HONE_RETURN_IF_ERROR(SpendSearch(text, separator, budget));
  std::vector<std::string> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t place = from == Side::kLeft ? text.find(separator) : text.rfind(separator);
    if (place == text.npos) break;
    HONE_RETURN_IF_ERROR(budget.Spend(64));
    if (from == Side::kLeft) {
      parts.emplace_back(text.substr(0, place));
      text.remove_prefix(place + separator.size());
    } else {
      parts.emplace_back(text.substr(place + separator.size()));
      text.remove_suffix(text.size() - place);
    }
  }
  parts.emplace_back(text);
  if (from == Side::kRight) std::reverse(parts.begin(), parts.end());
  return parts;
}

absl::StatusOr<Value> TextList(std::vector<std::string> parts, SequenceKind kind, Budget& budget) {
  std::vector<Value> values;
  for (std::string& part : parts) {
    HONE_ASSIGN_OR_RETURN(Value value, MakeText(std::move(part), budget));
    values.push_back(std::move(value));
  }
  return MakeSequence(kind, std::move(values), budget);
}

template <Side kFrom>
absl::StatusOr<Value> Split(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(NoMarkup(self));
  HONE_ASSIGN_OR_RETURN(const int64_t most, bound.Integer(1, -1));
  std::vector<std::string> parts;
  if (!bound.has(0) || bound[0].IsNone()) {
    if (kFrom == Side::kRight && most >= 0) return InputError("rsplit() with a limit wants a separator");
    HONE_RETURN_IF_ERROR(in.budget().Spend(16 * self.text()->size()));
    parts = SplitAtSpace(*self.text(), most);
  } else {
    HONE_ASSIGN_OR_RETURN(const std::string separator, bound.Text(0, ""));
    HONE_ASSIGN_OR_RETURN(parts, SplitAt(*self.text(), separator, most, kFrom, in.budget()));
  }
  return TextList(std::move(parts), SequenceKind::kList, in.budget());
}

absl::StatusOr<Value> Partition(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(NoMarkup(self));
  HONE_ASSIGN_OR_RETURN(const std::string separator, bound.Text(0, ""));
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> parts, SplitAt(*self.text(), separator, 1, Side::kLeft, in.budget()));
  if (parts.size() == 1) {
    parts.resize(3);
  } else {
    parts.insert(parts.begin() + 1, separator);
  }
  return TextList(std::move(parts), SequenceKind::kTuple, in.budget());
}

absl::StatusOr<Value> Lines(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(NoMarkup(self));
  const LineEnds ends = bound.Flag(0, false) ? LineEnds::kKept : LineEnds::kDropped;
  return TextList(SplitLines(*self.text(), ends), SequenceKind::kList, in.budget());
}

// startswith and endswith take one text or a tuple of them.
template <Side kSide>
absl::StatusOr<Value> BeginsOrEnds(Interpreter&, const Value& self, const Bound& bound) {
  if (!bound.has(0)) return InputError("wants a text");
  std::vector<Value> wanted = {bound[0]};
  if (bound[0].sequence() != nullptr && bound[0].sequence()->kind == SequenceKind::kTuple)
    wanted = bound[0].sequence()->items;
  for (const Value& affix : wanted) {
    HONE_RETURN_IF_ERROR(MustBeDefined(affix));
    if (affix.text() == nullptr) return InputError("wants a text or a tuple of texts, got a ", TypeName(affix));
    if (kSide == Side::kLeft ? absl::StartsWith(*self.text(), *affix.text())
                             : absl::EndsWith(*self.text(), *affix.text()))
      return Value(true);
  }
  return Value(false);
}

template <Side kSide>
absl::StatusOr<Value> RemoveAffix(Interpreter&, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const std::string affix, bound.Text(0, ""));
  absl::string_view text = *self.text();
  kSide == Side::kLeft ? absl::ConsumePrefix(&text, affix) : absl::ConsumeSuffix(&text, affix);
  return Value(std::string(text), self.markup());
}

template <Side kFrom>
absl::StatusOr<Value> FindText(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const std::string wanted, bound.Text(0, ""));
  HONE_RETURN_IF_ERROR(SpendSearch(*self.text(), wanted, in.budget()));
  const size_t place = kFrom == Side::kLeft ? self.text()->find(wanted) : self.text()->rfind(wanted);
  if (place == std::string::npos) return Value(int64_t{-1});
  return Value(CountChars(absl::string_view(*self.text()).substr(0, place)));
}

absl::StatusOr<Value> CountText(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_ASSIGN_OR_RETURN(const std::string wanted, bound.Text(0, ""));
  if (wanted.empty()) return Value(CountChars(*self.text()) + 1);
  HONE_ASSIGN_OR_RETURN(const auto parts, SplitAt(*self.text(), wanted, -1, Side::kLeft, in.budget()));
  return Value(static_cast<int64_t>(parts.size()) - 1);
}

absl::StatusOr<Value> ReplaceMethod(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(NoMarkup(self));
  if (!bound.has(0) || !bound.has(1)) return InputError("replace() wants what to replace and by what");
  HONE_ASSIGN_OR_RETURN(const std::string from, bound.Text(0, ""));
  HONE_ASSIGN_OR_RETURN(const std::string to, bound.Text(1, ""));
  HONE_ASSIGN_OR_RETURN(const int64_t count, bound.Integer(2, -1));
  return ReplaceText(*self.text(), from, to, count, in.budget());
}

absl::StatusOr<Value> JoinMethod(Interpreter& in, const Value& self, const Bound& bound) {
  HONE_RETURN_IF_ERROR(NoMarkup(self));
  if (!bound.has(0)) return InputError("join() wants a list");
  HONE_RETURN_IF_ERROR(MustBeDefined(bound[0]));
  HONE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(bound[0], in.budget()));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].text() == nullptr) return InputError("join() wants texts, got a ", TypeName(items[i]));
    HONE_RETURN_IF_ERROR(in.budget().Spend(self.text()->size() + items[i].text()->size()));
    absl::StrAppend(&out, i > 0 ? *self.text() : "", *items[i].text());
  }
  return MakeText(std::move(out), in.budget());
}

template <bool (*kIs)(char32_t)>
absl::StatusOr<Value> AllChars(Interpreter& in, const Value& self, const Bound&) {
  HONE_RETURN_IF_ERROR(in.budget().Spend(4 * self.text()->size()));
  const std::vector<char32_t> characters = ToChars(*self.text());
  return Value(!characters.empty() && std::all_of(characters.begin(), characters.end(), kIs));
}

// Digits beyond ASCII are rare and differ between isdigit, isdecimal and isnumeric.
absl::StatusOr<Value> IsDigits(Interpreter& in, const Value& self, const Bound&) {
  HONE_RETURN_IF_ERROR(in.budget().Spend(self.text()->size()));
  bool digits = !self.text()->empty();
  for (const char c : *self.text()) {
    if ((c & 0x80) != 0) return InputError("isdigit() of a text beyond ASCII is not supported");
    digits &= absl::ascii_isdigit(c);
  }
  return Value(digits);
}

template <const char* kTest>
absl::StatusOr<Value> AsTest(Interpreter& in, const Value& self, const Bound&) {
  HONE_ASSIGN_OR_RETURN(const bool passes, in.CallTest(kTest, self, {}));
  return Value(passes);
}

absl::StatusOr<Value> Get(Interpreter& in, const Value& self, const Bound& bound) {
  if (!bound.has(0)) return InputError("get() wants a key");
  HONE_RETURN_IF_ERROR(HashKey(bound[0], in.budget()).status());
  HONE_ASSIGN_OR_RETURN(const Value* const found, Find(*self.dict(), bound[0], in.budget()));
  if (found != nullptr) return *found;
  return bound.has(1) ? bound[1] : Value();
}

template <SequenceKind kKind>
absl::StatusOr<Value> View(Interpreter& in, const Value& self, const Bound&) {
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->items) {
    Value item = kKind == SequenceKind::kKeys ? key : value;
    if (kKind == SequenceKind::kItems) {
      HONE_ASSIGN_OR_RETURN(item, MakeSequence(SequenceKind::kTuple, {key, value}, in.budget()));
    }
    items.push_back(std::move(item));
  }
  return MakeSequence(kKind, std::move(items), in.budget());
}

absl::StatusOr<Value> Copy(Interpreter&, const Value& self, const Bound&) { return self; }

template <bool kFirst>
absl::StatusOr<Value> IndexOrCount(Interpreter& in, const Value& self, const Bound& bound) {
  if (!bound.has(0)) return InputError("wants a value");
  int64_t count = 0;
  for (size_t i = 0; i < self.sequence()->items.size(); ++i) {
    HONE_ASSIGN_OR_RETURN(const bool same, Equal(self.sequence()->items[i], bound[0], in.budget()));
    if (same && kFirst) return Value(static_cast<int64_t>(i));
    count += same;
  }
  return kFirst ? absl::StatusOr<Value>(InputError("index(): the value is not in the list")) : Value(count);
}

constexpr char kUpperTest[] = "upper", kLowerTest[] = "lower";

}  // namespace

std::vector<std::string> SplitLines(absl::string_view text, LineEnds ends) {
  std::vector<std::string> lines;
  const auto breaks = [](char32_t c) {
    return (c >= 0xa && c <= 0xd) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t bytes = absl::StartsWith(text.substr(i), "\r\n") ? 2 : CharBytes(text.substr(i));
    if (breaks(FirstChar(text.substr(i)))) {
      lines.emplace_back(text.substr(begin, i - begin + (ends == LineEnds::kKept ? bytes : 0)));
      begin = i + bytes;
    }
    i += bytes;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

absl::StatusOr<Value> ReplaceText(absl::string_view text, const std::string& from, const std::string& to, int64_t count,
                                  Budget& budget) {
  HONE_RETURN_IF_ERROR(SpendSearch(text, from, budget));
  std::string out;
  const bool between = from.empty();  // then `to` goes before each character, and to the end
  for (; count != 0; --count) {
    const size_t place = text.find(from);
    if (place == text.npos) break;
    absl::StrAppend(&out, text.substr(0, place), to);
    HONE_RETURN_IF_ERROR(budget.SpendText(out.size() > Budget::kLongestText ? out.size() : to.size() + 8));
    text.remove_prefix(place + from.size());
    if (!between) continue;
    if (text.empty()) return MakeText(std::move(out), budget);
    absl::StrAppend(&out, text.substr(0, CharBytes(text)));
    text.remove_prefix(CharBytes(text));
  }
  absl::StrAppend(&out, text);
  return MakeText(std::move(out), budget);
}

absl::StatusOr<Value> CallLoopMethod(const std::weak_ptr<Loop>& weak, const std::string& name,
                                     const Arguments& arguments, Budget& budget) {
  const std::shared_ptr<Loop> loop = weak.lock();
  if (loop == nullptr || !arguments.named.empty()) return InputError("'loop.", name, "' is used after its loop");
  if (name == "cycle") {
    if (arguments.positional.empty()) return InputError("loop.cycle() wants values");
    return arguments.positional[loop->index % arguments.positional.size()];
  }
  HONE_ASSIGN_OR_RETURN(Value now, MakeSequence(SequenceKind::kTuple, arguments.positional, budget));
  bool changed = true;
  if (loop->last_changed) {
    HONE_ASSIGN_OR_RETURN(const bool same, Equal(*loop->last_changed, now, budget));
    changed = !same;
  }
  loop->last_changed = std::move(now);
  return Value(changed);
}

absl::StatusOr<Value> FormatText(const std::string& format, const Arguments& arguments, Budget& budget) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i], after = i + 1 < format.size() ? format[i + 1] : '\0';
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (after == c) {
      out += c;
      ++i;
      continue;
    }
    const size_t end = format.find('}', i);
    const std::string field = c == '{' && end != format.npos ? format.substr(i + 1, end - i - 1) : "{";
    const Value* value = nullptr;
    size_t index = next;
    if (field.empty() ? ++next > 0 : absl::SimpleAtoi(field, &index)) {
      if (index < arguments.positional.size()) value = &arguments.positional[index];
    }
    for (const auto& [name, named] : arguments.named) {
      if (name == field) value = &named;
    }
    if (value == nullptr) return InputError("format(): the field '{", field, "}' is not supported or has no value");
    HONE_ASSIGN_OR_RETURN(const std::string text, Str(*value, budget));
    HONE_RETURN_IF_ERROR(budget.SpendText(out.size() > Budget::kLongestText ? out.size() : text.size()));
    out += text;
    i = end;
  }
  return MakeText(std::move(out), budget);
}

const std::vector<Builtin>& TextMethods() {
  static const auto& methods = *new std::vector<Builtin>{{"capitalize", {}, CaseMethod<Case::kCapitalize>},
                                                         {"count", {"sub"}, CountText},
                                                         {"endswith", {"suffix"}, BeginsOrEnds<Side::kRight>},
                                                         {"find", {"sub"}, FindText<Side::kLeft>},
                                                         {"format", {"*"}, nullptr},
                                                         {"isalpha", {}, AllChars<IsAlphaChar>},
                                                         {"isdigit", {}, IsDigits},
                                                         {"islower", {}, AsTest<kLowerTest>},
                                                         {"isspace", {}, AllChars<IsSpace>},
                                                         {"isupper", {}, AsTest<kUpperTest>},
                                                         {"join", {"iterable"}, JoinMethod},
                                                         {"lower", {}, CaseMethod<Case::kLower>},
                                                         {"lstrip", {"chars"}, StripMethod<Side::kLeft>},
                                                         {"partition", {"sep"}, Partition},
                                                         {"removeprefix", {"prefix"}, RemoveAffix<Side::kLeft>},
                                                         {"removesuffix", {"suffix"}, RemoveAffix<Side::kRight>},
                                                         {"replace", {"old", "new", "count"}, ReplaceMethod},
                                                         {"rfind", {"sub"}, FindText<Side::kRight>},
                                                         {"rsplit", {"sep", "maxsplit"}, Split<Side::kRight>},
                                                         {"rstrip", {"chars"}, StripMethod<Side::kRight>},
                                                         {"split", {"sep", "maxsplit"}, Split<Side::kLeft>},
                                                         {"splitlines", {"keepends"}, Lines},
                                                         {"startswith", {"prefix"}, BeginsOrEnds<Side::kLeft>},
                                                         {"strip", {"chars"}, StripMethod<Side::kBoth>},
                                                         {"title", {}, CaseMethod<Case::kTitle>},
                                                         {"upper", {}, CaseMethod<Case::kUpper>}};
  return methods;
}

const std::vector<Builtin>& DictMethods() {
  static const auto& methods = *new std::vector<Builtin>{{"copy", {}, Copy},
                                                         {"get", {"key", "default"}, Get},
                                                         {"items", {}, View<SequenceKind::kItems>},
                                                         {"keys", {}, View<SequenceKind::kKeys>},
                                                         {"values", {}, View<SequenceKind::kValues>}};
  return methods;
}

const std::vector<Builtin>& ListMethods() {
  static const auto& methods = *new std::vector<Builtin>{
      {"copy", {}, Copy}, {"count", {"value"}, IndexOrCount<false>}, {"index", {"value"}, IndexOrCount<true>}};
  return methods;
}

}  // namespace hone::jinja
