#include "engine/base/spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "engine/base/text.h"

namespace hone {
namespace {

// Specs are typed by hand or by a script; what is larger than this is a mistake, and the bounds keep a hostile one cheap.
constexpr size_t kMaxBytes = 1 << 16;
constexpr size_t kMaxOptions = 256;
constexpr int kMaxDepth = 8;
constexpr size_t kShownBytes = 60;
constexpr size_t kMaxNameBytes = 64;  // for nearest names, whose cost is the product of two lengths

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsNameByte(char c) { return absl::ascii_isalnum(c) || c == '_'; }
// What a value may hold without quotes: numbers, words, paths.
bool IsWordByte(char c) { return absl::ascii_isgraph(c) && !absl::StrContains("(),=\"'\\", absl::string_view(&c, 1)); }

// What Parse finds: name and options in the order of the text.
struct ParsedSpec {
  std::string name;
  std::vector<std::pair<std::string, std::string>> options;
};

bool IsQuote(char c) { return c == '"' || c == '\''; }

// Recursive descent over the grammar of spec.h. Positions in errors count characters from 1.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<ParsedSpec> ParseAll() {
    if (text_.size() > kMaxBytes) return InputError("a spec of ", text_.size(), " bytes; ", kMaxBytes, " are the most");
    if (const auto bad = FindInvalidUtf8(text_); bad.has_value()) return Error(*bad, "not UTF-8");
    HONE_ASSIGN_OR_RETURN(ParsedSpec spec, ParseSpec(0));
    if (!AtEnd()) return Error(at_, absl::StrCat("unexpected '", Found(), "' after the end"));
    return spec;
  }

 private:
  absl::StatusOr<ParsedSpec> ParseSpec(int depth) {
    if (depth > kMaxDepth) return Error(at_, absl::StrCat("specs nest more than ", kMaxDepth, " deep"));
    ParsedSpec spec;
    HONE_ASSIGN_OR_RETURN(spec.name, ParseName("a name"));
    SkipSpace();
    const size_t open = at_;
    if (!Take('(')) return spec;
    SkipSpace();
    if (Take(')')) return spec;
    for (;;) {
      HONE_RETURN_IF_ERROR(ParseOption(depth, spec));
      SkipSpace();
      if (Take(')')) return spec;
      if (at_ == text_.size()) return Error(open, "'(' is never closed");
      if (!Take(',')) return Error(at_, absl::StrCat("wanted ',' or ')', found '", Found(), "'"));
    }
  }

