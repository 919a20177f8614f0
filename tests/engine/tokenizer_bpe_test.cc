// Byte-pair tokenizers from vocabularies made by hand, with the arithmetic shown. tests/peers/tokenizers_test.py compares real ones with the
// library, tokenizer_file_test.cc is about files that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "engine/base/text.h"
#include "engine/tokenizer.h"
#include "tests/engine/tokenizer_testing.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Bpe, JoinsTheFirstMergeThenTheLeftmostPair) {
  //               0    1    2    3     4     5
  const Json file = TokenizerFile({"a", "b", "c", "bc", "ab", "abc"}, {"b c", "a b", "a bc"});
  EXPECT_THAT(Encode(file, "abc"), ElementsAre(5));      // "b c" ranks first: a bc, then abc
  EXPECT_THAT(Encode(file, "abab"), ElementsAre(4, 4));  // twice "a b"
  EXPECT_THAT(Encode(file, "abcab"), ElementsAre(5, 4));
  EXPECT_THAT(Encode(file, "cba"), ElementsAre(2, 1, 0));
  EXPECT_THAT(Encode(TokenizerFile({"a", "aa"}, {"a a"}), "aaaaa"), ElementsAre(1, 1, 0));
  EXPECT_THAT(Encode(file, ""), IsEmpty());
}

TEST(Bpe, MergesAreTextsOrPairs) {
  Json file = TokenizerFile({"a", " ", " a", "a a"}, {});
  file["model"]["merges"] = Json::array({Json::array({" ", "a"}), Json::array({"a", " a"})});
  EXPECT_THAT(Encode(file, "a a"), ElementsAre(3));
}

TEST(Bpe, AWholeWordMayIgnoreMerges) {
  Json file = TokenizerFile({"a", "b", "ab"}, {});
  EXPECT_THAT(Encode(file, "ab"), ElementsAre(0, 1));
  file["model"]["ignore_merges"] = true;
  EXPECT_THAT(Encode(file, "ab"), ElementsAre(2));
  EXPECT_THAT(Encode(file, "aab"), ElementsAre(0, 0, 1));
}

// Pair by pair over the whole word, as the definition says.
std::vector<TokenId> JoinedSlowly(std::string word, const std::vector<std::string>& texts,
                                  const std::vector<std::string>& merges) {
  std::map<std::string, TokenId> ids;
  for (size_t token = 0; token < texts.size(); ++token) ids[texts[token]] = static_cast<TokenId>(token);
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  for (bool joined = true; joined;) {
    joined = false;
    for (const std::string& merge : merges) {
      const std::string left = merge.substr(0, merge.find(' ')), right = merge.substr(merge.find(' ') + 1);
      for (size_t at = 0; at + 1 < parts.size() && !joined; ++at) {
        if (parts[at] != left || parts[at + 1] != right) continue;
        parts[at] += right;
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        joined = true;
      }
      if (joined) break;
    }
  }
  std::vector<TokenId> tokens;
  for (const std::string& part : parts) tokens.push_back(ids[part]);
  return tokens;
}

TEST(Bpe, ShortAndLongWordsFollowTheDefinition) {
  RandomSequence random(7, RandomStream::kTask, 0);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> texts = {"a", "b", "c"}, merges;
    while (merges.size() < 30) {
      const std::string left = texts[random.Below(static_cast<uint32_t>(texts.size()))];
      const std::string right = texts[random.Below(static_cast<uint32_t>(texts.size()))];
      merges.push_back(absl::StrCat(left, " ", right));
      if (std::find(texts.begin(), texts.end(), left + right) == texts.end()) texts.push_back(left + right);
    }
    // A pair that is listed twice has its last rank.
    std::vector<std::string> ranked;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      if (std::find(merges.begin() + static_cast<std::ptrdiff_t>(rank) + 1, merges.end(), merges[rank]) == merges.end())
        ranked.push_back(merges[rank]);
    }
    const auto tokenizer = NewTokenizer(TokenizerFile(texts, merges)).value();
    for (const size_t length : {1, 2, 3, 20, 63, 64, 65, 66, 130, 400}) {
      std::string word;
      while (word.size() < length) word += static_cast<char>('a' + random.Below(3));
      EXPECT_EQ(tokenizer->Encode(word).value(), JoinedSlowly(word, texts, ranked)) << word;
      EXPECT_EQ(tokenizer->Encode(word).value(), JoinedSlowly(word, texts, ranked)) << "again: " << word;
    }
  }
}

