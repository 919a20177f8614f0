#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/file.h"
#include "rollout/task.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

// Tests of one program may run beside one another.
std::string Path(const std::string& name) { return absl::StrCat(::testing::TempDir(), "/", getpid(), "_", name); }

std::string Write(const std::string& name, const std::string& content) {
  EXPECT_TRUE(WriteFile(Path(name), content).ok());
  return Path(name);
}

absl::StatusOr<std::unique_ptr<Task>> Build(const std::string& options) {
  HONE_ASSIGN_OR_RETURN(Spec spec, Spec::Parse(absl::StrCat("jsonl(", options, ")")));
  return NewJsonlTask(spec);
}

std::string ErrorOf(const std::string& options) { return std::string(Build(options).status().message()); }

std::string Numbered(int begin, int end) {
  std::string lines;
  for (int i = begin; i < end; ++i) {
    absl::StrAppend(&lines, "{\"id\": ", i, ", \"prompt\": \"What is ", i, "?\", \"answer\": \"", i, "\"}\n");
  }
  return lines;
}

std::vector<Prompt> All(const Task& task, Split split) {
  std::vector<Prompt> prompts;
  for (uint64_t index = 0; index < task.Size(split).value(); ++index) prompts.push_back(task.At(split, index));
  return prompts;
}

std::set<std::string> Texts(const Task& task, Split split) {
  std::set<std::string> texts;
  for (const Prompt& prompt : All(task, split)) texts.insert(prompt.text);
  return texts;
}

TEST(JsonlTask, ReadsPromptAnswerAndMetadata) {
  const std::string path =
      Write("a.jsonl",
            "{\"prompt\": \"1 \xc3\xa4\", \"answer\": \"one\", \"metadata\": {\"b\": [1, 2.5], \"a\": {}}, "
            "\"id\": 7, \"other\": null}\r\n\n  \n{\"prompt\": \"2\"}\n{\"prompt\": \"3\"}");
  const auto task = Build(absl::StrCat("path=\"", path, "\", held_out=0.1, order=file, verifier=sum(gsm8k=1)"));
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->DefaultVerifier(), "sum(gsm8k=1)");
  std::map<std::string, Prompt> by_text;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (const Prompt& prompt : All(**task, split)) by_text[prompt.text] = prompt;
  }
  ASSERT_EQ(by_text.size(), 3u);
  EXPECT_EQ(by_text["1 \xc3\xa4"].answer, "one");
  EXPECT_EQ(by_text["1 \xc3\xa4"].metadata, R"({"a":{},"b":[1,2.5]})");
  EXPECT_EQ(by_text["2"].answer, "");
  EXPECT_EQ(by_text["2"].metadata, "");
  EXPECT_TRUE(by_text["2"].tokens.empty());
  EXPECT_EQ((*task)->Demonstration(by_text["2"]), std::nullopt);
}

TEST(JsonlTask, HoldsOutAShareOfThePrompts) {
  const std::string path = Write("b.jsonl", Numbered(0, 1000) + Numbered(0, 100));  // 100 prompts stand twice
  const auto task = Build(absl::StrCat("path=\"", path, "\", held_out=0.2")).value();
  const auto train = Texts(*task, Split::kTrain), held_out = Texts(*task, Split::kHeldOut);
  EXPECT_EQ(held_out.size(), 200u);
  EXPECT_EQ(train.size(), 800u);
  for (const std::string& text : held_out) EXPECT_FALSE(train.contains(text)) << text;
  EXPECT_EQ(task->Size(Split::kTrain).value() + task->Size(Split::kHeldOut).value(), 1100u);

  // A new first line moves next to nothing, and larger shares hold more out.
  const std::string grown = Write("c.jsonl", Numbered(2000, 2001) + Numbered(0, 1000));
  const auto grown_held_out =
      Texts(*Build(absl::StrCat("path=\"", grown, "\", held_out=0.2")).value(), Split::kHeldOut);
  std::vector<std::string> moved;
  std::set_symmetric_difference(held_out.begin(), held_out.end(), grown_held_out.begin(), grown_held_out.end(),
                                std::back_inserter(moved));
  EXPECT_LE(moved.size(), 2u);
  const auto larger = Texts(*Build(absl::StrCat("path=\"", path, "\", held_out=0.3")).value(), Split::kHeldOut);
  EXPECT_TRUE(std::includes(larger.begin(), larger.end(), held_out.begin(), held_out.end()));
}

