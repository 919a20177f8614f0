#include "engine/base/text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace hone {
namespace {

// Bytes of the character that begins at `at`, or 0 when it is not well-formed.
size_t CharacterLength(absl::string_view text, size_t at) {
  const Utf8Step step = ReadUtf8(text, at);
  return step.kind == Utf8Step::Kind::kCharacter ? step.bytes : 0;
}

std::string Escaped(unsigned char byte) {
  if (byte == '\n') return "\\n";
  if (byte == '\r') return "\\r";
  if (byte == '\t') return "\\t";
  return absl::StrCat("\\x", absl::Hex(byte, absl::kZeroPad2));
}

// Controls of C0 and C1, and the separators that some terminals and readers take for a line end.
bool IsControl(absl::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  if (character.size() == 2) return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  return character == "\u2028" || character == "\u2029";
}

}  // namespace

Utf8Step ReadUtf8(absl::string_view text, size_t at) {
  const auto byte = [&](size_t index) { return static_cast<unsigned char>(text[at + index]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {Utf8Step::Kind::kCharacter, 1};
  if (first < 0xC2 || first > 0xF4) return {Utf8Step::Kind::kWrong, 1};
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  // The second byte's range leaves out overlong forms, surrogates, and what lies above U+10FFFF.
  unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (size_t index = 1; index < length; ++index, low = 0x80, high = 0xBF) {
    if (at + index >= text.size()) return {Utf8Step::Kind::kCut, index};
    if (byte(index) < low || byte(index) > high) return {Utf8Step::Kind::kWrong, index};
  }
  return {Utf8Step::Kind::kCharacter, length};
}

std::optional<size_t> FindInvalidUtf8(absl::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = CharacterLength(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

std::string Visible(absl::string_view text, size_t max_bytes) {
  // What lies in the middle of a huge text is never shown: only its ends are looked at.
  std::string cut;
  if (text.size() > 8 * max_bytes) {
    cut = absl::StrCat(text.substr(0, 4 * max_bytes), text.substr(text.size() - 4 * max_bytes));
    text = cut;
  }
  std::vector<std::string> pieces;
  size_t total = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(CharacterLength(text, at), 1);
    const absl::string_view character = text.substr(at, length);
    const bool plain = CharacterLength(text, at) != 0 && !IsControl(character);
    pieces.emplace_back();
    for (const char byte : character) {
      pieces.back() += plain ? std::string(1, byte) : Escaped(static_cast<unsigned char>(byte));
    }
    total += pieces.back().size();
    at += length;
  }

  constexpr absl::string_view kGap = "...";
  std::string head, tail;
  size_t first = 0, last = pieces.size();
  const bool fits = total <= max_bytes && cut.empty();
  const size_t head_limit = fits ? max_bytes : (max_bytes - kGap.size() + 1) / 2;
  while (first < last && head.size() + pieces[first].size() <= head_limit) head += pieces[first++];
  if (fits) return head;
  while (first < last && head.size() + kGap.size() + tail.size() + pieces[last - 1].size() <= max_bytes) {
    tail.insert(0, pieces[--last]);
  }
  return absl::StrCat(head, kGap, tail);
}

bool NestsTooDeep(absl::string_view json) {
  int depth = 0;
  bool in_text = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (in_text) {
      if (c == '\\') ++at;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace hone
