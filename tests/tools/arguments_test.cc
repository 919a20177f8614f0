#include "tools/arguments.h"

#include <gtest/gtest.h>

namespace hone {
namespace {

// A command with an option of every kind.
struct Command {
  std::string recipe, prompt, prompts, dtype = "float32", model;
  int64_t n = 1;
  double temperature = 1;
  bool chat = false;
  std::vector<std::string> stop;
  std::vector<int64_t> k = {1};
  Arguments arguments{"generate", "Samples answers."};

  Command() {
    arguments.Positional("RECIPE", "the recipe", &recipe);
    arguments.Text("prompt", "TEXT", "one prompt", &prompt);
    arguments.Text("prompts", "FILE", "a file of prompts", &prompts);
    arguments.Text("model", "DIR", "the model's folder", &model);
    arguments.Int("n", "answers to each prompt", &n, 1, 1000);
    arguments.Double("temperature", "0 is greedy", &temperature, 0, 100);
    arguments.Flag("chat", "uses the chat template", &chat);
    arguments.List("stop", "TEXT", "ends an answer", &stop);
    arguments.IntList("k", "pass@k", &k, 1);
    arguments.Choice("dtype", "numbers in the file", &dtype, {"float32", "bfloat16"});
    arguments.Require("model");
    arguments.ExactlyOne({"prompt", "prompts"});
  }
  std::string Error(const std::vector<std::string>& list) {
    const absl::StatusOr<bool> help = arguments.ParseList(list);
    if (help.ok()) return *help ? "HELP" : "OK";
    EXPECT_EQ(help.status().code(), absl::StatusCode::kInvalidArgument);
    return ReportLine(help.status());
  }
};

TEST(ArgumentsTest, ReadsEveryKind) {
  Command c;
  EXPECT_EQ(c.Error({"--prompt", "hi there", "r.textproto", "--model=m", "--n=3", "--temperature", "0", "--chat",
                     "--stop", "a", "--stop=--b=c", "--k", "1,4,16", "--dtype", "bfloat16"}),
            "OK");
  EXPECT_EQ(c.recipe, "r.textproto");
  EXPECT_EQ(c.prompt, "hi there");
  EXPECT_EQ(c.model, "m");
  EXPECT_EQ(c.n, 3);
  EXPECT_EQ(c.temperature, 0);
  EXPECT_TRUE(c.chat);
  EXPECT_EQ(c.stop, (std::vector<std::string>{"a", "--b=c"}));
  EXPECT_EQ(c.k, (std::vector<int64_t>{1, 4, 16}));
  EXPECT_EQ(c.dtype, "bfloat16");
  EXPECT_TRUE(c.arguments.Given("prompt"));
  EXPECT_FALSE(c.arguments.Given("prompts"));
}

TEST(ArgumentsTest, DefaultsStay) {
  Command c;
  EXPECT_EQ(c.Error({"r", "--model", "m", "--prompt="}), "OK");  // an empty text is a text
  EXPECT_EQ(c.n, 1);
  EXPECT_EQ(c.temperature, 1);
  EXPECT_FALSE(c.chat);
  EXPECT_TRUE(c.stop.empty());
  EXPECT_EQ(c.k, (std::vector<int64_t>{1}));
  EXPECT_TRUE(c.arguments.Given("prompt"));
}

TEST(ArgumentsTest, DoubleDashEndsOptions) {
  Command c;
  EXPECT_EQ(c.Error({"--model", "m", "--prompt", "p", "--", "--recipe"}), "OK");
  EXPECT_EQ(c.recipe, "--recipe");
}

TEST(ArgumentsTest, EveryMistakeHasItsLine) {
  const std::vector<std::string> good = {"r", "--model", "m", "--prompt", "p"};
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--promt", "x"}, "no option '--promt'; did you mean '--prompt'?"},
      {{"--max-tokens=3"}, "no option '--max-tokens'; see hone generate --help"},
      {{"-n", "3"}, "no option '-n'; did you mean '--n'?"},
      {{"--n"}, "option '--n' needs a value: --n N"},
      {{"--n", "--chat"}, "option '--n' needs a value before '--chat'; write --n=... for a value that begins with --"},
      {{"--n", "0"}, "option '--n' is '0', wanted a whole number in 1 .. 1000"},
      {{"--n", "1001"}, "option '--n' is '1001', wanted a whole number in 1 .. 1000"},
      {{"--n", "-5"}, "option '--n' is '-5', wanted a whole number in 1 .. 1000"},
      {{"--n", "3x"}, "option '--n' is '3x', wanted a whole number in 1 .. 1000"},
      {{"--n="}, "option '--n' is '', wanted a whole number in 1 .. 1000"},
      {{"--n=2", "--n=2"}, "option '--n' is given twice"},
      {{"--temperature", "hot"}, "option '--temperature' is 'hot', wanted a number in 0 .. 100"},
      {{"--temperature", "nan"}, "option '--temperature' is 'nan', wanted a number in 0 .. 100"},
      {{"--temperature", "-0.1"}, "option '--temperature' is '-0.1', wanted a number in 0 .. 100"},
      {{"--chat=yes"}, "option '--chat' takes no value"},
      {{"--k", "1,,4"}, "option '--k' is '1,,4', wanted numbers with commas, each a whole number of at least 1"},
      {{"--dtype", "bfloat"},
       "option '--dtype' is 'bfloat', wanted one of float32, bfloat16; did you mean 'bfloat16'?"},
      {{"--prompts", "f"}, "'--prompt' and '--prompts' exclude each other; give one"},
      {{"other"}, "unexpected 'other'; RECIPE is 'r' already"},
      {{"--stop", "\xff"}, "option '--stop' is '\\xff', wanted UTF-8; byte 0 is not"},
      {{"--stop=a\xC3"}, "argument '--stop=a\\xc3' is not UTF-8 at byte 8"},
      {{"--bad\nname"}, "no option '--bad\\nname'; see hone generate --help"},
  };
  for (const auto& [extra, wanted] : cases) {
    std::vector<std::string> list = good;
    list.insert(list.end(), extra.begin(), extra.end());
    Command c;
    EXPECT_EQ(c.Error(list), std::string("hone: generate: ") + wanted);
  }
  const std::pair<std::vector<std::string>, const char*> missing[] = {
      {{}, "RECIPE is missing: the recipe"},
      {{"", "--model", "m", "--prompt", "p"}, "RECIPE is empty"},
      {{"r", "--prompt", "p"}, "option '--model' is missing: --model DIR"},
      {{"r", "--model", "m"}, "one of --prompt, --prompts is missing"},
  };
  for (const auto& [list, wanted] : missing) {
    Command c;
    EXPECT_EQ(c.Error(list), std::string("hone: generate: ") + wanted);
  }
  Arguments none("version", "Shows the version.");
  EXPECT_EQ(none.ParseList({"x"}).status().message(), "version: unexpected 'x'; it takes options only");
}

TEST(ArgumentsTest, HelpComesFromTheDeclarations) {
  for (const std::vector<std::string>& list :
       {std::vector<std::string>{"--help"}, {"-h"}, {"--nonsense", "--help"}, {"--n", "--help"}}) {
    EXPECT_EQ(Command().Error(list), "HELP");
  }
  EXPECT_NE(Command().Error({"r", "--model", "m", "--prompt", "-h"}), "HELP");  // a value
  EXPECT_NE(Command().Error({"--model", "m", "--prompt", "p", "--", "--help"}), "HELP");
  EXPECT_EQ(Command().arguments.Help(),
            "Usage: hone generate RECIPE --model DIR (--prompt | --prompts) [options]\n"
            "Samples answers.\n"
            "\n"
            "  RECIPE                        the recipe\n"
            "  --prompt TEXT                 one prompt\n"
            "  --prompts FILE                a file of prompts\n"
            "  --model DIR                   the model's folder (required)\n"
            "  --n N                         answers to each prompt (default 1)\n"
            "  --temperature X               0 is greedy (default 1)\n"
            "  --chat                        uses the chat template\n"
            "  --stop TEXT                   ends an answer (may be repeated)\n"
            "  --k N,N,...                   pass@k (default 1)\n"
            "  --dtype float32|bfloat16      numbers in the file (default float32)\n"
            "  --help                        prints this\n");
}

TEST(ArgumentsTest, ParseGivesTheExitStatus) {
  char name[] = "generate", help[] = "--help", wrong[] = "--wrong";
  char* help_argv[] = {name, help};
  testing::internal::CaptureStdout();
  EXPECT_EQ(Command().arguments.Parse(2, help_argv), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), Command().arguments.Help());
  char* wrong_argv[] = {name, wrong};
  testing::internal::CaptureStderr();
  EXPECT_EQ(Command().arguments.Parse(2, wrong_argv), 2);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "hone: generate: no option '--wrong'; see hone generate --help\n");
  char recipe[] = "r", model[] = "--model=m", prompt[] = "--prompt=p";
  char* good_argv[] = {name, recipe, model, prompt};
  EXPECT_EQ(Command().arguments.Parse(4, good_argv), std::nullopt);
}