TEST(JsonlTask, BothSplitsGetAPrompt) {
  const std::string path = Write("d.jsonl", Numbered(0, 2));
  for (const char* share : {"0.001", "0.9"}) {
    const auto task = Build(absl::StrCat("path=\"", path, "\", held_out=", share)).value();
    EXPECT_EQ(task->Size(Split::kTrain), 1u);
    EXPECT_EQ(task->Size(Split::kHeldOut), 1u);
  }
  const std::string one = Write("e.jsonl", Numbered(0, 1) + Numbered(0, 1));
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", one, "\"")),
            one + ": one prompt cannot be split in two; add lines or give held_out_path");
}

TEST(JsonlTask, HeldOutPromptsMayBeAFile) {
  const std::string train = Write("f.jsonl", Numbered(0, 5)), test = Write("g.jsonl", Numbered(5, 8));
  const std::string both = absl::StrCat("path=\"", train, "\", held_out_path=\"", test, "\"");
  const auto task = Build(both + ", order=file").value();
  EXPECT_EQ(task->Size(Split::kTrain), 5u);
  EXPECT_EQ(task->Size(Split::kHeldOut), 3u);
  EXPECT_EQ(task->At(Split::kTrain, 4).text, "What is 4?");
  EXPECT_EQ(task->At(Split::kHeldOut, 0).text, "What is 5?");
  Write("g.jsonl", Numbered(5, 6) + "\n" + Numbered(3, 4));
  EXPECT_EQ(ErrorOf(both), absl::StrCat(test, ":3: the prompt stands in ", train,
                                        ":4 as well; what is held out must not be trained on, so take it out of one "
                                        "of them"));
}

TEST(JsonlTask, OrderIsOfTheFileOrOfTheSeed) {
  const std::string path = Write("h.jsonl", Numbered(0, 100));
  const auto texts = [&](const std::string& options) {
    std::vector<std::string> list;
    for (const Prompt& prompt : All(*Build(absl::StrCat("path=\"", path, "\"", options)).value(), Split::kTrain)) {
      list.push_back(prompt.text);
    }
    return list;
  };
  const auto in_file = texts(", order=file"), random = texts(""), other = texts(", seed=2");
  EXPECT_TRUE(std::is_sorted(in_file.begin(), in_file.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.size(), a) < std::make_pair(b.size(), b);  // "What is 9?" before "What is 10?"
  }));
  EXPECT_NE(random, in_file);
  EXPECT_NE(random, other);
  EXPECT_EQ(random, texts(""));
  EXPECT_THAT(random, ::testing::UnorderedElementsAreArray(in_file));
}

TEST(JsonlTask, KeysAreOfTheContent) {
  const auto keys = [](const std::string& name, const std::string& content) {
    const auto task = Build(absl::StrCat("path=\"", Write(name, content), "\"")).value();
    std::multimap<std::string, uint64_t> by_text;
    for (const Split split : {Split::kTrain, Split::kHeldOut}) {
      for (const Prompt& prompt : All(*task, split)) by_text.emplace(prompt.text, prompt.key);
    }
    return by_text;
  };
  const auto first = keys("i.jsonl", Numbered(0, 50)), later = keys("j.jsonl", Numbered(60, 70) + Numbered(0, 50));
  for (const auto& [text, key] : first) EXPECT_EQ(later.find(text)->second, key) << text;
  std::set<uint64_t> distinct;
  for (const auto& [text, key] : keys("k.jsonl", Numbered(0, 50) + Numbered(0, 50))) distinct.insert(key);
  EXPECT_EQ(distinct.size(), 100u);
}

