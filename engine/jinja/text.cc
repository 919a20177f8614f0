#include "engine/jinja/text.h"

#include <locale.h>
#include <wctype.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace hone::jinja {
namespace {

// Unicode's simple case mappings and classes, from glibc. The locale is part of glibc itself since 2.35.
locale_t Unicode() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

bool IsCased(char32_t c) { return IsUpperChar(c) || IsLowerChar(c); }

// Letters that change into several, or by what stands around them; their simple mapping would be wrong.
bool HasSpecialLower(char32_t c) { return c == 0x130 || c == 0x3a3; }
bool HasSpecialUpper(char32_t c) {
  return c == 0x149 || c == 0x1f0 || c == 0x390 || c == 0x3b0 || c == 0x587 || (c >= 0x1c4 && c <= 0x1cc) ||
         (c >= 0x1f1 && c <= 0x1f3) || (c >= 0x10d0 && c <= 0x10ff) || (c >= 0x1e96 && c <= 0x1e9a) ||
         (c >= 0x1f50 && c <= 0x1fff) || (c >= 0xfb00 && c <= 0xfb17);
}

bool IsPrintable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  const bool separator = c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
                         c == 0x202f || c == 0x205f || c == 0x3000;
  const bool format = c == 0xad || (c >= 0x600 && c <= 0x605) || c == 0x61c || c == 0x6dd || c == 0x70f || c == 0x890 ||
                      c == 0x891 || c == 0x8e2 || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
                      (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
                      (c >= 0xfff9 && c <= 0xfffb) || c == 0x110bd || c == 0x110cd || (c >= 0x13430 && c <= 0x1343f) ||
                      (c >= 0x1bca0 && c <= 0x1bca3) || (c >= 0x1d173 && c <= 0x1d17a) ||
                      (c >= 0xe0000 && c <= 0xe007f);
  const bool private_use = (c >= 0xe000 && c <= 0xf8ff) || c >= 0xf0000;
  return !separator && !format && !private_use && iswprint_l(c, Unicode());
}

bool Contains(absl::string_view set, char32_t wanted) {
  for (; !set.empty(); set.remove_prefix(CharBytes(set))) {
    if (FirstChar(set) == wanted) return true;
  }
  return false;
}

absl::string_view LastCharOf(absl::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (text[begin] & 0xc0) == 0x80) --begin;
  return text.substr(begin);
}

}  // namespace

size_t CharBytes(absl::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return std::min(bytes, text.size());
}

char32_t FirstChar(absl::string_view text) {
  const size_t bytes = CharBytes(text);
  if (bytes == 1) return static_cast<unsigned char>(text[0]);
  char32_t character = text[0] & (0xff >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) character = character << 6 | (text[i] & 0x3f);
  return character;
}

void AppendChar(char32_t c, std::string& text) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  text += static_cast<char>((0xff00 >> (more + 1) & 0xff) | c >> (6 * more));
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f));
}

int64_t CountChars(absl::string_view text) {
  int64_t count = 0;
  for (const char byte : text) count += (byte & 0xc0) != 0x80;
  return count;
}

size_t CharOffset(absl::string_view text, int64_t count) {
  size_t offset = 0;
  for (; count > 0 && offset < text.size(); --count) offset += CharBytes(text.substr(offset));
  return offset;
}

std::vector<char32_t> ToChars(absl::string_view text) {
  std::vector<char32_t> characters;
  for (; !text.empty(); text.remove_prefix(CharBytes(text))) characters.push_back(FirstChar(text));
  return characters;
}

bool IsSpace(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

absl::string_view Strip(absl::string_view text, std::optional<absl::string_view> set, Side side) {
  const auto goes = [&](char32_t c) { return set ? Contains(*set, c) : IsSpace(c); };
  while (side != Side::kRight && !text.empty() && goes(FirstChar(text))) text.remove_prefix(CharBytes(text));
  while (side != Side::kLeft && !text.empty() && goes(FirstChar(LastCharOf(text))))
    text.remove_suffix(LastCharOf(text).size());
  return text;
}

absl::StatusOr<std::string> Recase(absl::string_view text, Case wanted) {
  std::string out;
  bool begins = true;  // the text (kCapitalize) or a run of letters (kTitle)
  for (; !text.empty(); text.remove_prefix(CharBytes(text))) {
    const char32_t c = FirstChar(text);
    const bool up = wanted == Case::kUpper || (wanted != Case::kLower && begins);
    if (up ? HasSpecialUpper(c) : HasSpecialLower(c))
      return InputError("changing the case of '", text.substr(0, CharBytes(text)), "' is not supported");
    if (c == 0xdf && up) {
      out += wanted == Case::kUpper ? "SS" : "Ss";  // German sharp s
    } else {
      AppendChar(up ? towupper_l(c, Unicode()) : towlower_l(c, Unicode()), out);
    }
    begins = wanted == Case::kTitle && !IsCased(c);
  }
  return out;
}

absl::StatusOr<std::string> TitleWords(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto ends_word = [](char32_t c) {
      return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    };
    size_t end = 0;
    while (end < text.size() && !ends_word(FirstChar(text.substr(end)))) end += CharBytes(text.substr(end));
    HONE_ASSIGN_OR_RETURN(const std::string word, Recase(text.substr(0, end), Case::kCapitalize));
    out += word;
    while (end < text.size() && ends_word(FirstChar(text.substr(end)))) {
      absl::StrAppend(&out, text.substr(end, CharBytes(text.substr(end))));
      end += CharBytes(text.substr(end));
    }
    text.remove_prefix(end);
  }
  return out;
}

bool IsUpperChar(char32_t c) { return iswupper_l(c, Unicode()); }
bool IsLowerChar(char32_t c) { return iswlower_l(c, Unicode()); }
bool IsAlphaChar(char32_t c) { return iswalpha_l(c, Unicode()) && !(c >= '0' && c <= '9'); }

std::string QuotedText(absl::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (; !text.empty(); text.remove_prefix(CharBytes(text))) {
    const char32_t c = FirstChar(text);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (IsPrintable(c)) {
      absl::StrAppend(&out, text.substr(0, CharBytes(text)));
    } else {
      const uint32_t code = c;
      absl::StrAppend(&out, code < 0x100     ? absl::StrFormat("\\x%02x", code)
                            : code < 0x10000 ? absl::StrFormat("\\u%04x", code)
                                             : absl::StrFormat("\\U%08x", code));
    }
  }
  return out + quote;
}

std::string JsonQuoted(absl::string_view text, bool ascii) {
  static constexpr char kShort[] = "\b\f\n\r\t\"\\", kLetters[] = "bfnrt\"\\";
  std::string out = "\"";
  for (; !text.empty(); text.remove_prefix(CharBytes(text))) {
    const uint32_t c = FirstChar(text);
    const char* place = c != 0 && c < 0x80 ? std::char_traits<char>::find(kShort, 7, static_cast<char>(c)) : nullptr;
    if (place != nullptr) {
      out += '\\';
      out += kLetters[place - kShort];
    } else if (c >= 0x10000 && ascii) {
      absl::StrAppendFormat(&out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
    } else if (c < 0x20 || (ascii && c >= 0x7f)) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      absl::StrAppend(&out, text.substr(0, CharBytes(text)));
    }
  }
  return out + '"';
}

std::string EscapedMarkup(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}});
}

}  // namespace hone::jinja
