// tokenizer.json of Hugging Face's tokenizers, for byte-pair models (https://huggingface.co/docs/tokenizers/pipeline).
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/text.h"
#include "engine/tokenizer.h"
#include "engine/tokenizer_added.h"
#include "engine/tokenizer_bpe.h"
#include "engine/tokenizer_decoder.h"
#include "engine/tokenizer_fields.h"
#include "engine/tokenizer_steps.h"

namespace hone {
namespace {

using Json = nlohmann::json;

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kSpecialTokensFile[] = "special_tokens_map.json";

std::string Quoted(absl::string_view text) { return absl::StrCat("'", Visible(text, 60), "'"); }

// The parts of a tokenizer, each null where it has none.
struct Parts {
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<BpeModel> model;
  std::vector<AddedToken> added;
  TokenTexts texts;
  TokenId begin_token = -1;
  TokenId end_token = -1;
};

class HuggingFaceTokenizer : public Tokenizer {
 public:
  HuggingFaceTokenizer(Parts parts, FilesByName files) : Tokenizer(std::move(files)), parts_(std::move(parts)) {}

  // The second half of construction, because a normalizer can fail.
  absl::Status FindAddedTokens(bool special_tokens_are_text) {
    for (const AddedToken& token : parts_.added) {
      added_texts_[token.id] = token.content;
      if (special_tokens_are_text && token.special) continue;
      std::string pattern = token.content;
      if (token.normalized && parts_.normalizer != nullptr) HONE_RETURN_IF_ERROR(parts_.normalizer->Apply(pattern));
      if (!pattern.empty()) (token.normalized ? in_normalized_ : in_input_).Add(pattern, token);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text) const override {
    if (const auto offset = FindInvalidUtf8(text)) {
      return InputError("text is not UTF-8: byte 0x",
                        absl::Hex(static_cast<unsigned char>(text[*offset]), absl::kZeroPad2), " at offset ", *offset);
    }
    std::vector<TokenId> tokens;
    std::vector<AddedTokenFinder::Part> parts;
    in_input_.Cut(text, parts);
    for (const auto& [range, token] : parts) {
      if (token >= 0) {
        tokens.push_back(token);
      } else {
        std::string part(text.substr(range.begin, range.end - range.begin));
        HONE_RETURN_IF_ERROR(EncodePart(std::move(part), range.begin == 0, tokens));
      }
    }
    return tokens;
  }

  absl::StatusOr<std::string> Decode(const std::vector<TokenId>& tokens) const override {
    std::string text;
    StreamDecoder decoder(parts_.texts);
    for (const TokenId token : tokens) {
      if (token < 0) return InputError("token ", token, " is negative");
      decoder.Push(token, text);
    }
    decoder.Finish(text);
    return text;
  }

  const TokenTexts& texts() const override { return parts_.texts; }

  absl::string_view TokenText(TokenId token) const override {
    if (const auto added = added_texts_.find(token); added != added_texts_.end()) return added->second;
    const bool known = token >= 0 && static_cast<size_t>(token) < parts_.model->texts().size();
    return known ? parts_.model->texts()[token] : absl::string_view();
  }

  int32_t vocabulary_size() const override { return static_cast<int32_t>(parts_.texts.texts.size()); }
  TokenId begin_token() const override { return parts_.begin_token; }
  TokenId end_token() const override { return parts_.end_token; }
  TokenId unknown_token() const override { return parts_.model->unknown_token(); }

 private:
  // `text` holds none of the tokens that are looked for in the input.
  absl::Status EncodePart(std::string text, bool begins_input, std::vector<TokenId>& tokens) const {
    if (parts_.normalizer != nullptr) HONE_RETURN_IF_ERROR(parts_.normalizer->Apply(text));
    if (in_normalized_.empty()) return EncodeWords(std::move(text), begins_input, tokens);
    std::vector<AddedTokenFinder::Part> parts;
    in_normalized_.Cut(text, parts);
    for (const auto& [range, token] : parts) {
      if (token >= 0) {
        tokens.push_back(token);
      } else {
        HONE_RETURN_IF_ERROR(
            EncodeWords(text.substr(range.begin, range.end - range.begin), begins_input && range.begin == 0, tokens));
      }
    }
    return absl::OkStatus();
  }

  absl::Status EncodeWords(std::string text, bool begins_input, std::vector<TokenId>& tokens) const {
    if (text.empty()) return absl::OkStatus();
    const TextRange whole = {0, text.size()};
    Words words{std::move(text), {whole}, begins_input};
    if (parts_.pre_tokenizer != nullptr) HONE_RETURN_IF_ERROR(parts_.pre_tokenizer->Apply(words));
    for (const TextRange& word : words.parts) {
      parts_.model->Encode(absl::string_view(words.text).substr(word.begin, word.end - word.begin), tokens);
    }
    return absl::OkStatus();
  }

  Parts parts_;
  AddedTokenFinder in_input_;
  AddedTokenFinder in_normalized_;
  std::map<TokenId, std::string> added_texts_;
};

// A merge is "left right" or ["left", "right"].
absl::StatusOr<std::vector<std::pair<absl::string_view, absl::string_view>>> ReadMerges(const Json& model) {
  const auto merges = model.find("merges");
  if (merges == model.end() || !merges->is_array()) return InputError("has no list 'merges'");
  std::vector<std::pair<absl::string_view, absl::string_view>> read;
  read.reserve(merges->size());
  for (const Json& merge : *merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      read.emplace_back(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>());
      continue;
    }
    if (merge.is_string()) {
      const absl::string_view text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != absl::string_view::npos && text.find(' ', space + 1) == absl::string_view::npos) {
        read.emplace_back(text.substr(0, space), text.substr(space + 1));
        continue;
      }
      if (text.substr(0, 8) == "#version") continue;
    }
    return InputError("merge ", read.size(), " is ", Quoted(merge.dump()), ", wanted two texts");
  }
  return read;
}

absl::StatusOr<std::unique_ptr<BpeModel>> ReadModel(const Json& model) {
  HONE_ASSIGN_OR_RETURN(const std::string type, TextField(model, "type"));
  if (type != "BPE") return InputError(Quoted(type), " is not supported; supported: BPE");
  if (const auto dropout = model.find("dropout"); dropout != model.end() && !dropout->is_null() && *dropout != 0)
    return InputError("'dropout' makes tokens a matter of chance, which is not supported; set it to null");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto affix = model.find(name);
    if (affix != model.end() && !affix->is_null() && *affix != "")
      return InputError("'", name, "' ", Quoted(affix->dump()), " is not supported");
  }
  BpeOptions options;
  if (const auto unknown = model.find("unk_token"); unknown != model.end() && !unknown->is_null()) {
    HONE_ASSIGN_OR_RETURN(options.unknown_token, TextField(model, "unk_token"));
  }
  HONE_ASSIGN_OR_RETURN(options.fuse_unknown, FlagField(model, "fuse_unk", false));
  HONE_ASSIGN_OR_RETURN(options.byte_fallback, FlagField(model, "byte_fallback", false));
  HONE_ASSIGN_OR_RETURN(options.ignore_merges, FlagField(model, "ignore_merges", false));