TEST(JsonlTask, TemplatesAndDemonstrations) {
  const std::string path = Write("l.jsonl", R"({"prompt": "{prompt}1", "solution": "one"})"
                                            "\n"
                                            R"({"prompt": "2", "solution": "two"})");
  const auto task =
      Build(absl::StrCat("path=\"", path, "\", prompt_template=\"Q: {prompt}\\nA {x}:\", demonstration_key=solution"));
  ASSERT_TRUE(task.ok()) << task.status();
  std::map<std::string, std::string> answers;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (const Prompt& prompt : All(**task, split)) answers[prompt.text] = (*task)->Demonstration(prompt).value();
  }
  EXPECT_EQ(answers, (std::map<std::string, std::string>{{"Q: {prompt}1\nA {x}:", "one"}, {"Q: 2\nA {x}:", "two"}}));
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", path, "\", prompt_template=x")),
            "jsonl: option 'prompt_template' is 'x', wanted a text with {prompt} in it");
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", path, "\", demonstration_key=answer")),
            path + ":1: 'answer' is missing or not a text");
}

// The prompts of a file in their order, and the last one held out: the file's last line.
std::vector<Prompt> InOrder(const std::string& name, const std::string& content, const std::string& options = "") {
  const std::string held_out = Write(absl::StrCat("held_out_", name), R"({"prompt": "held out", "s": "x"})");
  const auto task =
      Build(absl::StrCat("path=\"", Write(name, content), "\", held_out_path=\"", held_out, "\", order=file", options));
  EXPECT_TRUE(task.ok()) << task.status();
  return All(**task, Split::kTrain);
}

TEST(JsonlTask, ReadsChatsAndTokens) {
  const std::vector<Prompt> prompts =
      InOrder("o.jsonl", R"({"messages": [{"role": "user", "content": "q"}], "answer": "a", "metadata": {"b": 1}})"
                         "\n\n"
                         R"({"tokens": [5, 6], "answer": "a"})"
                         "\n");
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].conversation, R"({"messages":[{"role":"user","content":"q"}]})");
  EXPECT_EQ(prompts[0].answer, "a");
  EXPECT_EQ(prompts[0].metadata, R"({"b":1})");
  EXPECT_EQ(prompts[0].where, Path("o.jsonl") + ":1");
  EXPECT_THAT(prompts[1].tokens, ::testing::ElementsAre(5, 6));
  EXPECT_EQ(prompts[1].where, Path("o.jsonl") + ":3");
}

TEST(JsonlTask, KeysAndSplitsAreOfWhatIsAsked) {
  const std::string chat = R"("messages": [{"role": "user", "content": "q"}])";
  // One question twice with other ids and solutions, the same with another answer, with a tool, and a text that spells it.
  const std::vector<Prompt> prompts =
      InOrder("p.jsonl",
              "{" + chat + R"(, "id": 1, "s": "x"})" + "\n{" + chat + R"(, "id": 2, "s": "y"})" + "\n{" + chat +
                  R"(, "answer": "a", "s": "x"})" + "\n{" + chat + R"(, "tools": [{}], "s": "x"})" + "\n" +
                  R"({"prompt": "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}", "s": "x"})" + "\n" +
                  R"({"tokens": [1, 2], "s": "x"})" + "\n" + R"({"tokens": [12], "s": "x"})" + "\n",
              ", demonstration_key=s");
  std::set<uint64_t> keys;
  for (const Prompt& prompt : prompts) keys.insert(prompt.key);
  EXPECT_EQ(keys.size(), 7u);

  // Two lines of one chat cannot be on both sides.
  const std::string one = Write("q.jsonl", "{" + chat + R"(, "id": 1})" + "\n{" + chat + R"(, "answer": "a"})");
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", one, "\"")),
            one + ": one prompt cannot be split in two; add lines or give held_out_path");
  const std::string other = Write("r.jsonl", "{" + chat + R"(, "answer": "b"})");
  EXPECT_THAT(ErrorOf(absl::StrCat("path=\"", one, "\", held_out_path=\"", other, "\"")),
              HasSubstr(absl::StrCat(other, ":1: the prompt stands in ", one, ":1 as well")));
}