  absl::Status ParseOption(int depth, ParsedSpec& spec) {
    SkipSpace();
    const size_t start = at_;
    HONE_ASSIGN_OR_RETURN(std::string name, ParseOptionName());
    const std::string shown = Visible(name, kShownBytes), written = std::string(text_.substr(start, at_ - start));
    SkipSpace();
    if (!Take('=')) return Error(at_, absl::StrCat("option '", shown, "' has no value; write ", written, "=..."));
    HONE_ASSIGN_OR_RETURN(std::string value, ParseValue(shown, depth));
    if (spec.options.size() == kMaxOptions) return Error(start, absl::StrCat("more than ", kMaxOptions, " options"));
    for (const auto& [other, ignored] : spec.options) {
      if (other == name) return Error(start, absl::StrCat("option '", shown, "' is given twice"));
    }
    spec.options.emplace_back(std::move(name), std::move(value));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ParseOptionName() {
    const size_t start = at_;
    if (at_ == text_.size() || !IsQuote(text_[at_])) return ParseName("an option's name");
    HONE_ASSIGN_OR_RETURN(std::string name, ParseQuoted());
    if (name.empty()) return Error(start, "an option's name is empty");
    if (name.size() > kMaxNameBytes) return Error(start, absl::StrCat("a name of more than ", kMaxNameBytes, " bytes"));
    return name;
  }

  absl::StatusOr<std::string> ParseName(absl::string_view wanted) {
    SkipSpace();
    const size_t start = at_;
    if (at_ < text_.size() && IsNameStart(text_[at_])) {
      while (at_ < text_.size() && IsNameByte(text_[at_])) ++at_;
    }
    if (at_ == start) return Error(at_, absl::StrCat("wanted ", wanted, ", found ", AtEnd() ? "the end" : Quoted()));
    if (at_ - start > kMaxNameBytes)
      return Error(start, absl::StrCat("a name of more than ", kMaxNameBytes, " characters"));
    return std::string(text_.substr(start, at_ - start));
  }

  absl::StatusOr<std::string> ParseValue(const std::string& option, int depth) {
    SkipSpace();
    const size_t start = at_;
    if (at_ < text_.size() && IsQuote(text_[at_])) return ParseQuoted();
    while (at_ < text_.size() && IsWordByte(text_[at_])) ++at_;
    if (at_ == start) {
      return Error(at_, absl::StrCat("option '", option, "' has no value; text with spaces or signs goes in quotes"));
    }
    const size_t end = at_;
    SkipSpace();
    if (at_ == text_.size() || text_[at_] != '(') return std::string(text_.substr(start, end - start));
    at_ = start;  // a nested spec: read to find its end and its mistakes; whoever asks for the option parses it again
    HONE_RETURN_IF_ERROR(ParseSpec(depth + 1).status());
    return std::string(text_.substr(start, at_ - start));
  }

  // Knows \n, \t; after any other backslash stands the character itself.
  absl::StatusOr<std::string> ParseQuoted() {
    const size_t start = at_;
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size()) {
      char c = text_[at_++];
      if (c == quote) return value;
      if (c == '\0') return Error(at_ - 1, "a zero byte");
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
      }
      value += c;
    }
    return Error(start, "the quote is never closed");
  }

  bool Take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }
  bool AtEnd() {
    SkipSpace();
    return at_ == text_.size();
  }
  // The character at the cursor, all of its bytes.
  std::string Found() const {
    size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    return Visible(text_.substr(at_, end - at_), 8);
  }
  std::string Quoted() const { return absl::StrCat("'", Found(), "'"); }

  absl::Status Error(size_t at, absl::string_view what) const {
    const auto continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
    const size_t character = at - std::count_if(text_.begin(), text_.begin() + at, continuation) + 1;
    return InputError("'", Visible(text_, kShownBytes), "': character ", character, ": ", what);
  }

  const absl::string_view text_;
  size_t at_ = 0;
};

template <typename Number>
std::string Shortest(Number value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

template <typename Number>
std::string RangeText(absl::string_view noun, Number low, Number high) {
  using Limits = std::numeric_limits<Number>;
  const bool has_low = low > Limits::lowest(), has_high = high < Limits::max();
  if (has_low && has_high) return absl::StrCat(noun, " in ", Shortest(low), " .. ", Shortest(high));
  if (has_low) return absl::StrCat(noun, " of at least ", Shortest(low));
  if (has_high) return absl::StrCat(noun, " of at most ", Shortest(high));
  return std::string(noun);
}

std::string InQuotes(absl::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// `value` as a spec's text would give it: bare where that reads back the same, else in quotes.
std::string ValueText(const std::string& value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), IsWordByte)) return value;
  const bool trimmed = absl::StripAsciiWhitespace(value).size() == value.size();
  if (trimmed && absl::EndsWith(value, ")") && Parser(value).ParseAll().ok()) return value;
  return InQuotes(value);
}

std::string NameText(const std::string& name) {
  return IsNameStart(name[0]) && std::all_of(name.begin(), name.end(), IsNameByte) ? name : InQuotes(name);
}

// name(option=value, ...)
std::string SpecText(const std::string& name, const std::vector<std::pair<std::string, std::string>>& options) {
  if (options.empty()) return name;
  const auto format = [](std::string* out, const auto& entry) {
    absl::StrAppend(out, NameText(entry.first), "=", ValueText(entry.second));
  };
  return absl::StrCat(name, "(", absl::StrJoin(options, ", ", format), ")");
}

// Edits that turn one name into the other, a swap of neighbours being one (optimal string alignment).
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

absl::StatusOr<Spec> Spec::Parse(absl::string_view text) {
  HONE_ASSIGN_OR_RETURN(ParsedSpec parsed, Parser(text).ParseAll());
  Spec spec;
  spec.name_ = std::move(parsed.name);
  spec.options_ = std::move(parsed.options);
  return spec;
}