  const auto vocabulary = model.find("vocab");
  if (vocabulary == model.end() || !vocabulary->is_object()) return InputError("has no object 'vocab'");
  std::vector<std::pair<absl::string_view, int64_t>> tokens;
  tokens.reserve(vocabulary->size());
  for (const auto& [text, id] : vocabulary->get_ref<const Json::object_t&>()) {
    if (!id.is_number_unsigned())
      return InputError("token ", Quoted(text), " has id ", Quoted(id.dump()), ", wanted a number");
    tokens.emplace_back(text, static_cast<int64_t>(std::min<uint64_t>(id.get<uint64_t>(), uint64_t{1} << 62)));
  }
  HONE_ASSIGN_OR_RETURN(const auto merges, ReadMerges(model));
  return BpeModel::New(tokens, merges, options);
}

absl::StatusOr<AddedToken> ReadAddedToken(const Json& json) {
  AddedToken token;
  HONE_ASSIGN_OR_RETURN(token.content, TextField(json, "content"));
  const std::pair<const char*, bool*> flags[] = {{"single_word", &token.single_word},
                                                 {"lstrip", &token.lstrip},
                                                 {"rstrip", &token.rstrip},
                                                 {"normalized", &token.normalized},
                                                 {"special", &token.special}};
  for (const auto& [name, flag] : flags) {
    HONE_ASSIGN_OR_RETURN(*flag, FlagField(json, name));
  }
  const auto id = json.find("id");
  if (id == json.end() || !id->is_number_unsigned() || id->get<uint64_t>() >= kMostTokens)
    return InputError(Quoted(token.content), " has no id from 0 to ", kMostTokens - 1);
  token.id = static_cast<TokenId>(id->get<uint64_t>());
  return token;
}

