// Files of preferences: what is read, what is refused by line, and in which order a stage takes the pairs.
#include "trainer/preference_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

constexpr int64_t kPositions = 12;

std::unique_ptr<Tokenizer> CharacterTokenizer() {
  Spec spec = Spec::Parse("sentencepiece(model_type=char)").value();
  return TrainTokenizer(spec, {"0123456789+="}).value();
}

std::string Write(const std::string& text) {
  std::ofstream("pairs.jsonl") << text;
  return "pairs.jsonl";
}

PreferenceData Encode(const std::vector<PreferenceLine>& lines, const Tokenizer& tokenizer) {
  PromptEncoder encoder(&tokenizer, "nowhere");
  return PreferenceData::Encode(lines, kPositions, encoder).value();
}

// What is wrong with a file: read, then encoded.
std::string Error(const std::string& text) {
  const auto lines = ReadPreferences(Write(text));
  if (!lines.ok()) return std::string(lines.status().message());
  const auto tokenizer = CharacterTokenizer();
  PromptEncoder encoder(tokenizer.get(), "nowhere");
  return std::string(PreferenceData::Encode(*lines, kPositions, encoder).status().message());
}

TEST(Preferences, RefusedByLine) {
  const std::string good = R"({"prompt": "1+2=", "chosen": "3", "rejected": "4"})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"prompt": "1+2=", "chosen": "3"})", "pairs.jsonl:3: has no 'rejected' answer"},
      {R"({"prompt": "1+2=", "rejected": "3"})", "pairs.jsonl:3: has no 'chosen' answer"},
      {R"({"prompt": "1+2=", "chosen": "3", "rejected": "3"})", "pairs.jsonl:3: 'chosen' and 'rejected' are equal"},
      {R"({"prompt": "1+2=", "chosen": "", "rejected": "3"})", "pairs.jsonl:3: 'chosen' is empty"},
      {R"({"prompt": "1+2=", "chosen": "3", "rejected": []})", "pairs.jsonl:3: 'rejected' is empty"},
      {R"({"prompt": "1+2=", "chosen": 3, "rejected": "4"})", "pairs.jsonl:3: 'chosen' is neither a text nor"},
      {R"({"chosen": "3", "rejected": "4"})", "pairs.jsonl:3: holds 0 of"},
      {R"({"prompt": "1", "tokens": [1], "chosen": "3", "rejected": "4"})", "pairs.jsonl:3: holds 2 of"},
      {R"({"tokens": [], "chosen": "3", "rejected": "4"})", "pairs.jsonl:3: 'tokens' is empty"},
      {R"({"tokens": [-1], "chosen": "3", "rejected": "4"})", "pairs.jsonl:3: 'tokens' holds -1"},
      {R"({"tokens": [1, 99], "chosen": "3", "rejected": "4"})",
       "pairs.jsonl:3: token 99 is outside the model's vocabulary"},
      {R"({"tokens": [1], "chosen": [99], "rejected": "4"})",
       "pairs.jsonl:3: token 99 is outside the model's vocabulary"},
      {R"({"messages": [{"role": "user", "content": "1"}], "chosen": "3", "rejected": "4"})", "pairs.jsonl:3: nowhere"},
      {R"([1])", "pairs.jsonl:3: not a JSON object"},
      {R"({"prompt": )", "pairs.jsonl:3: not a JSON object"},
      // The begin token, 4 + 8 characters and the end token.
      {R"({"prompt": "1+2=", "chosen": "3", "rejected": "1234567"})",
       "pairs.jsonl:3: prompt and answer are 13 tokens, more than the model's 12 positions"},
      // Two characters that the tokenizer does not know.
      {R"({"prompt": "1+2=", "chosen": "a", "rejected": "b"})",
       "pairs.jsonl:3: 'chosen' and 'rejected' are the same tokens"},
  };
  for (const auto& [line, want] : cases) {
    const std::string error = Error(good + "\n\n" + line + "\n" + good + "\n");
    EXPECT_THAT(error, HasSubstr(want)) << line;
    EXPECT_LE(error.size(), 400u);
  }
  EXPECT_EQ(Error(good + "\n"), "");
  EXPECT_THAT(Error("\n \n"), HasSubstr("pairs.jsonl: no lines"));
  EXPECT_THAT(std::string(ReadPreferences("nowhere.jsonl").status().message()), HasSubstr("nowhere.jsonl"));
}

TEST(Preferences, TextsGetBeginAndEndTokensAndTokensNothing) {
  const auto tokenizer = CharacterTokenizer();
  const auto lines = ReadPreferences(Write(R"({"prompt": "1+", "chosen": "3", "rejected": "4"}
{"tokens": [5, 6], "chosen": [7], "rejected": [8, 9]})"));
  auto data = Encode(lines.value(), *tokenizer);
  std::vector<std::vector<TokenId>> seen;
  for (const TrainGroup& group : data.Batch(0, 2, 1)) {
    ASSERT_EQ(group.samples.size(), 2u);
    seen.insert(seen.end(), {*group.prompt, *group.samples[0].tokens, *group.samples[1].tokens});
    EXPECT_EQ(group.samples[0].logprobs, nullptr);
  }
  const auto ids = [&](const std::string& text) { return tokenizer->Encode(text).value(); };
  const TokenId begin = tokenizer->begin_token(), end = tokenizer->end_token();
  std::vector<std::vector<TokenId>> want = {
      {begin, ids("1")[0], ids("+")[0]}, {ids("3")[0], end}, {ids("4")[0], end}, {5, 6}, {7}, {8, 9}};
  EXPECT_THAT(seen, UnorderedElementsAreArray(want));
}

TEST(Preferences, EveryPassTakesEachPairOnceInAnOrderOfItsOwn) {
  std::string text;
  for (int i = 0; i < 10; ++i)
    text += R"({"tokens": [)" + std::to_string(i) + R"(], "chosen": [1], "rejected": [2]})" + "\n";
  const auto tokenizer = CharacterTokenizer();
  const auto lines = ReadPreferences(Write(text)).value();
  // Batches of 4, as a stage takes them: pairs 0..3, 4..7, 8..11 and so on, over three passes.
  const auto order = [&](uint64_t seed) {
    auto data = Encode(lines, *tokenizer);
    std::vector<TokenId> prompts;
    for (int64_t first = 0; first < 28; first += 4) {
      for (const TrainGroup& group : data.Batch(first, 4, seed)) prompts.push_back(group.prompt->front());
    }
    return prompts;
  };
  const std::vector<TokenId> prompts = order(3);
  ASSERT_EQ(prompts.size(), 28u);
  const std::vector<TokenId> first(prompts.begin(), prompts.begin() + 10),
      second(prompts.begin() + 10, prompts.begin() + 20);
  EXPECT_EQ(std::set<TokenId>(first.begin(), first.end()).size(), 10u);
  EXPECT_EQ(std::set<TokenId>(second.begin(), second.end()).size(), 10u);
  EXPECT_NE(first, second);
  EXPECT_EQ(order(3), prompts);
  EXPECT_NE(order(4), prompts);
  // A resumed stage begins in the middle of a pass.
  auto resumed = Encode(lines, *tokenizer);
  EXPECT_EQ(resumed.Batch(24, 1, 3)[0].prompt->front(), prompts[24]);
}

}  // namespace
}  // namespace hone
