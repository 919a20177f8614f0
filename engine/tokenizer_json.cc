#include "engine/tokenizer_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace hone {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kSpace[] = "\u2581";

Json Replace(const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
}

// Special tokens, and symbols: texts cut out before the model sees the rest.
Json AddedTokens(const std::vector<Piece>& pieces) {
  Json added = Json::array();
  for (size_t token = 0; token < pieces.size(); ++token) {
    const PieceKind kind = pieces[token].kind;
    const bool special = kind == PieceKind::kUnknown || kind == PieceKind::kControl;
    if (!special && kind != PieceKind::kUserDefined) continue;
    added.push_back({{"id", token},
                     {"content", pieces[token].text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

// SentencePiece joins the neighbours whose union is the best piece, so every way to cut a piece in two is a merge, and merges rank
// by the score of what they make.
Json Merges(const std::vector<Piece>& pieces) {
  std::map<std::string, size_t> tokens;
  for (size_t token = 0; token < pieces.size(); ++token) {
    if (pieces[token].kind == PieceKind::kNormal) tokens[pieces[token].text] = token;
  }
  std::vector<std::tuple<float, size_t, size_t>> ranked;  // (-score, left, right)
  for (const auto& [text, token] : tokens) {
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = tokens.find(text.substr(0, cut)), right = tokens.find(text.substr(cut));
      if (left == tokens.end() || right == tokens.end()) continue;
      ranked.emplace_back(-pieces[token].score, left->second, right->second);
    }
  }
  std::sort(ranked.begin(), ranked.end());
  Json merges = Json::array();
  for (const auto& [score, left, right] : ranked) merges.push_back({pieces[left].text, pieces[right].text});
  return merges;
}

Json Vocabulary(const std::vector<Piece>& pieces) {
  Json vocabulary = Json::object();
  for (size_t token = 0; token < pieces.size(); ++token) vocabulary[pieces[token].text] = token;
  return vocabulary;
}

// A model of single characters is a BPE model without merges.
Json Model(const SentencePiece& model) {
  const std::vector<Piece>& pieces = model.pieces();
  if (model.traits().type == SentencePieceTraits::Type::kUnigram) {
    Json scored = Json::array();
    for (const Piece& piece : pieces) scored.push_back({piece.text, piece.score});
    return {{"type", "Unigram"},
            {"unk_id", model.unknown_token()},
            {"vocab", scored},
            {"byte_fallback", model.traits().byte_fallback}};
  }
  const bool merges = model.traits().type == SentencePieceTraits::Type::kBpe;
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", pieces[model.unknown_token()].text},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", model.traits().byte_fallback},
          {"ignore_merges", false},
          {"vocab", Vocabulary(pieces)},
          {"merges", merges ? Merges(pieces) : Json::array()}};
}

// The begin token in front of each text.
Json PostProcessor(const std::string& begin, int32_t token) {
  const auto special = [&](int type) { return Json{{"SpecialToken", {{"id", begin}, {"type_id", type}}}}; };
  const auto text = [](const char* name, int type) { return Json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  return {{"type", "TemplateProcessing"},
          {"single", {special(0), text("A", 0)}},
          {"pair", {special(0), text("A", 0), special(1), text("B", 1)}},
          {"special_tokens", {{begin, {{"id", begin}, {"ids", {token}}, {"tokens", {begin}}}}}}};
}

Json Decoder(bool byte_fallback) {
  Json decoders = Json::array({Replace(kSpace, " ")});
  if (byte_fallback) decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  return {{"type", "Sequence"}, {"decoders", decoders}};
}

}  // namespace

absl::StatusOr<TokenizerFiles> ToTokenizerFiles(const SentencePiece& model) {
  const SentencePieceTraits& traits = model.traits();
  if (traits.has_character_map || traits.add_dummy_prefix || traits.remove_extra_whitespaces ||
      traits.treat_whitespace_as_suffix || traits.type == SentencePieceTraits::Type::kWord) {
    return InputError(
        "tokenizer.model changes text before it cuts it into pieces (a character map, a space in front, or spaces "
        "removed), "
        "which cannot be written as tokenizer.json here; put the tokenizer.json and tokenizer_config.json it came with "
        "beside it");
  }
  const std::vector<Piece>& pieces = model.pieces();
  const std::string begin = pieces[model.begin_token()].text, end = pieces[model.end_token()].text;
  const std::string unknown = pieces[model.unknown_token()].text;

  const Json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", AddedTokens(pieces)},
                          {"normalizer", Replace(" ", kSpace)},
                          {"pre_tokenizer", nullptr},
                          {"post_processor", PostProcessor(begin, model.begin_token())},
                          {"decoder", Decoder(traits.byte_fallback)},
                          {"model", Model(model)}};
  const Json special = {{"bos_token", begin}, {"eos_token", end}, {"unk_token", unknown}};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 // A "<s>" inside a text is text, as it is for SentencePiece.
                 {"split_special_tokens", true}};
  config.update(special);
  return TokenizerFiles{tokenizer.dump(2) + "\n", config.dump(2) + "\n", special.dump(2) + "\n"};
}

}  // namespace hone
