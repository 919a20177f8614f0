// tokenizer.json as a file: what is kept of it, what is refused, in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/tokenizer.h"
#include "tests/engine/tokenizer_testing.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TokenizerJson, OneTokenizerServesManyThreads) {
  const auto tokenizer = NewTokenizer(ByteLevelFile()).value();
  std::vector<std::string> texts;
  for (int text = 0; text < 2000; ++text) texts.push_back(absl::StrCat(" ab", text, " word", text % 7, " a"));
  const auto encode_all = [&](std::vector<std::vector<TokenId>>* tokens) {
    for (const std::string& text : texts) tokens->push_back(tokenizer->Encode(text).value());
  };
  std::vector<std::vector<TokenId>> results[3];
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back(encode_all, &result);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(TokenizerJson, SavesTheFilesItWasReadFrom) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "hone_bpe"), copy = folder + "_copy";
  for (const std::string& path : {folder, copy}) {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  std::filesystem::create_directories(folder + "/additional_chat_templates");
  const FilesByName files = {{"tokenizer.json", ByteLevelFile().dump(1)},
                             {"tokenizer_config.json", R"({"eos_token":"<|end|>" })"},
                             {"special_tokens_map.json", "{ }"},
                             {"chat_template.jinja", "{{ messages }}"},
                             {"chat_template.json", "{}"},
                             {"additional_chat_templates/tool_use.jinja", "{{ tools }}"},
                             {"merges.txt", "#version: 0.2\n"}};
  ASSERT_TRUE(MakeFolder(folder + "/additional_chat_templates").ok());
  for (const auto& [name, content] : files) ASSERT_TRUE(WriteFile(absl::StrCat(folder, "/", name), content).ok());
  const auto tokenizer = LoadTokenizer(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->end_token(), 258);
  ASSERT_TRUE((*tokenizer)->Save(copy).ok());
  for (const auto& [name, content] : files) EXPECT_EQ(ReadFile(absl::StrCat(copy, "/", name)).value(), content) << name;
  // A file that is there and cannot be read would be missing in every checkpoint.
  ASSERT_TRUE(std::filesystem::remove(folder + "/merges.txt"));
  ASSERT_TRUE(MakeFolder(folder + "/merges.txt").ok());
  EXPECT_THAT(std::string(LoadTokenizer(folder).status().message()), HasSubstr("merges.txt: is a folder"));
  ASSERT_TRUE(std::filesystem::remove(folder + "/merges.txt"));
  ASSERT_TRUE(std::filesystem::remove(folder + "/tokenizer.json"));
  EXPECT_THAT(std::string(LoadTokenizer(folder).status().message()),
              HasSubstr("neither tokenizer.json nor tokenizer.model"));
}

TEST(TokenizerJson, RefusesTruncatedFiles) {
  const std::string whole = ByteLevelFile().dump();
  for (size_t size = 0; size < whole.size(); size += size < 100 ? 1 : 97) {
    const auto tokenizer = NewBpeTokenizer({{"tokenizer.json", whole.substr(0, size)}}, "model");
    EXPECT_EQ(tokenizer.status().message(),
              "model/tokenizer.json: is no JSON object, or is damaged or cut off; fetch the model again");
  }
  for (const std::string& bytes :
       {std::string(100000, '['), std::string(100000, '{'), std::string("{\"a\xFF\":1}"), std::string("\0", 1)}) {
    EXPECT_FALSE(NewBpeTokenizer({{"tokenizer.json", bytes}}, "model").ok());
  }
}

