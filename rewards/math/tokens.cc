#include "rewards/math/tokens.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "rewards/math/names.h"

namespace hone::math {
namespace {

constexpr int kMaxTextDepth = 3;  // \text inside \text

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

class Lexer {
 public:
  Lexer(CommaMeaning comma, Tokens& out) : comma_(comma), out_(out) {}

  void Run(absl::string_view text, int depth) {
    const absl::string_view outer = std::exchange(text_, text);
    const size_t outer_at = std::exchange(at_, 0);
    const int outer_depth = std::exchange(depth_, depth);
    while (at_ < text_.size() && out_.all.size() < kMaxTokens) Step();
    text_ = outer;
    at_ = outer_at;
    depth_ = outer_depth;
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool InText() const { return depth_ > 0; }

  void Emit(TokenKind kind, char code, absl::string_view text = {}) {
    out_.all.push_back({kind, code, std::exchange(space_, false), false, text});
  }
  void EmitSymbol(char code) { Emit(TokenKind::kSymbol, code); }
  void EmitWord(absl::string_view word) {
    const size_t start = out_.store.size();
    absl::StrAppend(&out_.store, absl::AsciiStrToLower(word));
    Emit(TokenKind::kWord, 0, absl::string_view(out_.store).substr(start));
  }
  void EmitLetter(absl::string_view letter) {
    if (letter == "e" || letter == "i") return Emit(TokenKind::kConstant, letter[0]);
    Emit(TokenKind::kLetter, 0, letter);
  }

  // False: `meaning` is unknown.
  bool EmitMeaning(const Meaning& meaning) {
    switch (meaning.kind) {
      case Meaning::Kind::kUnknown:
        return false;
      case Meaning::Kind::kSpace:
        space_ = true;
        return true;
      case Meaning::Kind::kToken:
        Emit(meaning.token, meaning.code, meaning.text);
        return true;
      case Meaning::Kind::kComma:
        EmitSymbol(',');
        return true;
      default:
        return true;
    }
  }

  void Step() {
    const char c = Peek();
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      space_ = true;
      ++at_;
    } else if (IsDigit(c) || (c == '.' && IsDigit(Peek(1)))) {
      Number();
    } else if (IsLetter(c)) {
      Letters();
    } else if (c == '\\') {
      Backslash();
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      Beyond();
    } else {
      Mark(c);
    }
  }

  // A separator of thousands and the three digits after it begin `ahead` bytes further: how many bytes the separator has, else 0.
  size_t Separator(size_t ahead, bool short_first, bool& plain_comma) const {
    const absl::string_view rest = text_.substr(at_ + ahead);
    size_t bytes = 0;
    for (const absl::string_view mark :
         {"{,}", ",\\! ", ",\\!", "\\,", "\u2009", "\u202f", "\u00a0", "{,\\!}", "\\ ", ",", " "}) {
      if (!absl::StartsWith(rest, mark)) continue;
      bytes = mark.size();
      break;
    }
    if (bytes == 0 || !short_first || rest.size() < bytes + 3) return 0;
    const bool plain = rest[0] == ',' && bytes == 1;
    if (comma_ == CommaMeaning::kList && (plain || rest[0] == ' ')) return 0;
    for (size_t digit = bytes; digit < bytes + 3; ++digit)
      if (!IsDigit(rest[digit])) return 0;
    if (rest.size() > bytes + 3 && IsDigit(rest[bytes + 3])) return 0;
    plain_comma |= plain || rest[0] == ' ';
    return bytes;
  }

  void Number() {
    const size_t start = out_.store.size();
    if (Peek() == '.') out_.store += '0';
    size_t length = 0;
    while (IsDigit(Peek(length))) ++length;
    absl::StrAppend(&out_.store, text_.substr(at_, length));
    const bool short_first = length >= 1 && length <= 3 && Peek() != '0';
    bool plain_comma = false;
    for (size_t bytes; (bytes = Separator(length, short_first, plain_comma)) > 0; length += bytes + 3)
      absl::StrAppend(&out_.store, text_.substr(at_ + length + bytes, 3));
    const bool comma = Peek(length) == ',' && IsDigit(Peek(length + 1));
    out_.decimal_comma |= comma;
    if ((Peek(length) == '.' && IsDigit(Peek(length + 1))) || (comma && comma_ == CommaMeaning::kDecimal)) {
      out_.store += '.';
      for (++length; IsDigit(Peek(length)); ++length) out_.store += Peek(length);
    } else if (Peek(length) == '.') {
      ++length;  // the sentence's
    }
    at_ += length;
    const absl::string_view digits = absl::string_view(out_.store).substr(start);
    if (Exponent(digits)) return;
    Emit(TokenKind::kNumber, 0, digits);
    out_.all.back().ambiguous = plain_comma;
    out_.ambiguous |= plain_comma;
    for (const char* suffix : {"st", "nd", "rd", "th"})
      if (absl::StartsWith(text_.substr(at_), suffix) && !IsLetter(Peek(2))) at_ += 2;
  }

