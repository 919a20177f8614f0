#include "engine/prompt_encoder.h"

#include <filesystem>

#include "engine/base/file.h"
#include "engine/base/prompt_line.h"
#include "tests/engine/tokenizer_testing.h"

namespace hone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Bytes are tokens, "<|end|>" is 258, and a text gets 258 in front.
std::unique_ptr<Tokenizer> Bytes() {
  Json file = ByteLevelFile();
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<|end|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
      {"special_tokens", {{"<|end|>", {{"id", "<|end|>"}, {"ids", {258}}, {"tokens", {"<|end|>"}}}}}}};
  auto tokenizer = NewTokenizer(file);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::string Folder(const std::string& chat_template) {
  const std::string folder = ::testing::TempDir() + "hone_prompt_encoder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  if (!chat_template.empty()) {
    EXPECT_TRUE(WriteFile(folder + "/chat_template.jinja", chat_template).ok());
  }
  return folder;
}

Prompt Given(const std::string& line) {
  Prompt prompt = ReadPrompt(nlohmann::ordered_json::parse(line)).value();
  prompt.where = "a.jsonl:3";
  return prompt;
}

TEST(PromptEncoder, ATextAConversationOrTokens) {
  const auto tokenizer = Bytes();
  const std::string folder = Folder("{% for m in messages %}{{ m.content }};{% endfor %}<|end|>");
  PromptEncoder encoder(tokenizer.get(), folder);
  Prompt text = Given(R"({"prompt": "A"})"), chat = Given(R"({"messages": [{"role": "user", "content": "A"}]})"),
         tokens = Given(R"({"tokens": [65, 258, 66]})");
  for (Prompt* each : {&text, &chat, &tokens}) ASSERT_TRUE(encoder.Encode(*each).ok());
  EXPECT_THAT(text.tokens, ElementsAre(258, 'A'));
  EXPECT_EQ(text.text, "A");
  EXPECT_THAT(chat.tokens, ElementsAre('A', ';', 258));
  EXPECT_EQ(chat.text, "A;<|end|>");
  EXPECT_THAT(tokens.tokens, ElementsAre(65, 258, 66));
  EXPECT_EQ(tokens.text, "AB");

  PromptEncoder of_a_user(tokenizer.get(), folder, PromptEncoder::Texts::kAsUserMessages);
  text = Given(R"({"prompt": "A"})");
  ASSERT_TRUE(of_a_user.Encode(text).ok());
  EXPECT_THAT(text.tokens, ElementsAre('A', ';', 258));
}

TEST(PromptEncoder, TheTemplateSeesWhatTheLineSays) {
  const auto tokenizer = Bytes();
  PromptEncoder encoder(tokenizer.get(), Folder("{{ tools|tojson }}{{ documents }}{{ add_generation_prompt }}"
                                                "{{ strftime_now('%Y') }}{{ x }}{{ id }}"));
  Prompt prompt = Given(R"({"messages": [{"role": "user"}], "tools": [{"z": 1, "a": 2}], "documents": ["d"], "id": 5,
                            "add_generation_prompt": false, "date": "2031-01-31", "chat_template_kwargs": {"x": "k"}})");
  ASSERT_TRUE(encoder.Encode(prompt).ok());
  EXPECT_EQ(prompt.text, R"([{"z": 1, "a": 2}]['d']False2031k)");
}

TEST(PromptEncoder, TheModelsRowsAreWhatCounts) {
  const auto tokenizer = Bytes();
  const std::string folder = Folder("");
  const auto encode = [&](int rows, const std::string& line) {
    EXPECT_TRUE(WriteFile(folder + "/config.json", absl::StrCat("{\"vocab_size\": ", rows, "}")).ok());
    PromptEncoder encoder(tokenizer.get(), folder);
    Prompt prompt = Given(line);
    return std::string(encoder.Encode(prompt).message());
  };
  // More than tokens: all of them may be read. Fewer: a text may need one that is not there.
  EXPECT_EQ(encode(300, R"({"tokens": [65, 299]})"), "");
  EXPECT_EQ(encode(300, R"({"tokens": [300]})"), "a.jsonl:3: token 300 is outside the model's vocabulary, 0 to 299");
  EXPECT_EQ(encode(258, R"({"prompt": "A"})"), "a.jsonl:3: token 258 is outside the model's vocabulary, 0 to 257");
  PromptEncoder encoder(tokenizer.get(), folder);
  EXPECT_EQ(encoder.EncodeAnswer("A<|end|>").status().message(),
            "the tokenizer has no end token; name an 'eos_token' in its tokenizer_config.json");
}

TEST(PromptEncoder, NamesFileAndLine) {
  const auto tokenizer = Bytes();
  const auto error_of = [&](const std::string& chat_template, Prompt prompt) {
    PromptEncoder encoder(tokenizer.get(), Folder(chat_template));
    const absl::Status status = encoder.Encode(prompt);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  const Prompt chat = Given(R"({"messages": [{"role": "user", "content": "A"}]})");
  EXPECT_EQ(error_of("", Given(R"({"tokens": [65, 259]})")),
            "a.jsonl:3: token 259 is outside the model's vocabulary, 0 to 258");
  EXPECT_EQ(error_of("", chat), "a.jsonl:3: " + Folder("") +
                                    ": the model has no chat template (no chat_template.jinja, no 'chat_template' in "
                                    "tokenizer_config.json); give whole prompts as 'prompt', without 'messages' and "
                                    "--chat");
  EXPECT_EQ(error_of("x", Given(R"({"messages": []})")), "a.jsonl:3: 'messages' is not a list of at least one message");
  EXPECT_EQ(error_of("x", Given(R"({"messages": "hi"})")),
            "a.jsonl:3: 'messages' is not a list of at least one message");
  EXPECT_EQ(error_of("x", Given(R"({"messages": [{"content": "hi"}]})")),
            "a.jsonl:3: message 1 has no 'role' that is a text");
  EXPECT_THAT(error_of("{{ raise_exception('roles must alternate') }}", chat), HasSubstr("roles must alternate"));
  EXPECT_EQ(error_of("{{ '' }}", chat), "a.jsonl:3: the prompt has no tokens; a prompt has at least one");
  Prompt bytes;
  bytes.text = "\xff";
  EXPECT_THAT(error_of("x", bytes), ::testing::StartsWith("text is not UTF-8"));
}

}  // namespace
}  // namespace hone
