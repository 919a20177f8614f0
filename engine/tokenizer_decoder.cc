#include "engine/tokenizer_decoder.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_replace.h"
#include "engine/tokenizer_fields.h"
#include "engine/tokenizer_steps.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostGrowth = 16;  // of a token's text

std::string Quoted(absl::string_view text) { return absl::StrCat("'", Visible(text, 60), "'"); }

// A decoder for vocabularies whose texts are not bytes: per token, texts are replaced; then bytes join.
struct TextDecoder {
  std::vector<std::pair<std::string, std::string>> replacements;
  bool byte_fallback = false;
  bool fuse = false;
  int leading_spaces = 0;
};

// The byte that each character of a byte-level vocabulary stands for; nothing for other characters.
std::optional<std::string> BytesOf(absl::string_view text) {
  static const auto bytes = [] {
    std::array<int, 0x200> table;
    table.fill(-1);
    for (int byte = 0; byte < 256; ++byte) {
      const absl::string_view character = ByteCharacter(static_cast<unsigned char>(byte));
      const auto part = [&](size_t at) { return static_cast<unsigned char>(character[at]); };
      table[character.size() == 1 ? part(0) : (part(0) & 0x1F) << 6 | (part(1) & 0x3F)] = byte;
    }
    return table;
  }();
  std::string decoded;
  for (size_t at = 0; at < text.size();) {
    const auto part = [&](size_t offset) { return static_cast<unsigned char>(text[at + offset]); };
    const size_t length = ReadUtf8(text, at).bytes;
    const int character = length == 1 ? part(0) : length == 2 ? (part(0) & 0x1F) << 6 | (part(1) & 0x3F) : 0x200;
    if (character >= 0x200 || bytes[character] < 0) return std::nullopt;
    decoded += static_cast<char>(bytes[character]);
    at += length;
  }
  return decoded;
}

// The byte of "<0x0A>".
std::optional<char> FallbackByte(absl::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char digit : text.substr(3, 2)) {
    const bool decimal = digit >= '0' && digit <= '9';
    const char lower = static_cast<char>(digit | 0x20);
    if (!decimal && !(lower >= 'a' && lower <= 'f')) return std::nullopt;
    value = value * 16 + (decimal ? digit - '0' : lower - 'a' + 10);
  }
  return static_cast<char>(value);
}

void Append(TokenTexts& texts, absl::string_view text, TokenTexts::Kind kind) {
  texts.texts.Append(text);
  texts.kinds.push_back(kind);
}

TokenTexts ByteLevelTexts(const std::vector<VocabularyEntry>& vocabulary) {
  TokenTexts texts;
  texts.bytes = TokenTexts::Bytes::kStream;
  for (const VocabularyEntry& entry : vocabulary) {
    if (entry.special || entry.text.empty()) {
      Append(texts, "", TokenTexts::Kind::kNothing);
    } else if (const auto bytes = BytesOf(entry.text)) {
      Append(texts, *bytes, TokenTexts::Kind::kText);
    } else {
      Append(texts, entry.text, TokenTexts::Kind::kText);
    }
  }
  return texts;
}

absl::StatusOr<TokenTexts> PlainTexts(const TextDecoder& decoder, const std::vector<VocabularyEntry>& vocabulary) {
  TokenTexts texts;
  texts.bytes = TokenTexts::Bytes::kRun;
  texts.leading_spaces = decoder.leading_spaces;
  for (const VocabularyEntry& entry : vocabulary) {
    if (entry.special || entry.text.empty()) {
      Append(texts, "", TokenTexts::Kind::kNothing);
      continue;
    }
    std::string text(entry.text);
    for (const auto& replacement : decoder.replacements) {
      absl::StrReplaceAll({replacement}, &text);
      // A chain of a few hostile replacements would fill any memory.
      if (text.size() > kMostGrowth * (entry.text.size() + 1))
        return InputError("Replace makes ", text.size(), " bytes of the token ", Quoted(entry.text));
    }
    const auto byte = decoder.byte_fallback ? FallbackByte(text) : std::nullopt;
    if (byte) {
      Append(texts, absl::string_view(&*byte, 1), TokenTexts::Kind::kByte);
    } else {
      Append(texts, text, TokenTexts::Kind::kText);
    }
  }
  return texts;
}

absl::Status AddReplacement(const Json& json, TextDecoder& decoder) {
  const auto pattern = json.find("pattern");
  if (pattern == json.end() || !pattern->is_object() || !pattern->contains("String"))
    return InputError("Replace: has no text 'pattern'; regular expressions are not supported here");
  HONE_ASSIGN_OR_RETURN(std::string wanted, TextField(*pattern, "String"));
  HONE_ASSIGN_OR_RETURN(std::string content, TextField(json, "content"));
  if (wanted.empty()) return InputError("Replace: 'pattern' is an empty text");
  decoder.replacements.emplace_back(std::move(wanted), std::move(content));
  return absl::OkStatus();
}