TEST(TokenizerJson, NamesWhatIsWrong) {
  const Json good = TokenizerFile({"a", "b", "ab"}, {"a b"});
  const auto with = [&](const char* pointer, const Json& value) {
    Json file = good;
    file[Json::json_pointer(pointer)] = value;
    return file;
  };
  const auto without = [&](const char* part, const char* field) {
    Json file = good;
    (part[0] == '\0' ? file : file[part]).erase(field);
    return file;
  };
  ASSERT_TRUE(NewTokenizer(good).ok());
  const std::pair<Json, const char*> wrong[] = {
      {without("", "model"), "has no 'model'"},
      {without("model", "vocab"), "model: has no object 'vocab'"},
      {without("model", "merges"), "model: has no list 'merges'"},
      {without("", "decoder"), "decoder: "},
      {with("/model/type", "WordPiece"), "model: 'WordPiece' is not supported; supported: BPE"},
      {with("/model/merges/0", "b a"), "merge 0 joins 'b' and 'a'; the vocabulary lacks 'ba'"},
      {with("/model/merges/0", "a c"), "the vocabulary lacks 'c'"},
      {with("/model/merges/0", "ab"), "merge 0 is '\"ab\"', wanted two texts"},
      {with("/model/merges/0", {1, 2}), "wanted two texts"},
      {with("/model/vocab/b", 0), "'a' and 'b' have the same id 0"},
      {with("/model/vocab/b", 2147483648), "token 'b' has id 2147483648, wanted 0 to 4194303"},
      {with("/model/vocab/b", 18446744073709551615u), "wanted 0 to 4194303"},
      {with("/model/vocab/b", -1), "wanted a number"},
      {with("/model/vocab/b", "x"), "wanted a number"},
      {with("/model/vocab", Json::object()), "'vocab' is empty"},
      {with("/model/unk_token", "<unk>"), "the vocabulary lacks 'unk_token' '<unk>'"},
      {with("/model/dropout", 0.5), "dropout"},
      {with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix"},
      {with("/pre_tokenizer", {{"type", "BertPreTokenizer"}}),
       "pre_tokenizer: 'BertPreTokenizer' is not supported; supported: "},
      {with("/pre_tokenizer",
            {{"type", "Split"}, {"pattern", {{"Regex", "("}}}, {"behavior", "Isolated"}, {"invert", false}}),
       "pattern '(': is no regular expression"},
      {with("/pre_tokenizer", {{"type", "Split"},
                               {"pattern", {{"Regex", std::string(30000, 'a')}}},
                               {"behavior", "Isolated"},
                               {"invert", false}}),
       "has 30000 bytes"},
      {with("/pre_tokenizer",
            {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Sideways"}, {"invert", false}}),
       "'Sideways'"},
      {with("/pre_tokenizer", 3), "pre_tokenizer: is no object"},
      {with("/normalizer", {{"type", "Lowercase"}}), "normalizer: 'Lowercase' is not supported; supported: "},
      {with("/decoder", {{"type", "WordPiece"}}), "decoder: 'WordPiece' is not supported"},
      {with("/post_processor", {{"type", "BertProcessing"}}), "post_processor: 'BertProcessing' is not supported"},
      {with("/added_tokens", Json::array({Added(7, "<s>")})), "'<s>' has id 7, but its place in the vocabulary is 3"},
      {with("/added_tokens", Json::array({Added(1, "a")})), "'a' has id 1, but its place in the vocabulary is 0"},
      {with("/added_tokens", {{{"id", 3}, {"content", "<s>"}}}), "added_tokens: has no 'single_word'"},
      {with("/added_tokens", "x"), "added_tokens: is no list"},
  };
  for (const auto& [file, complaint] : wrong) EXPECT_THAT(ErrorOf(file), HasSubstr(complaint));
  Json deep = {{"type", "Digits"}, {"individual_digits", true}};
  for (int level = 0; level < 20; ++level) deep = {{"type", "Sequence"}, {"pretokenizers", {deep}}};
  EXPECT_THAT(ErrorOf(with("/pre_tokenizer", deep)), HasSubstr("more than 8 levels"));
}

TEST(TokenizerJson, RefusesReplacementsThatFillTheMemory) {
  const auto chain = [](const char* list, size_t growth) {
    const Json step = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(growth, 'a')}};
    return Json{{"type", "Sequence"}, {list, std::vector<Json>(9, step)}};
  };
  Json file = TokenizerFile({"a"}, {});
  file["normalizer"] = chain("normalizers", 1000);
  EXPECT_THAT(std::string(NewTokenizer(file).value()->Encode("a").status().message()),
              HasSubstr("Replace makes more than"));
  file["normalizer"] = nullptr;
  file["decoder"] = chain("decoders", 30);
  EXPECT_THAT(ErrorOf(file), HasSubstr("decoder: Replace makes 900 bytes of the token 'a'"));
}

TEST(TokenizerJson, GivesUpOnRegularExpressionsWithoutEnd) {
  Json file = TokenizerFile({"a", "!"}, {});
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const auto tokenizer = NewTokenizer(file).value();
  EXPECT_THAT(tokenizer->Encode("aaa").value(), ElementsAre(0, 0, 0));
  const auto status = tokenizer->Encode(std::string(60, 'a') + "!").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gives up on this text"));
}

}  // namespace
}  // namespace hone
