#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/tokenizer_fields.h"
#include "engine/tokenizer_steps.h"
#include "engine/tokenizer_unicode.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr int kMostDepth = 8;  // of a Sequence in a Sequence

// GPT-2's words: an English contraction, letters, digits, or other signs, each with the space in front; or white space, of which the
// last character goes with what follows.
constexpr char kGpt2Words[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// What becomes of a match: left out, a part of its own, the end of the part before it, the start of the part behind it, or one part with
// the matches beside it.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Part {
  TextRange range;
  bool match = false;
};

// `matches` and what lies between them, none empty, in `text_size` bytes.
std::vector<Part> AllParts(const std::vector<TextRange>& matches, size_t text_size) {
  std::vector<Part> parts;
  parts.reserve(matches.size() + 1);
  size_t at = 0;
  for (const TextRange& match : matches) {
    if (at != match.begin) parts.push_back({{at, match.begin}, false});
    parts.push_back({match, true});
    at = match.end;
  }
  if (at != text_size) parts.push_back({{at, text_size}, false});
  return parts;
}

// Joins each part to the one before it in the order given where `joins(part, match before)`.
template <typename Joins>
std::vector<Part> Joined(const std::vector<Part>& parts, Joins joins) {
  std::vector<Part> joined;
  bool match_before = false;
  for (const Part& part : parts) {
    if (!joined.empty() && joins(part.match, match_before)) {
      TextRange& last = joined.back().range;
      last = {std::min(last.begin, part.range.begin), std::max(last.end, part.range.end)};
    } else {
      joined.push_back(part);
    }
    match_before = part.match;
  }
  return joined;
}

std::vector<Part> Behave(std::vector<Part> parts, Behavior behavior) {
  const auto new_match = [](bool match, bool match_before) { return match && !match_before; };
  switch (behavior) {
    case Behavior::kIsolated:
      break;
    case Behavior::kRemoved:
      parts.erase(std::remove_if(parts.begin(), parts.end(), [](const Part& part) { return part.match; }), parts.end());
      break;
    case Behavior::kContiguous:
      return Joined(parts, [](bool match, bool match_before) { return match == match_before; });
    case Behavior::kMergedWithPrevious:
      return Joined(parts, new_match);
    case Behavior::kMergedWithNext:
      std::reverse(parts.begin(), parts.end());
      parts = Joined(parts, new_match);
      std::reverse(parts.begin(), parts.end());
      break;
  }
  return parts;
}

// Cuts every word at what `find(word, matches)` finds.
template <typename Find>
absl::Status CutWords(Words& words, Behavior behavior, bool invert, Find find) {
  std::vector<TextRange> cut, matches;
  for (const TextRange& word : words.parts) {
    const auto text = absl::string_view(words.text).substr(word.begin, word.end - word.begin);
    HONE_RETURN_IF_ERROR(find(text, matches));
    std::vector<Part> parts = AllParts(matches, text.size());
    for (Part& part : parts) part.match ^= invert;
    for (const Part& part : Behave(std::move(parts), behavior)) {
      if (part.range.begin < part.range.end)
        cut.push_back({word.begin + part.range.begin, word.begin + part.range.end});
    }
  }
  words.parts = std::move(cut);
  return absl::OkStatus();
}

// Rewrites every word: `append(word, place in words.parts, out)` puts the new one at the end of `out`.
template <typename Append>
void RewriteWords(Words& words, Append append) {
  std::string text;
  text.reserve(words.text.size() + words.text.size() / 4 + 8);
  for (size_t index = 0; index < words.parts.size(); ++index) {
    TextRange& word = words.parts[index];
    const size_t begin = text.size();
    append(absl::string_view(words.text).substr(word.begin, word.end - word.begin), index, text);
    word = {begin, text.size()};
  }
  words.text = std::move(text);
}

