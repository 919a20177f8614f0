#include "engine/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "engine/jinja/text.h"

namespace hone::jinja {
namespace {

constexpr int64_t kLongestSource = 1 << 20;
// Longer operators first.
constexpr const char* kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_' || (c & 0x80) != 0; }

class Lexer {
 public:
  Lexer(const std::string& source, const std::string& where) : where_(where) {
    source_ = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
  }

  absl::StatusOr<std::vector<Token>> Run() {
    if (static_cast<int64_t>(source_.size()) > kLongestSource)
      return Fail("the template has more than ", kLongestSource, " bytes");
    if (const auto offset = FindInvalidUtf8(source_)) return Fail("not UTF-8 at offset ", *offset);
    while (place_ < source_.size()) {
      const size_t tag = FindTag();
      if (tag == std::string::npos) {
        AddData(source_.substr(place_));
        break;
      }
      HONE_RETURN_IF_ERROR(ReadTag(tag));
    }
    Add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  template <typename... Parts>
  absl::Status Fail(const Parts&... parts) const {
    return InputError(where_, ":", line_, ": ", parts...);
  }

  void Add(TokenKind kind, std::string text = "", Value value = Value()) {
    tokens_.push_back({kind, line_, std::move(text), std::move(value)});
  }

  void AddData(std::string text) {
    if (!text.empty()) Add(TokenKind::kData, std::move(text));
  }

  absl::string_view Rest() const { return absl::string_view(source_).substr(place_); }
  bool At(absl::string_view text) const { return absl::StartsWith(Rest(), text); }

  // Moves on and counts lines.
  void Skip(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + place_, source_.begin() + place_ + bytes, '\n'));
    place_ += bytes;
  }

  void SkipSpace() { Skip(Rest().size() - Strip(Rest(), std::nullopt, Side::kLeft).size()); }

  size_t FindTag() const {
    for (size_t i = source_.find('{', place_); i != std::string::npos; i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : ' ';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return std::string::npos;
  }

  // The text before a tag that begins with `sign`: "-" takes all white space away; for statements and comments nothing but blanks
  // before it on its line go too (lstrip_blocks), unless there is a "+".
  std::string DataBefore(size_t tag, char sign, bool lstrip) const {
    const absl::string_view text = absl::string_view(source_).substr(place_, tag - place_);
    if (sign == '-') return std::string(Strip(text, std::nullopt, Side::kRight));
    if (sign == '+' || !lstrip) return std::string(text);
    const size_t newline = text.rfind('\n');
    if (newline == text.npos && !line_starting_) return std::string(text);
    const size_t begin = newline == text.npos ? 0 : newline + 1;
    const bool blank = Strip(text.substr(begin), std::nullopt, Side::kBoth).empty();
    return std::string(blank ? text.substr(0, begin) : text);
  }

  // Moves past the end of a tag, "-%}", "+%}" or "%}", with the white space it takes away. False when none is here.
  bool SkipTagEnd(absl::string_view end) {
    const bool minus = At(absl::StrCat("-", end)), plus = end != "}}" && At(absl::StrCat("+", end));
    if (!minus && !plus && !At(end)) return false;
    Skip(end.size() + (minus || plus));
    if (minus) SkipSpace();
    if (!minus && !plus && end != "}}" && At("\n")) Skip(1);
    line_starting_ = source_[place_ - 1] == '\n';
    return true;
  }

  absl::Status ReadTag(size_t tag) {
    const char type = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool signed_tag = sign == '-' || sign == '+';
    AddData(DataBefore(tag, sign, type != '{'));
    Skip(tag + 2 + signed_tag - place_);
    if (type == '#') return SkipComment();
    if (type == '%' && IsRaw()) return ReadRaw();
    const absl::string_view end = type == '{' ? "}}" : "%}";
    Add(type == '{' ? TokenKind::kOutputBegin : TokenKind::kTagBegin);
    std::vector<char> open;
    while (true) {
      SkipSpace();
      if (open.empty() && SkipTagEnd(end)) break;
      if (place_ == source_.size()) return Fail("a tag is not closed; wanted '", end, "'");
      HONE_RETURN_IF_ERROR(ReadToken(open));
    }
    Add(type == '{' ? TokenKind::kOutputEnd : TokenKind::kTagEnd);
    return absl::OkStatus();
  }

  absl::Status SkipComment() {
    const size_t end = source_.find("#}", place_);
    if (end == std::string::npos) return Fail("a comment is not closed; wanted '#}'");
    const bool has_sign = end > place_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    Skip(end - has_sign - place_);
    SkipTagEnd("#}");
    return absl::OkStatus();
  }

  bool IsRaw() const {
    absl::string_view rest = Strip(Rest(), std::nullopt, Side::kLeft);
    if (!absl::ConsumePrefix(&rest, "raw")) return false;
    rest = Strip(rest, std::nullopt, Side::kLeft);
    return absl::StartsWith(rest, "%}") || absl::StartsWith(rest, "-%}");
  }

  // {% raw %}text{% endraw %}: the text as it is. A newline behind {% raw %} stays.
  absl::Status ReadRaw() {
    const size_t head_end = source_.find("%}", place_);
    const bool minus = source_[head_end - 1] == '-';
    Skip(head_end + 2 - place_);
    if (minus) SkipSpace();
    line_starting_ = source_[place_ - 1] == '\n';
    for (size_t tag = source_.find("{%", place_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      absl::string_view rest = absl::string_view(source_).substr(tag + 2);
      const char sign = rest.empty() ? ' ' : rest[0];
      if (sign == '-' || sign == '+') rest.remove_prefix(1);
      rest = Strip(rest, std::nullopt, Side::kLeft);
      if (!absl::ConsumePrefix(&rest, "endraw")) continue;
      rest = Strip(rest, std::nullopt, Side::kLeft);
      if (!absl::StartsWith(rest, "%}") && !absl::StartsWith(rest, "-%}") && !absl::StartsWith(rest, "+%}")) continue;
      AddData(DataBefore(tag, sign, true));
      Skip(source_.size() - rest.size() - place_);
      SkipTagEnd("%}");
      return absl::OkStatus();
    }
    return Fail("{% raw %} is not closed; wanted {% endraw %}");
  }

  absl::Status ReadToken(std::vector<char>& open) {
    const char c = source_[place_];
    if (absl::ascii_isdigit(c)) return ReadNumber();
    if (c == '"' || c == '\'') return ReadText(c);
    if (IsNameChar(c)) {
      size_t end = place_;
      while (end < source_.size() && IsNameChar(source_[end])) ++end;
      Add(TokenKind::kName, source_.substr(place_, end - place_));
      if ((c & 0x80) != 0) return Fail("the name '", tokens_.back().text, "' does not begin with a letter of ASCII");
      Skip(end - place_);
      return absl::OkStatus();
    }
    for (const char* name : kOperators) {
      if (!At(name)) continue;
      if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || open.back() != c) return Fail("unexpected '", name, "'");
        open.pop_back();
      }
      Add(TokenKind::kOperator, name);
      Skip(tokens_.back().text.size());
      return absl::OkStatus();
    }
    return Fail("unexpected character '", Rest().substr(0, CharBytes(Rest())), "'");
  }

