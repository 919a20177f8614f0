#include <nlohmann/json.hpp>
#include <utility>

#include "engine/tokenizer_fields.h"
#include "engine/tokenizer_steps.h"
#include "engine/tokenizer_unicode.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr int kMostDepth = 8;  // of a Sequence in a Sequence
// Of a rewritten text: a chain of a few hostile replacements would fill any memory.
constexpr size_t kMostBytes = size_t{1} << 28;

class TextSearch : public TextPattern {
 public:
  explicit TextSearch(std::string wanted) : wanted_(std::move(wanted)) {}

  absl::Status FindAll(absl::string_view text, std::vector<TextRange>& matches) const override {
    matches.clear();
    for (size_t at = 0; (at = text.find(wanted_, at)) != absl::string_view::npos; at += wanted_.size())
      matches.push_back({at, at + wanted_.size()});
    return absl::OkStatus();
  }

 private:
  std::string wanted_;
};

class RegexSearch : public TextPattern {
 public:
  explicit RegexSearch(std::unique_ptr<Regex> regex) : regex_(std::move(regex)) {}

  absl::Status FindAll(absl::string_view text, std::vector<TextRange>& matches) const override {
    return regex_->FindAll(text, matches);
  }

 private:
  std::unique_ptr<Regex> regex_;
};

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}

  absl::Status Apply(std::string& text) const override {
    text = Normalized(form_, text);
    return absl::OkStatus();
  }

 private:
  NormalForm form_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}

  absl::Status Apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return absl::OkStatus();
  }

 private:
  std::string prefix_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<TextPattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Apply(std::string& text) const override {
    std::vector<TextRange> matches;
    HONE_RETURN_IF_ERROR(pattern_->FindAll(text, matches));
    if (matches.size() * content_.size() + text.size() > kMostBytes)
      return InputError("normalizer: Replace makes more than ", kMostBytes, " bytes of a text");
    std::string replaced;
    size_t at = 0;
    for (const TextRange& match : matches) {
      replaced.append(text, at, match.begin - at).append(content_);
      at = match.end;
    }
    replaced.append(text, at, std::string::npos);
    text = std::move(replaced);
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<TextPattern> pattern_;
  std::string content_;
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}

  absl::Status Apply(std::string& text) const override {
    for (const auto& step : steps_) HONE_RETURN_IF_ERROR(step->Apply(text));
    return absl::OkStatus();
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

absl::StatusOr<std::unique_ptr<Normalizer>> FromJson(const Json& json, int depth);

absl::StatusOr<std::unique_ptr<Normalizer>> SequenceFromJson(const Json& json, int depth) {
  if (depth >= kMostDepth) return InputError("has more than ", kMostDepth, " levels");
  const auto steps = json.find("normalizers");
  if (steps == json.end() || !steps->is_array()) return InputError("has no list 'normalizers'");
  std::vector<std::unique_ptr<Normalizer>> built;
  for (const Json& step : *steps) {
    HONE_ASSIGN_OR_RETURN(auto normalizer, FromJson(step, depth + 1));
    built.push_back(std::move(normalizer));
  }
  return std::make_unique<SequenceNormalizer>(std::move(built));
}

absl::StatusOr<std::unique_ptr<Normalizer>> FromJson(const Json& json, int depth) {
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(json, "type"));
  constexpr std::pair<absl::string_view, NormalForm> kForms[] = {
      {"NFC", NormalForm::kNfc}, {"NFD", NormalForm::kNfd}, {"NFKC", NormalForm::kNfkc}, {"NFKD", NormalForm::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type == name) return std::make_unique<FormNormalizer>(form);
  }
  if (type == "Sequence") return SequenceFromJson(json, depth);
  if (type == "Prepend") {
    HONE_ASSIGN_OR_RETURN(std::string prefix, TextField(json, "prepend"));
    return std::make_unique<PrependNormalizer>(std::move(prefix));
  }
  if (type == "Replace") {
    HONE_ASSIGN_OR_RETURN(auto pattern, NewTextPattern(json.contains("pattern") ? json["pattern"].dump() : ""));
    HONE_ASSIGN_OR_RETURN(std::string content, TextField(json, "content"));
    return std::make_unique<ReplaceNormalizer>(std::move(pattern), std::move(content));
  }
  return InputError("'", Visible(type, 60),
                    "' is not supported; supported: NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TextPattern>> NewTextPattern(const std::string& json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_object() && parsed.contains("Regex")) {
    HONE_ASSIGN_OR_RETURN(const std::string pattern, TextField(parsed, "Regex"));
    auto regex = Regex::Compile(pattern);
    if (!regex.ok()) return About(absl::StrCat("pattern '", Visible(pattern, 100), "'"), regex.status());
    return std::make_unique<RegexSearch>(*std::move(regex));
  }
  if (!parsed.is_object() || !parsed.contains("String")) return InputError("has no 'pattern' with 'String' or 'Regex'");
  HONE_ASSIGN_OR_RETURN(std::string wanted, TextField(parsed, "String"));
  if (wanted.empty()) return InputError("'pattern' is an empty text");
  return std::make_unique<TextSearch>(std::move(wanted));
}

absl::StatusOr<std::unique_ptr<Normalizer>> NewNormalizer(const std::string& json) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_null()) return std::unique_ptr<Normalizer>();
  auto normalizer = FromJson(parsed, 0);
  if (!normalizer.ok()) return About("normalizer", normalizer.status());
  return normalizer;
}

}  // namespace hone