  // 1.5e-7 becomes {1.5 * 10 ^ {- 7}}.
  bool Exponent(absl::string_view digits) {
    if (Peek() != 'e' && Peek() != 'E') return false;
    const bool sign = Peek(1) == '-' || Peek(1) == '+';
    size_t length = sign ? 2 : 1;
    const size_t first = length;
    while (IsDigit(Peek(length))) ++length;
    if (length == first || length > first + 6 || IsLetter(Peek(length))) return false;
    EmitSymbol('{');
    Emit(TokenKind::kNumber, 0, digits);
    EmitSymbol('*');
    Emit(TokenKind::kNumber, 0, "10");
    EmitSymbol('^');
    EmitSymbol('{');
    if (Peek(1) == '-') EmitSymbol('-');
    Emit(TokenKind::kNumber, 0, text_.substr(at_ + first, length - first));
    EmitSymbol('}');
    EmitSymbol('}');
    at_ += length;
    return true;
  }

  void Letters() {
    size_t length = 1;
    while (IsLetter(Peek(length))) ++length;
    const absl::string_view run = text_.substr(at_, length);
    at_ += length;
    if (length == 1) return Single(run);
    if (length > 24 || EmitKnown(run)) return length > 24 ? EmitWord(run) : void();
    if (length >= 4 || InText()) return EmitWord(run);
    for (size_t letter = 0; letter < length; ++letter) EmitLetter(run.substr(letter, 1));
  }

  bool EmitKnown(absl::string_view run) {
    Meaning meaning = MeaningOfWord(run);
    const bool name =
        !InText() && run.size() == 2 && absl::ascii_isupper(run[0]) && absl::ascii_isupper(run[1]);  // the side NO
    if (meaning.kind == Meaning::Kind::kUnknown && !name) meaning = MeaningOfWord(absl::AsciiStrToLower(run));
    if (InText() && meaning.kind == Meaning::Kind::kToken && meaning.token == TokenKind::kLetter) return false;
    if (meaning.kind != Meaning::Kind::kUnknown) return EmitMeaning(meaning);
    for (const absl::string_view prefix : {"sqrt", "sin", "cos", "tan", "log", "ln", "pi"}) {
      if (InText() || !absl::StartsWith(run, prefix) || run.size() > prefix.size() + 2) continue;
      EmitMeaning(MeaningOfWord(prefix));
      for (size_t letter = prefix.size(); letter < run.size(); ++letter) EmitLetter(run.substr(letter, 1));
      return true;
    }
    return false;
  }

  // In a text a small letter behind a number is a unit, any other letter is a name.
  void Single(absl::string_view letter) {
    const Token last = out_.all.empty() ? Token() : out_.all.back();
    const bool behind = last.kind == TokenKind::kNumber || last.code == '}' || last.code == '/';
    if (InText() && behind) return EmitWord(letter);
    if (InText() && (letter == "a" || letter == "A") && Peek() == ' ') return EmitWord(letter);
    EmitLetter(letter);
  }

  void Backslash() {
    ++at_;
    if (at_ == text_.size()) return;
    if (Peek() == '\\') {
      ++at_;
      if (environments_ == 0 && IsLetter(Peek())) return Command();  // escaped twice
      return EmitSymbol(kNewRow);
    }
    if (IsLetter(Peek())) return Command();
    const Meaning meaning = MeaningOfCommand(text_.substr(at_, 1));
    ++at_;
    EmitMeaning(meaning);
  }

  void Command() {
    size_t length = 1;
    while (IsLetter(Peek(length))) ++length;
    const absl::string_view name = text_.substr(at_, length);
    at_ += length;
    if (name == "begin" || name == "end") return Environment(name);
    const Meaning meaning = MeaningOfCommand(name);
    if (meaning.kind == Meaning::Kind::kText) return Text(name);
    if (!EmitMeaning(meaning) && !Glued(name)) EmitWord(name);
    if ((name == "left" || name == "right") && Peek() == '.') ++at_;  // an invisible bracket
  }

  // \quadx, \cdotx: a command and the letters that a blank should have kept apart.
  bool Glued(absl::string_view name) {
    for (const absl::string_view prefix : {"qquad", "quad", "cdot", "times", "pi"}) {
      if (!absl::StartsWith(name, prefix) || name.size() > prefix.size() + 2) continue;
      EmitMeaning(MeaningOfCommand(prefix));
      for (size_t letter = prefix.size(); letter < name.size(); ++letter) EmitLetter(name.substr(letter, 1));
      return true;
    }
    return false;
  }