class SplitPreTokenizer : public PreTokenizer {
 public:
  SplitPreTokenizer(std::unique_ptr<TextPattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  absl::Status Apply(Words& words) const override {
    return CutWords(words, behavior_, invert_, [&](absl::string_view word, std::vector<TextRange>& matches) {
      return pattern_->FindAll(word, matches);
    });
  }

 private:
  std::unique_ptr<TextPattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

class DigitsPreTokenizer : public PreTokenizer {
 public:
  explicit DigitsPreTokenizer(Behavior behavior) : behavior_(behavior) {}

  absl::Status Apply(Words& words) const override {
    return CutWords(words, behavior_, false, [](absl::string_view word, std::vector<TextRange>& matches) {
      matches.clear();
      for (size_t at = 0; at < word.size();) {
        const size_t bytes = ReadUtf8(word, at).bytes;
        if (IsNumeric(FirstCharacter(word.substr(at)))) matches.push_back({at, at + bytes});
        at += bytes;
      }
      return absl::OkStatus();
    });
  }

 private:
  Behavior behavior_;
};

class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  // `words` may be null: the words stay as they are.
  ByteLevelPreTokenizer(bool add_prefix_space, std::unique_ptr<TextPattern> words)
      : add_prefix_space_(add_prefix_space), words_(std::move(words)) {}

  absl::Status Apply(Words& words) const override {
    if (add_prefix_space_) {
      RewriteWords(words, [](absl::string_view word, size_t, std::string& out) {
        if (word.front() != ' ') out += ' ';
        out.append(word.data(), word.size());
      });
    }
    if (words_ != nullptr) {
      HONE_RETURN_IF_ERROR(CutWords(
          words, Behavior::kIsolated, false,
          [&](absl::string_view word, std::vector<TextRange>& matches) { return words_->FindAll(word, matches); }));
    }
    RewriteWords(words, [](absl::string_view word, size_t, std::string& out) {
      for (const char byte : word) {
        const absl::string_view character = ByteCharacter(static_cast<unsigned char>(byte));
        out.append(character.data(), character.size());
      }
    });
    return absl::OkStatus();
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<TextPattern> words_;
};

// A space becomes a visible character, which begins a word.
class MetaspacePreTokenizer : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };

  MetaspacePreTokenizer(std::string replacement, Prepend prepend, std::unique_ptr<TextPattern> cut)
      : replacement_(std::move(replacement)), prepend_(prepend), cut_(std::move(cut)) {}

  absl::Status Apply(Words& words) const override {
    RewriteWords(words, [&](absl::string_view word, size_t index, std::string& out) {
      const bool wanted =
          prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && index == 0 && words.begins_input);
      const bool there = word.front() == ' ' || word.substr(0, replacement_.size()) == replacement_;
      if (wanted && !there) out += replacement_;
      for (const char byte : word) {
        if (byte == ' ') {
          out += replacement_;
        } else {
          out += byte;
        }
      }
    });
    if (cut_ == nullptr) return absl::OkStatus();
    return CutWords(
        words, Behavior::kMergedWithNext, false,
        [&](absl::string_view word, std::vector<TextRange>& matches) { return cut_->FindAll(word, matches); });
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  std::unique_ptr<TextPattern> cut_;
};

class SequencePreTokenizer : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}

  absl::Status Apply(Words& words) const override {
    for (const auto& step : steps_) HONE_RETURN_IF_ERROR(step->Apply(words));
    return absl::OkStatus();
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

using Built = absl::StatusOr<std::unique_ptr<PreTokenizer>>;

Built NewSplit(const Json& json) {
  constexpr std::pair<absl::string_view, Behavior> kBehaviors[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous}};
  HONE_ASSIGN_OR_RETURN(auto pattern, NewTextPattern(json.contains("pattern") ? json["pattern"].dump() : ""));
  HONE_ASSIGN_OR_RETURN(const std::string behavior, TextField(json, "behavior"));
  HONE_ASSIGN_OR_RETURN(const bool invert, FlagField(json, "invert"));
  for (const auto& [name, value] : kBehaviors) {
    if (behavior == name) return std::make_unique<SplitPreTokenizer>(std::move(pattern), value, invert);
  }
  return InputError("Split: behavior '", Visible(behavior, 60), "' is not known");
}

Built NewDigits(const Json& json) {
  HONE_ASSIGN_OR_RETURN(const bool individual, FlagField(json, "individual_digits"));
  return std::make_unique<DigitsPreTokenizer>(individual ? Behavior::kIsolated : Behavior::kContiguous);
}

