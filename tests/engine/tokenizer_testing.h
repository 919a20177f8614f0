// What the tests of tokenizer.json share: small files made by hand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/tokenizer.h"

namespace hone {

using Json = nlohmann::json;

// A tokenizer whose vocabulary is `texts`, token i being the i-th, without any step before or after.
inline Json TokenizerFile(const std::vector<std::string>& texts, const std::vector<std::string>& merges) {
  Json vocabulary = Json::object();
  for (size_t token = 0; token < texts.size(); ++token) vocabulary[texts[token]] = token;
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
}

inline Json Added(int token, const std::string& content) {
  return {{"id", token},     {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

inline absl::StatusOr<std::unique_ptr<Tokenizer>> NewTokenizer(const Json& file, const FilesByName& others = {}) {
  FilesByName files = others;
  files["tokenizer.json"] = file.dump();
  return NewBpeTokenizer(std::move(files), "model");
}

inline std::vector<TokenId> Encode(const Json& file, const std::string& text) {
  const auto tokenizer = NewTokenizer(file);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return (*tokenizer)->Encode(text).value();
}

inline std::string ErrorOf(const Json& file, const FilesByName& others = {}) {
  const auto tokenizer = NewTokenizer(file, others);
  EXPECT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LE(tokenizer.status().message().size(), 400u);
  EXPECT_THAT(std::string(tokenizer.status().message()), ::testing::Not(::testing::HasSubstr("\n")));
  EXPECT_THAT(std::string(tokenizer.status().message()), ::testing::StartsWith("model/tokenizer"));
  return std::string(tokenizer.status().message());
}

inline std::string Utf8(int character) {
  if (character < 0x80) return std::string(1, static_cast<char>(character));
  return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

// The 256 characters of GPT-2's vocabulary, by byte: printable ones for themselves, the others from U+0100 on.
inline std::vector<std::string> ByteAlphabet() {
  std::vector<std::string> alphabet;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    alphabet.push_back(Utf8(printable ? byte : next++));
  }
  return alphabet;
}

// Token b is byte b; then two words with a space in front, and a special token.
inline Json ByteLevelFile() {
  std::vector<std::string> texts = ByteAlphabet();
  for (const char* text : {"\u0120a", "\u0120ab"}) texts.push_back(text);
  Json file = TokenizerFile(texts, {"\u0120 a", "\u0120a b"});
  file["added_tokens"] = {Added(258, "<|end|>")};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  file["pre_tokenizer"] = byte_level;
  file["decoder"] = byte_level;
  return file;
}

}  // namespace hone