TEST(Bpe, AWordOfAMegabyteTakesNoTime) {
  const auto tokenizer = NewTokenizer(TokenizerFile({"a", "aa", "aaaa", "b"}, {"a a", "aa aa"})).value();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer->Encode(std::string(1 << 20, 'a')).value().size(), size_t{1} << 18);
  // n log n takes half a second; n * n would take an hour.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(Bpe, UnknownCharactersVanishFuseOrFallBackToBytes) {
  Json file = TokenizerFile({"<unk>", "a", "<0xC3>", "<0xA9>"}, {});
  EXPECT_THAT(Encode(file, "a\u65E5\u672Ca"), ElementsAre(1, 1));
  file["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(Encode(file, "a\u65E5\u672Ca"), ElementsAre(1, 0, 0, 1));
  EXPECT_EQ(NewTokenizer(file).value()->unknown_token(), 0);
  file["model"]["fuse_unk"] = true;
  EXPECT_THAT(Encode(file, "a\u65E5\u672Ca\u65E5"), ElementsAre(1, 0, 1, 0));
  file["model"]["byte_fallback"] = true;
  EXPECT_THAT(Encode(file, "a\u00E9\u65E5"), ElementsAre(1, 2, 3, 0));  // e acute is C3 A9
}

TEST(ByteLevel, EveryTextSurvives) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  EXPECT_THAT(tokenizer->Encode("ab ab a").value(), ElementsAre('a', 'b', 257, 256));
  EXPECT_THAT(tokenizer->Encode("\u00E9").value(), ElementsAre(0xC3, 0xA9));
  std::string all;
  for (int character = 0; character < 0x800; ++character) all += Utf8(character);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(all).value()).value(), all);
  EXPECT_EQ(tokenizer->vocabulary_size(), 259);
  EXPECT_EQ(tokenizer->unknown_token(), -1);
}

TEST(ByteLevel, SpecialTokensAreFoundInTextAndVanishFromIt) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  EXPECT_THAT(tokenizer->Encode("a<|end|>b").value(), ElementsAre('a', 258, 'b'));
  EXPECT_EQ(tokenizer->Decode({'a', 258, 'b'}).value(), "ab");
  EXPECT_EQ(tokenizer->TokenText(258), "<|end|>");
  EXPECT_EQ(tokenizer->TokenText(257), "\u0120ab");
  EXPECT_EQ(tokenizer->TokenText(259), "");
  EXPECT_EQ(tokenizer->TokenText(-1), "");
  // transformers' split_special_tokens makes them text.
  const auto text =
      NewTokenizer(ByteLevelFile(), {{"tokenizer_config.json", R"({"split_special_tokens": true})"}}).value();
  EXPECT_THAT(text->Encode("<|end|>").value(), ElementsAre('<', '|', 'e', 'n', 'd', '|', '>'));
}

TEST(ByteLevel, WrongBytesShowAsReplacementCharacters) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  const std::string replacement = "\uFFFD";
  EXPECT_EQ(tokenizer->Decode({0xE6, 0x97}).value(), replacement);  // cut off: one for what was to be one
  EXPECT_EQ(tokenizer->Decode({0xE6, 0x97, 'a'}).value(), replacement + "a");
  EXPECT_EQ(tokenizer->Decode({0xED, 0xA0, 0x80}).value(), replacement + replacement + replacement);  // a surrogate
  EXPECT_EQ(tokenizer->Decode({0xFF, 0xC3}).value(), replacement + replacement);
  EXPECT_EQ(tokenizer->Encode("12\xFF").status().message(), "text is not UTF-8: byte 0xff at offset 2");
  EXPECT_EQ(tokenizer->Decode({-1}).status().message(), "token -1 is negative");
}

