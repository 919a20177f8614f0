#include "engine/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "engine/base/random.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// Sums like "12 7 30:49=30+12+7".
std::vector<std::string> Lines() {
  std::vector<std::string> lines;
  RandomSequence random(5, RandomStream::kTask, 0);
  for (int line = 0; line < 600; ++line) {
    const int a = 1 + static_cast<int>(random.Below(50)), b = 1 + static_cast<int>(random.Below(50));
    lines.push_back(absl::StrCat(a, " ", b, ":", a + b, "="));
    lines.push_back(absl::StrCat(a, "+", b));
  }
  return lines;
}

std::unique_ptr<Tokenizer> Trained(const std::string& options) {
  Spec spec = Spec::Parse(absl::StrCat("sentencepiece(", options, ")")).value();
  auto tokenizer = TrainTokenizer(spec, Lines());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::string ErrorOf(const std::string& options, const std::vector<std::string>& lines) {
  Spec spec = Spec::Parse(absl::StrCat("sentencepiece(", options, ")")).value();
  return std::string(TrainTokenizer(spec, lines).status().message());
}

std::string EmptyFolder(const std::string& name) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "hone_tokenizer_", name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

const char* const kKinds[] = {
    "model_type=char", "model_type=char, whole_numbers=99", "model_type=bpe, vocabulary_size=60",
    "model_type=bpe, vocabulary_size=130, whole_numbers=99", "model_type=unigram, vocabulary_size=60"};

// Texts of the language the lines are written in, and some that are not.
std::vector<std::string> Texts() {
  std::vector<std::string> texts = {"", " ", "  ", " 1", "1 ", "1  2", "12 7 30:25=", "100", "1234567890", "0099"};
  RandomSequence random(6, RandomStream::kTask, 0);
  const std::string alphabet = "0123456789 +:=";
  for (int text = 0; text < 500; ++text) {
    texts.emplace_back();
    for (uint32_t at = random.Below(20); at > 0; --at) {
      texts.back() += alphabet[random.Below(static_cast<uint32_t>(alphabet.size()))];
    }
  }
  return texts;
}

TEST(Tokenizer, TextSurvives) {
  for (const char* kind : kKinds) {
    const auto tokenizer = Trained(kind);
    EXPECT_EQ(tokenizer->unknown_token(), 0);
    EXPECT_EQ(tokenizer->begin_token(), 1);
    EXPECT_EQ(tokenizer->end_token(), 2);
    for (const std::string& text : Texts()) {
      const auto tokens = tokenizer->Encode(text);
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      EXPECT_EQ(tokenizer->Decode(*tokens).value(), text) << kind;
      for (const TokenId token : *tokens) {
        EXPECT_GT(token, 2) << kind << ": '" << text << "'";
        EXPECT_LT(token, tokenizer->vocabulary_size());
      }
    }
  }
}

TEST(Tokenizer, CharactersAreTokens) {
  const auto tokenizer = Trained("model_type=char");
  // Ten digits, space, plus, colon, equals, and three special tokens.
  EXPECT_EQ(tokenizer->vocabulary_size(), 17);
  EXPECT_EQ(tokenizer->Encode("12+3").value().size(), 4u);
}

TEST(Tokenizer, WholeNumbersAreTokens) {
  for (const char* kind :
       {"model_type=char, whole_numbers=99", "model_type=bpe, vocabulary_size=130, whole_numbers=99"}) {
    const auto tokenizer = Trained(kind);
    const auto encode = [&](const std::string& text) { return tokenizer->Encode(text).value(); };
    for (int number = 0; number <= 99; ++number) EXPECT_EQ(encode(absl::StrCat(number)).size(), 1u) << number;
    // The same token wherever it stands, so a prompt and its answer agree.
    const TokenId twelve = encode("12")[0];
    for (const char* text : {"+12", ":12=", "12+", "5+12"})
      EXPECT_THAT(encode(text), ::testing::Contains(twelve)) << text;
    // From the left: 123 is 12 and 3.
    EXPECT_THAT(encode("123"), ElementsAre(twelve, encode("3")[0]));
  }
  // The numbers 0..99, four other characters, three special tokens.
  EXPECT_EQ(Trained("whole_numbers=99")->vocabulary_size(), 107);
}

TEST(Tokenizer, BpeAndUnigramKeepToTheirSize) {
  EXPECT_EQ(Trained("model_type=bpe, vocabulary_size=60")->vocabulary_size(), 60);
  EXPECT_LE(Trained("model_type=unigram, vocabulary_size=60")->vocabulary_size(), 60);
  const auto tokenizer = Trained("model_type=bpe, vocabulary_size=60");
  EXPECT_LT(tokenizer->Encode("12+12+12").value().size(), 8u);
}

TEST(Tokenizer, UnknownCharactersAreOneVisibleToken) {
  for (const char* kind : kKinds) {
    const auto tokenizer = Trained(kind);
    const TokenId one = tokenizer->Encode("1").value().back();
    // A run of strangers is one unknown token, which shows: it does not turn "1?+1" into "1+1".
    const auto tokens = tokenizer->Encode("1\xC3\xA9\xE6\x97\xA5").value();
    EXPECT_EQ(tokens.back(), 0) << kind;
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), 0), 1) << kind;
    EXPECT_EQ(tokenizer->Decode({one, 0, one}).value(),
              "1\xEF\xBF\xBD"
              "1")
        << kind;
  }
}