// Steps work on the outcome of those before them, so they come in this order: Replace, ByteFallback, Fuse, Strip.
absl::Status AddStep(const Json& json, TextDecoder& decoder) {
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  const bool bytes_joined = decoder.byte_fallback || decoder.fuse;
  if (type == "Replace" && !bytes_joined) return AddReplacement(json, decoder);
  if (type == "ByteFallback" && !bytes_joined) {
    decoder.byte_fallback = true;
    return absl::OkStatus();
  }
  if (type == "Fuse" && !decoder.fuse) {
    decoder.fuse = true;
    return absl::OkStatus();
  }
  if (type == "Strip" && decoder.fuse && decoder.leading_spaces == 0) {
    HONE_ASSIGN_OR_RETURN(const std::string content, TextField(json, "content"));
    const Json start = json.value("start", Json()), stop = json.value("stop", Json());
    if (content != " " || stop != 0 || !start.is_number_unsigned() || start > 1000)
      return InputError("Strip: only spaces at the start are supported");
    decoder.leading_spaces = start.get<int>();
    return absl::OkStatus();
  }
  return InputError(Quoted(type), " is not supported at its place; supported: ByteLevel, or a Sequence of Replace, ",
                    "ByteFallback, Fuse, Strip");
}

bool IsOfType(const Json& json, const char* type) {
  if (!json.is_object()) return false;
  const auto field = json.find("type");
  return field != json.end() && *field == type;
}

// ByteLevel, or a Sequence of nothing else. Copies nothing and does not call itself: the JSON may nest deep.
bool IsByteLevelDecoder(const Json& json) {
  if (!IsOfType(json, "Sequence")) return IsOfType(json, "ByteLevel");
  const auto steps = json.find("decoders");
  return steps != json.end() && steps->is_array() && steps->size() == 1 && IsOfType((*steps)[0], "ByteLevel");
}

absl::StatusOr<TokenTexts> FromJson(const Json& json, const std::vector<VocabularyEntry>& vocabulary) {
  if (IsByteLevelDecoder(json)) return ByteLevelTexts(vocabulary);
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  Json steps = Json::array({json});
  if (type == "Sequence") {
    steps = json.value("decoders", Json());
    if (!steps.is_array()) return InputError("has no list 'decoders'");
  }
  TextDecoder decoder;
  for (const Json& step : steps) HONE_RETURN_IF_ERROR(AddStep(step, decoder));
  return PlainTexts(decoder, vocabulary);
}

absl::StatusOr<TokenId> TemplateBeginToken(const Json& json) {
  const auto single = json.find("single");
  if (single == json.end() || !single->is_array()) return InputError("TemplateProcessing: has no list 'single'");
  std::string begin;
  bool text_seen = false;
  for (const Json& piece : *single) {
    if (piece.is_object() && piece.contains("Sequence") && !text_seen) {
      text_seen = true;
      continue;
    }
    if (!piece.is_object() || !piece.contains("SpecialToken") || text_seen || !begin.empty())
      return InputError("TemplateProcessing: only one token in front of a text is supported");
    HONE_ASSIGN_OR_RETURN(begin, TextField(piece["SpecialToken"], "id"));
  }
  if (begin.empty()) return -1;
  const Json special = json.value("special_tokens", Json());
  const Json token = special.is_object() ? special.value(begin, Json()) : Json();
  const Json ids = token.is_object() ? token.value("ids", Json()) : Json();
  if (!ids.is_array() || ids.size() != 1 || !ids[0].is_number_unsigned() || ids[0] > (1 << 30))
    return InputError("TemplateProcessing: 'special_tokens' gives ", Quoted(begin), " no single id");
  return ids[0].get<TokenId>();
}

absl::StatusOr<TokenId> BeginTokenOf(const Json& json) {
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  if (type == "ByteLevel") return -1;
  if (type == "TemplateProcessing") return TemplateBeginToken(json);
  return InputError(Quoted(type), " is not supported; supported: ByteLevel, TemplateProcessing, a Sequence of them");
}

absl::StatusOr<TokenId> BeginTokenOfSteps(const Json& json) {
  if (json.is_null()) return -1;
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  if (type != "Sequence") return BeginTokenOf(json);
  const Json steps = json.value("processors", Json());
  if (!steps.is_array()) return InputError("has no list 'processors'");
  TokenId begin = -1;
  for (const Json& step : steps) {
    HONE_ASSIGN_OR_RETURN(const TokenId token, BeginTokenOf(step));
    if (token >= 0 && begin >= 0) return InputError("puts more than one token in front of a text");
    begin = std::max(begin, token);
  }
  return begin;
}

}  // namespace

bool IsByteLevel(const std::string& tokenizer_json) {
  const Json json = Json::parse(tokenizer_json, nullptr, false);
  if (!json.is_object()) return false;
  const auto decoder = json.find("decoder");
  return decoder != json.end() && IsByteLevelDecoder(*decoder);
}

absl::StatusOr<TokenTexts> NewTokenTexts(const std::string& json, const std::vector<VocabularyEntry>& vocabulary) {
  auto texts = FromJson(Json::parse(json, nullptr, false), vocabulary);
  if (!texts.ok()) return About("decoder", texts.status());
  return texts;
}

absl::StatusOr<TokenId> ReadBeginToken(const std::string& json) {
  auto token = BeginTokenOfSteps(Json::parse(json, nullptr, false));
  if (!token.ok()) return About("post_processor", token.status());
  return token;
}

}  // namespace hone