TEST(JsonlTask, ATemplateOfTextsIsForTexts) {
  const std::string path = Write("s.jsonl", R"({"prompt": "a"})"
                                            "\n"
                                            R"({"tokens": [1]})");
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", path, "\", prompt_template=\"Q: {prompt}\"")),
            path +
                ":2: has no 'prompt' for the option 'prompt_template'; leave the option out or put lines of one "
                "kind into a file");
}

TEST(JsonlTask, NamesTheLineThatIsWrong) {
  EXPECT_EQ(ErrorOf(""), "jsonl: needs an option path=\"...\", a file of JSON lines");
  EXPECT_THAT(ErrorOf("path=\"/nowhere/x.jsonl\""), HasSubstr("/nowhere/x.jsonl"));
  EXPECT_THAT(ErrorOf("path=x, held_out=0"), HasSubstr("'held_out' is '0', wanted a number in"));
  const std::pair<std::string, const char*> kCases[] = {
      {"x", "not a JSON object in UTF-8; one object a line is wanted"},
      {"[]", "not a JSON object in UTF-8"},
      {"{\"prompt\": \"\xff\"}", "not a JSON object in UTF-8"},
      {"{}", "holds 0 of 'prompt', 'messages' and 'tokens', wanted exactly one"},
      {R"({"prompt": "a", "messages": []})", "holds 2 of 'prompt', 'messages' and 'tokens', wanted exactly one"},
      {R"({"prompt": 5})", "'prompt' is missing or not a text"},
      {R"({"prompt": "a", "answer": 5})", "'answer' is missing or not a text"},
      {R"({"prompt": "a", "metadata": "x"})", "'metadata' is not an object"},
      {R"({"tokens": [1, -2]})", "'tokens' holds -2, wanted ids from 0 on"},
      {std::string(200, '['), "nests more than 100 deep"},
  };
  for (const auto& [line, error] : kCases) {
    const std::string path = Write("m.jsonl", Numbered(0, 1) + "\n" + line + "\n");
    EXPECT_THAT(ErrorOf(absl::StrCat("path=\"", path, "\"")), HasSubstr(absl::StrCat(path, ":3: ", error))) << line;
  }
  const std::string empty = Write("n.jsonl", "\n \n");
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", empty, "\"")), empty + ": no lines; one JSON object a line is wanted");
}

TEST(JsonlTask, ReadsAPromptByAnotherName) {
  const std::string path = Write("questions.jsonl", R"({"question": "What is 1?", "answer": "1"})"
                                                    "\n"
                                                    R"({"question": "What is 2?", "answer": "2"})");
  const auto task = Build(absl::StrCat("path=\"", path, "\", prompt_key=question, held_out=0.5, order=file"));
  ASSERT_TRUE(task.ok()) << task.status();
  std::set<std::string> texts = Texts(**task, Split::kTrain);
  texts.merge(Texts(**task, Split::kHeldOut));
  EXPECT_EQ(texts, (std::set<std::string>{"What is 1?", "What is 2?"}));
  EXPECT_EQ((*task)->At(Split::kTrain, 0).answer.size(), 1u);
  EXPECT_EQ(ErrorOf(absl::StrCat("path=\"", path, "\", prompt_key=query")),
            path + ":1: 'query' is missing or not a text");
}

}  // namespace
}  // namespace hone