// The tokenizers library takes ids from the vocabulary, or else numbers the tokens from its end on, whatever the file says. A file that
// says otherwise has two meanings.
absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const Json& tokenizer, const BpeModel& model) {
  const auto list = tokenizer.find("added_tokens");
  if (list == tokenizer.end() || list->is_null()) return std::vector<AddedToken>();
  if (!list->is_array()) return InputError("is no list");
  std::vector<AddedToken> tokens;
  std::map<std::string, size_t> places;
  auto next = static_cast<TokenId>(model.count());
  for (const Json& json : *list) {
    HONE_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(json));
    if (token.content.empty()) continue;
    TokenId id = model.Find(token.content);
    const auto [place, is_new] = places.try_emplace(token.content, tokens.size());
    if (id < 0) id = is_new ? next++ : tokens[place->second].id;
    if (token.id != id)
      return InputError(Quoted(token.content), " has id ", token.id, ", but its place in the vocabulary is ", id);
    const bool taken = static_cast<size_t>(id) < model.texts().size() && !model.texts()[id].empty();
    if (taken && model.texts()[id] != token.content)
      return InputError(Quoted(token.content), " and ", Quoted(model.texts()[id]), " have the same id ", id);
    if (is_new) {
      tokens.push_back(std::move(token));
    } else {
      tokens[place->second] = std::move(token);
    }
  }
  return tokens;
}

// The texts of tokens by id, as decoders see them: a normalized added token in its normalized form.
absl::StatusOr<std::vector<VocabularyEntry>> Entries(const Parts& parts, std::vector<std::string>& normalized) {
  const TextTable& texts = parts.model->texts();
  size_t size = texts.size();
  for (const AddedToken& token : parts.added) size = std::max(size, static_cast<size_t>(token.id) + 1);
  std::vector<VocabularyEntry> entries(size);
  for (size_t id = 0; id < texts.size(); ++id) entries[id].text = texts[id];
  normalized.resize(parts.added.size());
  for (size_t index = 0; index < parts.added.size(); ++index) {
    const AddedToken& token = parts.added[index];
    normalized[index] = token.content;
    if (token.normalized && parts.normalizer != nullptr)
      HONE_RETURN_IF_ERROR(parts.normalizer->Apply(normalized[index]));
    // A special token whose text the normalizer changes is not known as special any more.
    entries[token.id] = {normalized[index], token.special && normalized[index] == token.content};
  }
  return entries;
}

std::string Dumped(const Json& json, const char* name) {
  const auto field = json.find(name);
  return field == json.end() ? "null" : field->dump();
}