TEST(ByteLevel, NumbersWithoutATokenHaveNoText) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  EXPECT_EQ(tokenizer->Decode({259, 'a', 1 << 30, 'b', 259}).value(), "ab");
  EXPECT_EQ(tokenizer->Decode({0xC3, 259, 0xA9}).value(), "\u00e9");  // nor do they part the bytes of a character
}

TEST(AddedTokens, TakeSpacesAndKeepToWords) {
  Json file = TokenizerFile({"a", "b", " ", "<", ">"}, {});
  Json left = Added(5, "<L>"), right = Added(6, "<R>"), word = Added(7, "ba");
  left["lstrip"] = right["rstrip"] = word["single_word"] = true;
  file["added_tokens"] = {left, right, word, Added(8, "<R>a")};
  EXPECT_THAT(Encode(file, "a \n <L> a"), ElementsAre(0, 5, 2, 0));
  EXPECT_THAT(Encode(file, "a <R> \n b"), ElementsAre(0, 2, 6, 1));
  EXPECT_THAT(Encode(file, "<R>  <L>"), ElementsAre(6, 5));
  EXPECT_THAT(Encode(file, "<R>ab"), ElementsAre(8, 1));  // the longest of those that begin here
  EXPECT_THAT(Encode(file, "ba<ba>aba"), ElementsAre(7, 3, 7, 4, 0, 1, 0));
}

TEST(StepsBeforeTheModel, NormalizersSeeTextBetweenAddedTokens) {
  Json file = TokenizerFile({">", "a", "\u00E9"}, {});
  Json normalized = Added(3, "e\u0301e\u0301");
  normalized["normalized"] = true;
  file["added_tokens"] = {normalized, Added(4, "|")};
  file["normalizer"] = Json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "b+"}, "content": "a"}, {"type": "Prepend", "prepend": ">"}]})");
  // The normalized token itself gets a ">" in front, so it is found only where a text begins.
  EXPECT_THAT(Encode(file, "bb|e\u0301"), ElementsAre(0, 1, 4, 0, 2));
  EXPECT_THAT(Encode(file, "\u00E9\u00E9a"), ElementsAre(3, 1));
}

TEST(SpecialTokens, BeginComesFromThePostProcessorAndEndFromTheConfig) {
  Json file = TokenizerFile({"<s>", "</s>", "a"}, {});
  EXPECT_EQ(NewTokenizer(file).value()->begin_token(), -1);
  EXPECT_EQ(NewTokenizer(file).value()->end_token(), -1);
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
             begin = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const Json processor = {{"type", "TemplateProcessing"},
                          {"single", {begin, text}},
                          {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {0}}, {"tokens", {"<s>"}}}}}}};
  file["post_processor"] = {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, processor}}};
  EXPECT_EQ(NewTokenizer(file).value()->begin_token(), 0);
  for (const char* end : {R"({"eos_token": "</s>"})", R"({"eos_token": {"content": "</s>"}})"}) {
    EXPECT_EQ(NewTokenizer(file, {{"tokenizer_config.json", end}}).value()->end_token(), 1);
    EXPECT_EQ(NewTokenizer(file, {{"special_tokens_map.json", end}}).value()->end_token(), 1);
  }
  EXPECT_THAT(ErrorOf(file, {{"tokenizer_config.json", R"({"eos_token": "<e>"})"}}),
              HasSubstr("'<e>' is not in the vocabulary"));
  EXPECT_THAT(ErrorOf(file, {{"tokenizer_config.json", R"({"eos_token": 3})"}}), HasSubstr("'eos_token' is neither"));
  EXPECT_THAT(ErrorOf(file, {{"tokenizer_config.json", "{"}}), HasSubstr("tokenizer_config.json: is no JSON object"));
  file["post_processor"] = processor;
  file["post_processor"]["single"].push_back(begin);
  EXPECT_THAT(ErrorOf(file), HasSubstr("only one token in front"));
}