TEST(Tokenizer, SpecialTokensVanishInText) {
  const auto tokenizer = Trained("");
  const TokenId one = tokenizer->Encode("1").value()[0];
  EXPECT_EQ(tokenizer->Decode({1, one, 2}).value(), "1");
  EXPECT_EQ(tokenizer->Decode({}).value(), "");
  // And text is text: "<s>" gives no begin token.
  EXPECT_THAT(tokenizer->Encode("<s>").value(), ElementsAre(0));
}

TEST(Tokenizer, NamesWhatItCannotRead) {
  const auto tokenizer = Trained("");
  EXPECT_EQ(tokenizer->Encode("12\xFF").status().message(), "text is not UTF-8: byte 0xff at offset 2");
  EXPECT_EQ(tokenizer->Encode("1\xC3").status().message(), "text is not UTF-8: byte 0xc3 at offset 1");
  EXPECT_EQ(tokenizer->Decode({-1}).status().message(), "token -1 is negative");
}

TEST(Tokenizer, NumbersWithoutATokenHaveNoText) {
  const auto tokenizer = Trained("");
  const TokenId one = tokenizer->Encode("1").value()[0], size = tokenizer->vocabulary_size();
  EXPECT_EQ(tokenizer->Decode({size, one, 1 << 30, one}).value(), "11");
}

TEST(Tokenizer, SavedAndLoadedItIsTheSame) {
  for (const char* kind : kKinds) {
    const auto tokenizer = Trained(kind);
    const std::string folder = EmptyFolder("saved"), copy = EmptyFolder("copy");
    ASSERT_TRUE(tokenizer->Save(folder).ok());
    const auto loaded = LoadTokenizer(folder);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    for (const std::string& text : Texts()) EXPECT_EQ((*loaded)->Encode(text).value(), tokenizer->Encode(text).value());
    // Loading and saving again changes no byte; nor does training again.
    ASSERT_TRUE((*loaded)->Save(copy).ok());
    for (const char* file : {"tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
      EXPECT_EQ(ReadFile(folder + "/" + file).value(), ReadFile(copy + "/" + file).value()) << file;
    }
    ASSERT_TRUE(Trained(kind)->Save(copy).ok());
    EXPECT_EQ(ReadFile(folder + "/tokenizer.model").value(), ReadFile(copy + "/tokenizer.model").value()) << kind;
  }
}

TEST(Tokenizer, KeepsTheFilesAModelCameWith) {
  const std::string folder = EmptyFolder("foreign"), copy = EmptyFolder("foreign_copy");
  ASSERT_TRUE(Trained("")->Save(folder).ok());
  ASSERT_TRUE(WriteFile(folder + "/tokenizer_config.json", R"({"chat_template": "mine"})").ok());
  ASSERT_TRUE(LoadTokenizer(folder).value()->Save(copy).ok());
  EXPECT_EQ(ReadFile(copy + "/tokenizer_config.json").value(), R"({"chat_template": "mine"})");
  // And no others: a tokenizer.json of ours could give other tokens than its tokenizer_config.json asks for.
  ASSERT_TRUE(std::filesystem::remove(folder + "/tokenizer.json"));
  const std::string bare = EmptyFolder("foreign_copy");
  ASSERT_TRUE(LoadTokenizer(folder).value()->Save(bare).ok());
  EXPECT_EQ(ReadFile(bare + "/tokenizer_config.json").value(), R"({"chat_template": "mine"})");
  EXPECT_FALSE(std::filesystem::exists(bare + "/tokenizer.json"));
}

TEST(Tokenizer, RefusesFilesThatAreNoModel) {
  const std::string folder = EmptyFolder("broken");
  EXPECT_THAT(std::string(LoadTokenizer(folder).status().message()), HasSubstr("tokenizer.model"));
  ASSERT_TRUE(Trained("model_type=bpe, vocabulary_size=60")->Save(folder).ok());
  const std::string good = ReadFile(folder + "/tokenizer.model").value();
  std::vector<std::string> broken = {"", "hello\n", std::string(1000, '\xFF'), std::string(100, '\0')};
  for (size_t size = 1; size < good.size(); size += 7) broken.push_back(good.substr(0, size));
  for (const std::string& bytes : broken) {
    ASSERT_TRUE(WriteFile(folder + "/tokenizer.model", bytes).ok());
    const auto status = LoadTokenizer(folder).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bytes.size() << " bytes";
    EXPECT_THAT(std::string(status.message()), HasSubstr("tokenizer.model: its "));
  }
}

TEST(Tokenizer, TrainingSaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("", {}), HasSubstr("no text"));
  EXPECT_THAT(ErrorOf("", {"", ""}), HasSubstr("no text"));
  EXPECT_THAT(ErrorOf("", {"1+1", "\xFF"}), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("model_type=word", {"1"}), HasSubstr("'model_type'"));
  EXPECT_THAT(ErrorOf("vocabulary_size=0", {"1"}), HasSubstr("'vocabulary_size'"));
  EXPECT_THAT(ErrorOf("size=100", {"1"}), HasSubstr("unknown option 'size'"));
  EXPECT_THAT(ErrorOf("model_type=unigram, whole_numbers=9", {"1"}), HasSubstr("whole_numbers"));
  EXPECT_THAT(ErrorOf("whole_numbers=8", {"1"}), HasSubstr("whole_numbers"));
  // 14 characters and 3 special tokens do not fit into 10.
  EXPECT_THAT(ErrorOf("model_type=bpe, vocabulary_size=10", Lines()), HasSubstr("cannot be trained"));
}

