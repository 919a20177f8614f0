#include "tests/rewards/verifying.h"

namespace hone {
namespace {

std::unique_ptr<Verifier> Format(const std::string& spec) { return BuildWith(NewFormatVerifier, spec).value(); }

struct Case {
  const char *completion, *reason, *parts;
};

void ExpectAll(const std::string& spec, const std::vector<Case>& cases) {
  const auto verifier = Format(spec);
  for (const auto& [completion, reason, parts] : cases) {
    const Verdict verdict = verifier->Verify(Prompt(), completion);
    EXPECT_EQ(verdict.reason, reason) << completion;
    EXPECT_EQ(PartsText(verdict), parts) << completion;
    EXPECT_EQ(verdict.score, std::string(reason) == "correct" ? 1.0 : 0.0) << completion;
  }
}

TEST(FormatVerifier, WantsEachTagOnceAndInOrder) {
  ExpectAll(
      "format",
      {
          {"<think>a</think><answer>b</answer>", "correct", "think=1 answer=1"},
          {" \n<think>\na < b > c\n</think>\n\n<answer></answer>\n", "correct", "think=1 answer=1"},
          {"<think><b>bold</b></think><answer>x</answer>", "correct", "think=1 answer=1"},
          {"", "no <think>", "think=0 answer=0"},
          {"42", "no <think>", "think=0 answer=0"},
          {"<think>a", "no </think>", "think=0 answer=0"},
          {"<think>a</think>", "no <answer>", "think=1 answer=0"},
          {"<think>a</think> 42", "no <answer>", "think=1 answer=0"},
          {"<think>a</think><answer>b", "no </answer>", "think=1 answer=0"},
          {"<answer>b</answer>", "<answer> at byte 1, wanted <think> before it", "think=0 answer=1"},
          {"<answer>b</answer><think>a</think>", "<answer> at byte 1, wanted <think> before it", "think=1 answer=1"},
          {"<think>a<answer>b</answer></think>", "<answer> at byte 9, wanted </think> before it", "think=1 answer=1"},
          {"<think>a<think>b</think><answer>c</answer>", "<think> stands again at byte 9", "think=0 answer=1"},
          {"<think>a</think><think>b</think><answer>c</answer>", "<think> stands again at byte 17", "think=0 answer=1"},
          {"<think>a</think><answer>c</answer><answer>d</answer>", "<answer> stands again at byte 35",
           "think=1 answer=0"},
          {"</think>a<think><answer>c</answer>", "</think> at byte 1, wanted <think> before it", "think=0 answer=1"},
          {"So: <think>a</think><answer>b</answer>", "text outside of the tags: 'So:'", "think=1 answer=1"},
          {"<think>a</think> so <answer>b</answer>", "text outside of the tags: 'so'", "think=1 answer=1"},
          {"<think>a</think><answer>b</answer>.\n", "text outside of the tags: '.'", "think=1 answer=1"},
          // Not these tags.
          {"<Think>a</Think><answer>b</answer>", "<answer> at byte 17, wanted <think> before it", "think=0 answer=1"},
          {"<think >a</think><answer>b</answer>", "</think> at byte 10, wanted <think> before it", "think=0 answer=1"},
          {"<think", "no <think>", "think=0 answer=0"},
          {"</", "no <think>", "think=0 answer=0"},
      });
}

TEST(FormatVerifier, APromptMayHaveOpenedTheFirstTag) {
  ExpectAll("format(prefilled=think)",
            {
                {"a</think><answer>b</answer>", "correct", "think=1 answer=1"},
                {"<think>a</think><answer>b</answer>", "<think> stands again at byte 1", "think=0 answer=1"},
                {"a<answer>b</answer>", "<answer> at byte 2, wanted </think> before it", "think=0 answer=1"},
                {"", "no </think>", "think=0 answer=0"},
            });
}

TEST(FormatVerifier, TakesOtherTags) {
  ExpectAll("format(tags=answer)", {{"<answer>b</answer>", "correct", "answer=1"}, {"b", "no <answer>", "answer=0"}});
  ExpectAll("format(tags=\"a, a-b, a_1\")", {{"<a><a-c></a><a-b></a-b><a_1></a_1>", "correct", "a=1 a-b=1 a_1=1"}});
}

TEST(FormatVerifier, RefusesWrongTags) {
  const auto error_of = [](const std::string& spec) {
    return std::string(BuildWith(NewFormatVerifier, spec).status().message());
  };
  for (const char* tags : {"", "think,", "<think>", "a,a", "a b"}) {
    EXPECT_EQ(error_of(absl::StrCat("format(tags=\"", tags, "\")")),
              absl::StrCat("format: option 'tags' is '", tags, "', wanted up to 16 different names like think,answer"));
  }
  EXPECT_EQ(error_of("format(prefilled=answer)"),
            "format: option 'prefilled' is 'answer', but the first tag is 'think'");
}

TEST(FormatVerifier, WithstandsHostileCompletions) {
  ExpectWithstandsHostileCompletions(*Format("format"), Prompt(), 0, 0);
  ExpectWithstandsHostileCompletions(*Format("format(prefilled=think)"), Prompt(), 0, 0);
  const std::string long_thought = "<think>" + std::string(1 << 22, '\0') + "</think><answer>\xff</answer>";
  EXPECT_EQ(Format("format")->Verify(Prompt(), long_thought).score, 1.0);
}

}  // namespace
}  // namespace hone