// Pushes tokens one by one: what is shown is always UTF-8, never changes, and is Decode's text in the end.
void ExpectStreamsAsItDecodes(const Tokenizer& tokenizer, uint64_t seed) {
  RandomSequence random(seed, RandomStream::kTask, 0);
  StreamDecoder decoder(tokenizer.texts());
  for (int round = 0; round < 300; ++round) {
    std::vector<TokenId> tokens;
    std::string shown;
    for (uint32_t count = random.Below(12); count > 0; --count) {
      tokens.push_back(static_cast<TokenId>(random.Below(static_cast<uint32_t>(tokenizer.vocabulary_size()))));
      decoder.Push(tokens.back(), shown);
      EXPECT_EQ(FindInvalidUtf8(shown), std::nullopt);
    }
    decoder.Finish(shown);
    EXPECT_EQ(shown, tokenizer.Decode(tokens).value()) << ::testing::PrintToString(tokens);
  }
}

TEST(StreamDecoder, HoldsBackWhatMayBecomeACharacter) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  StreamDecoder decoder(tokenizer->texts());
  std::string text;
  for (const auto& [token, shown] : std::vector<std::pair<TokenId, std::string>>{{'a', "a"},
                                                                                 {0xF0, "a"},
                                                                                 {0x9F, "a"},
                                                                                 {258, "a"},
                                                                                 {0x99, "a"},
                                                                                 {0x82, "a\U0001F642"},
                                                                                 {0xE6, "a\U0001F642"}}) {
    decoder.Push(token, text);
    EXPECT_EQ(text, shown) << token;
  }
  decoder.Push('b', text);
  EXPECT_EQ(text,
            "a\U0001F642\uFFFD"
            "b");
  decoder.Push(0xE6, text);
  decoder.Finish(text);
  EXPECT_EQ(text,
            "a\U0001F642\uFFFD"
            "b\uFFFD");
  decoder.Push(1000, text);  // a model may have more rows than its tokenizer has tokens
  decoder.Finish(text);
  EXPECT_EQ(text,
            "a\U0001F642\uFFFD"
            "b\uFFFD");
}

TEST(StreamDecoder, StreamsEveryKindAsItDecodes) {
  ExpectStreamsAsItDecodes(*NewTokenizer(ByteLevelFile()).value(), 1);
  Json file = TokenizerFile({"<s>", "\u2581a", "\u2581", "b", "<0xC3>", "<0xA9>", "<0x20>"}, {});
  file["added_tokens"] = {Added(0, "<s>")};
  file["decoder"] = Json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  const auto tokenizer = NewTokenizer(file).value();
  // The first space falls away; C3 A9 is one character, C3 C3 A9 is none, so each of its bytes shows.
  EXPECT_EQ(tokenizer->Decode({0, 1, 2, 1, 4, 0, 5}).value(), "a  a\u00E9");
  EXPECT_EQ(tokenizer->Decode({4, 4, 5, 3}).value(),
            "\uFFFD\uFFFD\uFFFD"
            "b");
  ExpectStreamsAsItDecodes(*tokenizer, 2);
  for (const char* kind : {"char", "bpe", "unigram"}) {
    Spec spec = Spec::Parse(absl::StrCat("sentencepiece(model_type=", kind, ", vocabulary_size=40)")).value();
    ExpectStreamsAsItDecodes(*TrainTokenizer(spec, {"hello world", "a b c", "held low"}).value(), 3);
  }
}

}  // namespace
}  // namespace hone