// What the tokenizers library makes of tokenizer.json, for the parts that Save writes: added tokens leftmost and longest, spaces as
// U+2581, then byte-pair merges by rank, and runs of unknown characters as one token. ASCII text only.
class HuggingFaceBpe {
 public:
  explicit HuggingFaceBpe(const Json& json) : vocabulary_(json["model"]["vocab"]) {
    for (const Json& token : json["added_tokens"]) {
      if (!token["special"]) added_[token["content"]] = token["id"];
    }
    int rank = 0;
    for (const Json& merge : json["model"]["merges"]) {
      ranks_[{std::string(merge[0]), std::string(merge[1])}] = rank++;
    }
  }

  std::vector<TokenId> Encode(const std::string& text) const {
    std::vector<TokenId> tokens;
    std::string plain;
    for (size_t at = 0; at < text.size();) {
      size_t length = 0;
      for (const auto& [content, token] : added_) {
        if (text.compare(at, content.size(), content) == 0) length = std::max(length, content.size());
      }
      if (length == 0) {
        plain += text[at++];
        continue;
      }
      Merge(std::exchange(plain, ""), tokens);
      tokens.push_back(added_.at(text.substr(at, length)));
      at += length;
    }
    Merge(plain, tokens);
    return tokens;
  }

 private:
  void Merge(const std::string& text, std::vector<TokenId>& tokens) const {
    std::vector<std::string> parts;
    for (const char c : text) parts.push_back(c == ' ' ? "\xE2\x96\x81" : std::string(1, c));
    while (true) {
      size_t best = parts.size();
      int best_rank = std::numeric_limits<int>::max();
      for (size_t at = 0; at + 1 < parts.size(); ++at) {
        const auto rank = ranks_.find({parts[at], parts[at + 1]});
        if (rank == ranks_.end() || rank->second >= best_rank) continue;
        best = at;
        best_rank = rank->second;
      }
      if (best == parts.size()) break;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    bool unknown_before = false;
    for (const std::string& part : parts) {
      const bool unknown = !vocabulary_.contains(part);
      if (!unknown || !unknown_before) tokens.push_back(unknown ? 0 : vocabulary_.at(part).get<TokenId>());
      unknown_before = unknown;
    }
  }

  Json vocabulary_;
  std::map<std::string, TokenId> added_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
};

TEST(Tokenizer, TokenizerJsonGivesTheSameTokens) {
  for (const std::string kind : kKinds) {
    if (kind.find("unigram") != std::string::npos) continue;  // tests/peers asks the library itself
    const auto tokenizer = Trained(kind);
    const std::string folder = EmptyFolder("json");
    ASSERT_TRUE(tokenizer->Save(folder).ok());
    const HuggingFaceBpe reference(Json::parse(ReadFile(folder + "/tokenizer.json").value()));
    std::vector<std::string> texts = Texts();
    for (const char* text : {"a", "1ab2", "1 a 2", "a1a", "<s>1</s>"}) texts.push_back(text);
    for (const std::string& text : texts) {
      EXPECT_EQ(reference.Encode(text), tokenizer->Encode(text).value()) << kind << ": '" << text << "'";
    }
  }
}

TEST(Tokenizer, TransformersFilesNameTheSpecialTokens) {
  const std::string folder = EmptyFolder("files");
  ASSERT_TRUE(Trained("whole_numbers=9")->Save(folder).ok());
  const Json json = Json::parse(ReadFile(folder + "/tokenizer.json").value());
  std::map<std::string, bool> special;
  for (const Json& token : json["added_tokens"]) special[token["content"]] = token["special"];
  std::map<std::string, bool> wanted = {{"<unk>", true}, {"<s>", true}, {"</s>", true}};
  for (int digit = 0; digit <= 9; ++digit) wanted[absl::StrCat(digit)] = false;
  EXPECT_EQ(special, wanted);
  EXPECT_EQ(json["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
  EXPECT_EQ(json["post_processor"]["special_tokens"]["<s>"]["ids"][0], 1);
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const Json names = Json::parse(ReadFile(folder + "/" + file).value());
    EXPECT_EQ(names["bos_token"], "<s>");
    EXPECT_EQ(names["eos_token"], "</s>");
    EXPECT_EQ(names["unk_token"], "<unk>");
  }
}

}  // namespace
}  // namespace hone