TEST(ReportTest, OneLineOfAtMost400Bytes) {
  const absl::Status hostile = InputError("start ", std::string(5000, 'x'), "\nsecond line\x1b[0m the remedy");
  const std::string line = ReportLine(hostile);
  EXPECT_LE(line.size(), 400u);
  EXPECT_GE(line.size(), 390u);
  EXPECT_EQ(line.rfind("hone: start xxx", 0), 0u);
  const std::string tail = "xxx\\nsecond line\\x1b[0m the remedy";
  EXPECT_EQ(line.substr(line.size() - tail.size()), tail);
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(ReportTest, StatusesBecomeExitCodes) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Report(absl::OkStatus()), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  EXPECT_EQ(Report(InputError("a")), 2);
  EXPECT_EQ(Report(absl::NotFoundError("b")), 2);
  EXPECT_EQ(Report(absl::AlreadyExistsError("c")), 2);
  EXPECT_EQ(Report(absl::FailedPreconditionError("d")), 2);
  EXPECT_EQ(Report(absl::OutOfRangeError("e")), 2);
  EXPECT_EQ(Report(WorkError("f")), 1);
  EXPECT_EQ(Report(absl::UnknownError("g")), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "hone: a\nhone: b\nhone: c\nhone: d\nhone: e\nhone: f\nhone: g\n");
}

}  // namespace
}  // namespace hone