  // The text between braces, or one character; at_ moves behind it.
  absl::string_view Argument() {
    while (Peek() == ' ') ++at_;
    if (Peek() != '{') {
      const absl::string_view one = text_.substr(at_, at_ < text_.size() ? 1 : 0);
      at_ += one.size();
      return one;
    }
    const size_t start = ++at_;
    for (int open = 1; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
        continue;
      }
      open += (text_[at_] == '{') - (text_[at_] == '}');
      if (open == 0) break;
    }
    const absl::string_view inside = text_.substr(start, std::min(at_, text_.size()) - start);
    at_ = std::min(at_ + 1, text_.size());
    return inside;
  }

  void Environment(absl::string_view begin_or_end) {
    const bool begin = begin_or_end == "begin";
    const absl::string_view name = Argument();
    environments_ += begin ? 1 : environments_ > 0 ? -1 : 0;
    if (begin && (name == "array" || name == "tabular") && Peek() == '{') Argument();  // the columns
    Emit(begin ? TokenKind::kBegin : TokenKind::kEnd, 0, name);
  }

  void Text(absl::string_view command) {
    const absl::string_view inside = absl::StripAsciiWhitespace(Argument());
    space_ = true;
    if (command == "mathbb" || command == "Bbb") {
      if (inside == "R") return Emit(TokenKind::kConstant, 'R');
      return EmitWord(inside.substr(0, 64));
    }
    if (depth_ >= kMaxTextDepth) return EmitWord(inside.substr(0, 64));
    const bool math_letter = inside.size() == 1 && command != "text";
    if (math_letter && (inside == "e" || inside == "i")) return Emit(TokenKind::kConstant, inside[0]);
    // \mathbf{x + 1} and the like are formulas, \text{...} and a roman word are text.
    const bool is_text = absl::StartsWith(command, "text") || command == "mbox" || command == "hbox" ||
                         command == "mathrm" || command == "operatorname";
    Run(inside, is_text ? depth_ + 1 : depth_);
    space_ = true;
  }

  void Beyond() {
    size_t bytes = 1;
    const Meaning meaning = MeaningOfCharacter(text_, at_, bytes);
    if (meaning.token == TokenKind::kSymbol && meaning.code == '^') return Superscript();
    const absl::string_view character = text_.substr(at_, bytes);
    at_ += bytes;
    if (!EmitMeaning(meaning)) EmitWord(character);
  }

  // x²³ becomes x ^ {23}.
  void Superscript() {
    EmitSymbol('^');
    EmitSymbol('{');
    const size_t start = out_.store.size();
    size_t bytes = 1;
    for (Meaning meaning; at_ < text_.size() && static_cast<unsigned char>(Peek()) >= 0x80; at_ += bytes) {
      meaning = MeaningOfCharacter(text_, at_, bytes);
      if (meaning.token != TokenKind::kSymbol || meaning.code != '^') break;
      if (meaning.text == "-") {
        EmitSymbol('-');
      } else {
        absl::StrAppend(&out_.store, meaning.text);
      }
    }
    Emit(TokenKind::kNumber, 0, absl::string_view(out_.store).substr(start));
    EmitSymbol('}');
  }

  void Mark(char c) {
    const char next = Peek(1);
    size_t length = 1;
    if (c == '$' || c == '`' || c == '"' || c == '#' || c == '.' || c == '?') {
      // Carries no value.
    } else if (c == '~') {
      space_ = true;
    } else if (c == '*' && next == '*') {
      length = 2;
      EmitSymbol('^');
    } else if (c == '+' && next == '/' && Peek(2) == '-') {
      length = 3;
      EmitSymbol(kPlusMinus);
    } else if (c == '<' || c == '>' || c == '=' || (c == '!' && next == '=' && space_)) {
      length = next == '=' ? 2 : 1;
      Emit(TokenKind::kRelation, c == '<' && length == 2 ? 'l' : c == '>' && length == 2 ? 'g' : c);
    } else if (c == ':' && next == '=') {
      length = 2;
      Emit(TokenKind::kRelation, '=');
    } else {
      EmitSymbol(c);
    }
    at_ += length;
  }

  CommaMeaning comma_;
  Tokens& out_;
  absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;  // of \text
  int environments_ = 0;
  bool space_ = false;
};

}  // namespace

void Tokenize(absl::string_view text, CommaMeaning comma, Tokens& out) {
  out.all.clear();
  out.store.clear();
  out.trouble.clear();
  out.ambiguous = false;
  out.decimal_comma = false;
  if (text.size() > kMaxAnswerBytes) {
    out.trouble = absl::StrCat(text.size(), " bytes, more than the ", kMaxAnswerBytes, " that are read");
    return;
  }
  out.store.reserve(2 * text.size() + 16);  // each byte is stored at most once, and a leading point adds a 0
  out.all.reserve(text.size() / 2 + 8);
  Lexer(comma, out).Run(text, 0);
  if (out.all.size() >= kMaxTokens) {
    out.all.clear();
    out.trouble = absl::StrCat("more than ", kMaxTokens, " symbols");
  }
}

}  // namespace hone::math