absl::StatusOr<Parts> ReadParts(const Json& json) {
  if (!json.is_object()) return InputError("is no JSON object, or is damaged or cut off; fetch the model again");
  const auto model = json.find("model");
  if (model == json.end()) return InputError("has no 'model'");
  Parts parts;
  HONE_ASSIGN_OR_RETURN(parts.normalizer, NewNormalizer(Dumped(json, "normalizer")));
  HONE_ASSIGN_OR_RETURN(parts.pre_tokenizer, NewPreTokenizer(Dumped(json, "pre_tokenizer")));
  auto bpe = ReadModel(*model);
  if (!bpe.ok()) return About("model", bpe.status());
  parts.model = *std::move(bpe);
  auto added = ReadAddedTokens(json, *parts.model);
  if (!added.ok()) return About("added_tokens", added.status());
  parts.added = *std::move(added);

  std::vector<std::string> normalized;
  HONE_ASSIGN_OR_RETURN(const auto entries, Entries(parts, normalized));
  HONE_ASSIGN_OR_RETURN(parts.texts, NewTokenTexts(Dumped(json, "decoder"), entries));
  HONE_ASSIGN_OR_RETURN(parts.begin_token, ReadBeginToken(Dumped(json, "post_processor")));
  const auto size = static_cast<TokenId>(entries.size());
  if (parts.begin_token >= size)
    return InputError("post_processor: token ", parts.begin_token, " is outside the vocabulary, 0 to ", size - 1);
  return parts;
}

// Discarded when it is no JSON.
Json Parsed(const std::string& text) {
  if (NestsTooDeep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// The file, or an empty object when there is none.
absl::StatusOr<Json> ReadSettings(const FilesByName& files, const char* name) {
  const auto file = files.find(name);
  if (file == files.end()) return Json::object();
  Json json = Parsed(file->second);
  if (!json.is_object())
    return InputError(name, ": is no JSON object, or is damaged or cut off; fetch the model again");
  return json;
}

// "eos_token" is a text, or an object with the text as "content"; null or absent: "".
absl::StatusOr<std::string> EndText(const Json& settings, const char* file) {
  const Json value = settings.value("eos_token", Json());
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  auto content = TextField(value, "content");
  if (!content.ok()) return InputError(file, ": 'eos_token' is neither a text nor an object with 'content'");
  return content;
}

absl::StatusOr<TokenId> ReadEndToken(const Json& config, const Json& special_tokens, const Parts& parts) {
  HONE_ASSIGN_OR_RETURN(std::string end, EndText(config, kConfigFile));
  if (end.empty()) {
    HONE_ASSIGN_OR_RETURN(end, EndText(special_tokens, kSpecialTokensFile));
  }
  if (end.empty()) return -1;
  for (const AddedToken& token : parts.added) {
    if (token.content == end) return token.id;
  }
  const TokenId token = parts.model->Find(end);
  if (token < 0) return InputError(kConfigFile, ": 'eos_token' ", Quoted(end), " is not in the vocabulary");
  return token;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromFiles(FilesByName files) {
  const auto file = files.find(kTokenizerFile);
  if (file == files.end()) return InputError(kTokenizerFile, ": is not there");
  auto parts = ReadParts(Parsed(file->second));
  if (!parts.ok()) return About(kTokenizerFile, parts.status());
  HONE_ASSIGN_OR_RETURN(const Json config, ReadSettings(files, kConfigFile));
  HONE_ASSIGN_OR_RETURN(const Json special_tokens, ReadSettings(files, kSpecialTokensFile));
  HONE_ASSIGN_OR_RETURN(parts->end_token, ReadEndToken(config, special_tokens, *parts));
  auto tokenizer = std::make_unique<HuggingFaceTokenizer>(*std::move(parts), std::move(files));
  const bool special_tokens_are_text = config.value("split_special_tokens", Json()) == true;
  HONE_RETURN_IF_ERROR(tokenizer->FindAddedTokens(special_tokens_are_text));
  return tokenizer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> NewBpeTokenizer(FilesByName files, const std::string& folder) {
  auto tokenizer = FromFiles(std::move(files));
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(), absl::StrCat(folder, "/", tokenizer.status().message()));
}

}  // namespace hone