bool Spec::Bool(const std::string& option, bool fallback) {
  const std::string value = Read(option, fallback ? "true" : "false");
  if (value != "true" && value != "false") {
    Fail(option, value, "true or false");
    return fallback;
  }
  return value == "true";
}

int64_t Spec::Int(const std::string& option, int64_t fallback, int64_t low, int64_t high) {
  const std::string text = Read(option, Shortest(fallback));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= low && value <= high) return value;
  Fail(option, text, RangeText("a whole number", low, high));
  return fallback;
}

double Spec::Double(const std::string& option, double fallback, double low, double high) {
  const std::string text = Read(option, Shortest(fallback));
  double value = 0;
  if (absl::SimpleAtod(text, &value) && std::isfinite(value) && value >= low && value <= high) return value;
  Fail(option, text, RangeText("a number", low, high));
  return fallback;
}

std::string Spec::Text(const std::string& option, const std::string& fallback) { return Read(option, fallback); }

std::string Spec::Choice(const std::string& option, const std::string& fallback,
                         const std::vector<std::string>& choices) {
  const std::string value = Read(option, fallback);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  Fail(option, value, absl::StrCat("one of ", absl::StrJoin(choices, ", "), DidYouMean(value, choices)));
  return fallback;
}

std::vector<std::string> Spec::Unread() const {
  std::vector<std::string> unread;
  for (const auto& [option, value] : options_) {
    const auto same = [&](const auto& entry) { return entry.first == option; };
    if (std::none_of(in_force_.begin(), in_force_.end(), same)) unread.push_back(option);
  }
  return unread;
}

absl::StatusOr<std::string> Spec::TakeRest() {
  HONE_RETURN_IF_ERROR(first_error_);
  rest_is_taken_ = true;
  Options rest;
  for (const std::string& option : Unread()) rest.emplace_back(option, *Find(option));
  return SpecText(name_, rest);
}

void Spec::Resolve(const std::string& option, const std::string& value) {
  for (auto& [name, in_force] : in_force_) {
    if (name == option) in_force = value;
  }
}

const std::string* Spec::Find(const std::string& option) const {
  for (const auto& [name, value] : options_) {
    if (name == option) return &value;
  }
  return nullptr;
}

std::string Spec::Read(const std::string& option, const std::string& fallback) {
  const std::string* written = Find(option);
  std::string value = written == nullptr ? fallback : *written;
  const auto same = [&](const auto& entry) { return entry.first == option; };
  if (std::none_of(in_force_.begin(), in_force_.end(), same)) in_force_.emplace_back(option, value);
  return value;
}

void Spec::Fail(const std::string& option, const std::string& value, const std::string& wanted) {
  if (!first_error_.ok()) return;
  // A default can be out of range where the range depends on another option.
  const absl::string_view by_default = Find(option) != nullptr ? "" : " by default";
  first_error_ = InputError(name_, ": option '", Visible(option, kShownBytes), "' is '", Visible(value, kShownBytes),
                            "'", by_default, ", wanted ", wanted);
}

absl::Status Spec::Finish() const {
  HONE_RETURN_IF_ERROR(first_error_);
  const std::vector<std::string> unread = Unread();
  if (unread.empty() || rest_is_taken_) return absl::OkStatus();
  std::vector<std::string> known;
  for (const auto& [option, value] : in_force_) known.push_back(option);
  const std::string remedy = known.empty() ? "it has no options" : absl::StrCat("known: ", absl::StrJoin(known, ", "));
  return InputError(name_, ": unknown option '", Visible(unread[0], kShownBytes), "'; ", remedy,
                    DidYouMean(unread[0], known));
}

std::string Spec::ToString() const { return SpecText(name_, in_force_); }

std::string DidYouMean(absl::string_view found, const std::vector<std::string>& candidates) {
  if (found.size() > kMaxNameBytes) return "";
  const std::string wanted = absl::AsciiStrToLower(found);
  // One edit in three characters: 'gpro' is near 'grpo', 'sgd' is near nothing of 'adamw'.
  int best = std::max<int>(1, static_cast<int>(found.size()) / 3) + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kMaxNameBytes) continue;
    const int distance = EditDistance(wanted, absl::AsciiStrToLower(candidate));
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?");
}

}  // namespace hone