Built NewByteLevel(const Json& json) {
  HONE_ASSIGN_OR_RETURN(const bool add_prefix_space, FlagField(json, "add_prefix_space"));
  HONE_ASSIGN_OR_RETURN(const bool use_regex, FlagField(json, "use_regex", true));
  std::unique_ptr<TextPattern> words;
  if (use_regex) {
    HONE_ASSIGN_OR_RETURN(words, NewTextPattern(Json{{"Regex", kGpt2Words}}.dump()));
  }
  return std::make_unique<ByteLevelPreTokenizer>(add_prefix_space, std::move(words));
}

Built NewMetaspace(const Json& json) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  HONE_ASSIGN_OR_RETURN(std::string replacement, TextField(json, "replacement"));
  if (replacement.empty() || ReadUtf8(replacement, 0).bytes != replacement.size())
    return InputError("Metaspace: replacement '", Visible(replacement, 60), "' is not one character");
  std::string scheme = "always";
  if (json.contains("prepend_scheme")) {
    HONE_ASSIGN_OR_RETURN(scheme, TextField(json, "prepend_scheme"));
  }
  HONE_ASSIGN_OR_RETURN(const bool prefix, FlagField(json, "add_prefix_space", true));
  if (!prefix) scheme = "never";
  if (scheme != "always" && scheme != "first" && scheme != "never")
    return InputError("Metaspace: prepend_scheme '", Visible(scheme, 60), "' is not known");
  HONE_ASSIGN_OR_RETURN(const bool split, FlagField(json, "split", true));
  std::unique_ptr<TextPattern> cut;
  if (split) {
    HONE_ASSIGN_OR_RETURN(cut, NewTextPattern(Json{{"String", replacement}}.dump()));
  }
  const Prepend prepend = scheme == "always" ? Prepend::kAlways : scheme == "first" ? Prepend::kFirst : Prepend::kNever;
  return std::make_unique<MetaspacePreTokenizer>(std::move(replacement), prepend, std::move(cut));
}

Built FromJson(const Json& json, int depth);

Built NewSequence(const Json& json, int depth) {
  if (depth >= kMostDepth) return InputError("has more than ", kMostDepth, " levels");
  const auto steps = json.find("pretokenizers");
  if (steps == json.end() || !steps->is_array()) return InputError("has no list 'pretokenizers'");
  std::vector<std::unique_ptr<PreTokenizer>> built;
  for (const Json& step : *steps) {
    HONE_ASSIGN_OR_RETURN(auto pre_tokenizer, FromJson(step, depth + 1));
    built.push_back(std::move(pre_tokenizer));
  }
  return std::make_unique<SequencePreTokenizer>(std::move(built));
}

Built FromJson(const Json& json, int depth) {
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  if (type == "Sequence") return NewSequence(json, depth);
  if (type == "Split") return NewSplit(json);
  if (type == "Digits") return NewDigits(json);
  if (type == "ByteLevel") return NewByteLevel(json);
  if (type == "Metaspace") return NewMetaspace(json);
  return InputError("'", Visible(type, 60),
                    "' is not supported; supported: ByteLevel, Digits, Metaspace, Sequence, Split");
}

}  // namespace

absl::StatusOr<std::unique_ptr<PreTokenizer>> NewPreTokenizer(const std::string& json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_null()) return std::unique_ptr<PreTokenizer>();
  auto pre_tokenizer = FromJson(parsed, 0);
  if (!pre_tokenizer.ok()) return About("pre_tokenizer", pre_tokenizer.status());
  return pre_tokenizer;
}

absl::string_view ByteCharacter(unsigned char byte) {
  struct Characters {
    char bytes[256][2];
    unsigned char sizes[256];

    Characters() {
      int next = 0x100;
      for (int value = 0; value < 256; ++value) {
        const bool printable = (value >= '!' && value <= '~') || (value >= 0xA1 && value <= 0xFF && value != 0xAD);
        const int character = printable ? value : next++;
        sizes[value] = character < 0x80 ? 1 : 2;
        bytes[value][0] = static_cast<char>(character < 0x80 ? character : 0xC0 | character >> 6);
        bytes[value][1] = static_cast<char>(0x80 | (character & 0x3F));
      }
    }
  };
  static const Characters characters;
  return {characters.bytes[byte], characters.sizes[byte]};
}

}  // namespace hone
