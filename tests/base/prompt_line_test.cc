#include "engine/base/prompt_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hone {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::ordered_json;

absl::StatusOr<Prompt> Read(const std::string& line) { return ReadPrompt(Json::parse(line)); }

TEST(PromptLine, OneOfThreeKinds) {
  const Prompt text =
      Read(R"({"id": 1, "prompt": "a", "tools": [], "answer": "b", "metadata": {"z": 1, "a": {}}})").value();
  EXPECT_EQ(text.text, "a");
  EXPECT_EQ(text.conversation, "");
  EXPECT_EQ(text.answer, "b");
  EXPECT_EQ(text.metadata, R"({"a":{},"z":1})");

  // What a template may see stays in its order; what it cannot see is left out.
  const Prompt chat = Read(R"({"solution": "x", "chat_template_kwargs": {"z": 1, "a": 2}, "id": 7,
                              "messages": [{"role": "user", "content": "q"}]})")
                          .value();
  EXPECT_EQ(chat.conversation, R"({"messages":[{"role":"user","content":"q"}],"chat_template_kwargs":{"z":1,"a":2}})");
  EXPECT_EQ(chat.text, "");
  EXPECT_TRUE(chat.tokens.empty());

  EXPECT_THAT(Read(R"({"tokens": [0, 7, 2147483646]})")->tokens, ElementsAre(0, 7, 2147483646));
}

TEST(PromptLine, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> kCases[] = {
      {"{}", "holds 0 of 'prompt', 'messages' and 'tokens', wanted exactly one"},
      {R"({"prompt": "a", "tokens": [1]})", "holds 2 of 'prompt', 'messages' and 'tokens', wanted exactly one"},
      {R"({"prompt": "a", "messages": [], "tokens": [1]})",
       "holds 3 of 'prompt', 'messages' and 'tokens', wanted exactly one"},
      {R"({"prompt": 5})", "'prompt' is missing or not a text"},
      {R"({"tokens": "1"})", "'tokens' is missing or not a list of token ids"},
      {R"({"tokens": []})", "'tokens' is empty; a prompt has at least one token"},
      {R"({"tokens": [1, -1]})", "'tokens' holds -1, wanted ids from 0 on"},
      {R"({"tokens": [1.0]})", "'tokens' holds 1.0, wanted ids from 0 on"},
      {R"({"tokens": [2147483647]})", "'tokens' holds 2147483647, wanted ids from 0 on"},
      {R"({"tokens": [18446744073709551615]})", "'tokens' holds 18446744073709551615, wanted ids from 0 on"},
      {R"({"tokens": [99999999999999999999]})", "'tokens' holds 1e+20, wanted ids from 0 on"},
      {R"({"tokens": ["a\nb"]})", "'tokens' holds \"a\\nb\", wanted ids from 0 on"},
      {R"({"prompt": "a", "answer": 5})", "'answer' is missing or not a text"},
      {R"({"prompt": "a", "metadata": null})", "'metadata' is not an object"},
  };
  for (const auto& [line, error] : kCases) EXPECT_EQ(std::string(Read(line).status().message()), error) << line;
  EXPECT_EQ(std::string(ReadTokens(Json::parse(R"({"a": [5]})"), "a", 5).status().message()),
            "'a' holds 5, wanted ids from 0 to 4");
}

}  // namespace
}  // namespace hone