  size_t DigitsEnd(size_t place) const {
    while (place < source_.size() &&
           (absl::ascii_isdigit(source_[place]) ||
            (source_[place] == '_' && place + 1 < source_.size() && absl::ascii_isdigit(source_[place + 1]))))
      ++place;
    return place;
  }

  absl::Status ReadNumber() {
    const auto digit_at = [&](size_t place) { return place < source_.size() && absl::ascii_isdigit(source_[place]); };
    size_t end = DigitsEnd(place_);
    bool is_float = false;
    const bool after_dot = place_ > 0 && source_[place_ - 1] == '.';  // x.0.1 are two items
    if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      end = DigitsEnd(end + 1);
      is_float = true;
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + 1 + sign)) {
        end = DigitsEnd(end + 1 + sign);
        is_float = true;
      }
    }
    const std::string text = absl::StrReplaceAll(source_.substr(place_, end - place_), {{"_", ""}});
    const bool other_base = text == "0" && end < source_.size() && IsNameChar(source_[end]);
    double number = 0;
    int64_t integer = 0;
    if (other_base || (!is_float && !absl::SimpleAtoi(text, &integer)) ||
        (!is_float && text.size() > 1 && text[0] == '0' && integer != 0))
      return Fail("the number ", text, "... is not supported; wanted decimal digits of at most ", INT64_MAX);
    if (is_float && !absl::SimpleAtod(text, &number)) return Fail("'", text, "' is not a number");
    Add(TokenKind::kConstant, text, is_float ? Value(number) : Value(integer));
    Skip(end - place_);
    return absl::OkStatus();
  }

  absl::Status ReadText(char quote) {
    size_t end = place_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return Fail("a text is not closed; wanted ", std::string(1, quote));
    std::string text;
    for (size_t i = place_ + 1; i < end; ++i) {
      if (source_[i] != '\\') {
        text += source_[i];
      } else {
        HONE_RETURN_IF_ERROR(ReadEscape(i, text));
      }
    }
    Add(TokenKind::kConstant, "", Value(std::move(text)));
    Skip(end + 1 - place_);
    return absl::OkStatus();
  }

  // Python's escapes; an unknown one stays as it is. `i` moves from the backslash to the last character of the escape.
  absl::Status ReadEscape(size_t& i, std::string& text) const {
    const char c = source_[++i];
    static constexpr char kLetters[] = "abfnrtv\\'\"", kMeanings[] = "\a\b\f\n\r\t\v\\'\"";
    if (const char* place = std::char_traits<char>::find(kLetters, 10, c)) {
      text += kMeanings[place - kLetters];
      return absl::OkStatus();
    }
    if (c == '\n') return absl::OkStatus();
    const int base = c >= '0' && c <= '7' ? 8 : 16;
    const int digits = base == 8 ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == 'N') return Fail("the escape \\N is not supported; write the character itself");
    if (digits == 0) {
      text += '\\';
      text += c;
      return absl::OkStatus();
    }
    const char* begin = source_.data() + i + (base == 16);
    uint32_t code = 0;
    const auto parsed = std::from_chars(begin, std::min(begin + digits, source_.data() + source_.size()), code, base);
    if ((base == 16 && parsed.ptr != begin + digits) || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      return Fail("the escape \\", source_.substr(i, digits + 1), " is no character");
    AppendChar(code, text);
    i = parsed.ptr - source_.data() - 1;
    return absl::OkStatus();
  }

  const std::string& where_;
  std::string source_;
  size_t place_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // nothing but removed white space since the last newline
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source, const std::string& where) {
  return Lexer(source, where).Run();
}

}  // namespace hone::jinja
