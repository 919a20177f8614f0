#include "engine/base/spec.h"

#include <gtest/gtest.h>

#include <limits>

namespace hone {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A component with one option of each type, as a slot's factory reads them.
struct Options {
  bool flag;
  int64_t count;
  double rate;
  std::string text, choice;
};

absl::StatusOr<Options> Read(Spec& spec) {
  Options options;
  options.flag = spec.Bool("flag", true);
  options.count = spec.Int("count", 3, 1, 64);
  options.rate = spec.Double("rate", 0.2, 0, 1);
  options.text = spec.Text("text", "");
  options.choice = spec.Choice("choice", "mean", {"mean", "sum"});
  HONE_RETURN_IF_ERROR(spec.Finish());
  return options;
}

std::string ErrorOf(absl::string_view text) {
  absl::StatusOr<Spec> spec = Spec::Parse(text);
  if (!spec.ok()) return std::string(spec.status().message());
  const auto options = Read(*spec);
  return options.ok() ? "OK" : std::string(options.status().message());
}

TEST(SpecTest, GivesWhatIsWrittenAndDefaultsElsewhere) {
  for (const char* text : {"c", "c()", " c ( ) "}) {
    absl::StatusOr<Spec> spec = Spec::Parse(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->name(), "c");
    const auto options = Read(*spec);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->flag, true);
    EXPECT_EQ(options->count, 3);
    EXPECT_EQ(options->rate, 0.2);
    EXPECT_EQ(options->text, "");
    EXPECT_EQ(options->choice, "mean");
  }
  absl::StatusOr<Spec> spec =
      Spec::Parse("c(flag=false,count = 64, rate=1e-3 , text=\"python3 v.py, \\\"x\\\" (\", choice=sum)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto options = Read(*spec);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->flag, false);
  EXPECT_EQ(options->count, 64);
  EXPECT_EQ(options->rate, 1e-3);
  EXPECT_EQ(options->text, "python3 v.py, \"x\" (");
  EXPECT_EQ(options->choice, "sum");
}

TEST(SpecTest, QuotesEscapesAndWords) {
  const auto text_of = [](absl::string_view value) {
    absl::StatusOr<Spec> spec = Spec::Parse(absl::StrCat("c(text=", value, ")"));
    return spec.ok() ? spec->Text("text", "") : std::string(spec.status().message());
  };
  EXPECT_EQ(text_of("'say \"hi\"'"), "say \"hi\"");
  EXPECT_EQ(text_of("\"it's\""), "it's");
  EXPECT_EQ(text_of("\"a\\nb\\tc\\\\d\\\"\""), "a\nb\tc\\d\"");
  EXPECT_EQ(text_of("\"größer\""), "größer");
  EXPECT_EQ(text_of("./lib-x_2.so:~/a*%"), "./lib-x_2.so:~/a*%");
  EXPECT_EQ(text_of("\"\""), "");
}

TEST(SpecTest, NestedSpecsArriveWhole) {
  absl::StatusOr<Spec> spec = Spec::Parse("outer(inner=mix( a = first(x=\")\"), b=2 ), count=7)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->Text("inner", ""), "mix( a = first(x=\")\"), b=2 )");
  EXPECT_EQ(spec->Int("count", 0, kMin, kMax), 7);
  absl::StatusOr<Spec> inner = Spec::Parse(spec->Text("inner", ""));
  ASSERT_TRUE(inner.ok()) << inner.status();
  EXPECT_EQ(inner->Text("a", ""), "first(x=\")\")");
}

TEST(SpecTest, OptionErrorsNameFoundWantedAndNearest) {
  const std::pair<const char*, const char*> cases[] = {
      {"c(flga=true)", "c: unknown option 'flga'; known: flag, count, rate, text, choice; did you mean 'flag'?"},
      {"c(zzzzzz=1)", "c: unknown option 'zzzzzz'; known: flag, count, rate, text, choice"},
      {"c(flag=yes)", "c: option 'flag' is 'yes', wanted true or false"},
      {"c(flag=1)", "c: option 'flag' is '1', wanted true or false"},
      {"c(rate=abc)", "c: option 'rate' is 'abc', wanted a number in 0 .. 1"},
      {"c(rate=nan)", "c: option 'rate' is 'nan', wanted a number in 0 .. 1"},
      {"c(rate=1.0001)", "c: option 'rate' is '1.0001', wanted a number in 0 .. 1"},
      {"c(rate='')", "c: option 'rate' is '', wanted a number in 0 .. 1"},
      {"c(count=1, rate=0)", "OK"},
      {"c(count=64, rate=1)", "OK"},
      {"c(count=0)", "c: option 'count' is '0', wanted a whole number in 1 .. 64"},
      {"c(count=65)", "c: option 'count' is '65', wanted a whole number in 1 .. 64"},
      {"c(count=1.5)", "c: option 'count' is '1.5', wanted a whole number in 1 .. 64"},
      {"c(count=99999999999999999999)",
       "c: option 'count' is '99999999999999999999', wanted a whole number in 1 .. 64"},
      {"c(choice=maen)", "c: option 'choice' is 'maen', wanted one of mean, sum; did you mean 'mean'?"},
      // The first wrong value read wins, before unknown options.
      {"c(choice=x, count=0, nope=1)", "c: option 'count' is '0', wanted a whole number in 1 .. 64"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(ErrorOf(text), wanted) << text;
}

TEST(SpecTest, QuotedNamesAreAnyText) {
  absl::StatusOr<Spec> spec = Spec::Parse("c(\"a/b (c)\"=d(e=1), 'plain' = 2)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->Text("a/b (c)", ""), "d(e=1)");
  EXPECT_EQ(spec->Int("plain", 0, kMin, kMax), 2);
  EXPECT_TRUE(spec->Finish().ok());
  EXPECT_EQ(spec->ToString(), "c(\"a/b (c)\"=d(e=1), plain=2)");
  const std::pair<const char*, const char*> cases[] = {
      {"c(\"\"=1)", "'c(\"\"=1)': character 3: an option's name is empty"},
      {"c(\"a)", "'c(\"a)': character 3: the quote is never closed"},
      {"c(\"a b\")", "'c(\"a b\")': character 8: option 'a b' has no value; write \"a b\"=..."},
      {"c(a=1, \"a\"=2)", "'c(a=1, \"a\"=2)': character 8: option 'a' is given twice"},
      {"c(\"a\\n\"=1)", "c: unknown option 'a\\n'; known: flag, count, rate, text, choice"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(ErrorOf(text), wanted) << text;
  EXPECT_NE(ErrorOf("c(\"" + std::string(65, 'x') + "\"=1)").find("a name of more than 64 bytes"), std::string::npos);
}

TEST(SpecTest, AComponentMayHoldOthers) {
  absl::StatusOr<Spec> spec = Spec::Parse("outer(zebra=z, \"a b\"=\"x y\", weight=0.5, deep=d(e=1))");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->Double("weight", 1, 0, 1), 0.5);
  EXPECT_EQ(spec->Unread(), (std::vector<std::string>{"zebra", "a b", "deep"}));
  EXPECT_FALSE(spec->Finish().ok());
  EXPECT_EQ(spec->TakeRest().value(), "outer(zebra=z, \"a b\"=\"x y\", deep=d(e=1))");
  EXPECT_TRUE(spec->Finish().ok());
  EXPECT_EQ(spec->ToString(), "outer(weight=0.5)");

  absl::StatusOr<Spec> wrong = Spec::Parse("outer(a=1, weight=x)");
  wrong->Double("weight", 1, 0, 1);
  EXPECT_EQ(wrong->TakeRest().status().message(), "outer: option 'weight' is 'x', wanted a number in 0 .. 1");
  absl::StatusOr<Spec> bare = Spec::Parse("outer(weight=1)");
  bare->Double("weight", 1, 0, 1);
  EXPECT_EQ(bare->TakeRest().value(), "outer");
}

TEST(SpecTest, NestedSpecsArePrintedAsResolved) {
  absl::StatusOr<Spec> spec = Spec::Parse("outer(inner=i, count=2)");
  EXPECT_EQ(spec->Text("inner", ""), "i");
  spec->Resolve("inner", "i(a=1)");
  spec->Resolve("count", "not read, so not there");
  EXPECT_EQ(spec->ToString(), "outer(inner=i(a=1))");
  EXPECT_EQ(spec->Int("count", 0, kMin, kMax), 2);
  EXPECT_EQ(spec->ToString(), "outer(inner=i(a=1), count=2)");
}

TEST(SpecTest, OpenRangesAreSaidAsSuch) {
  const auto error_of = [](auto read) {
    absl::StatusOr<Spec> spec = Spec::Parse("c(x=y)");
    read(*spec);
    return std::string(spec->Finish().message());
  };
  EXPECT_EQ(error_of([](Spec& s) { s.Int("x", 0, kMin, kMax); }), "c: option 'x' is 'y', wanted a whole number");
  EXPECT_EQ(error_of([](Spec& s) { s.Int("x", 0, -1, kMax); }),
            "c: option 'x' is 'y', wanted a whole number of at least -1");
  EXPECT_EQ(error_of([](Spec& s) { s.Double("x", 0, -kInfinity, 0.5); }),
            "c: option 'x' is 'y', wanted a number of at most 0.5");
  EXPECT_EQ(error_of([](Spec&) {}), "c: unknown option 'x'; it has no options");
  absl::StatusOr<Spec> infinite = Spec::Parse("c(x=inf)");
  infinite->Double("x", 0, -kInfinity, kInfinity);
  EXPECT_EQ(infinite->Finish().message(), "c: option 'x' is 'inf', wanted a number");
}

TEST(SpecTest, ADefaultOutOfRangeIsNoAccident) {
  absl::StatusOr<Spec> spec = Spec::Parse("c(low=50)");
  const int64_t low = spec->Int("low", 1, 1, 100);
  spec->Int("high", 10, low, 100);
  EXPECT_EQ(spec->Finish().message(), "c: option 'high' is '10' by default, wanted a whole number in 50 .. 100");
}

TEST(SpecTest, SyntaxErrorsNameTheCharacter) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "'': character 1: wanted a name, found the end"},
      {"  ", "'  ': character 3: wanted a name, found the end"},
      {"(a=1)", "'(a=1)': character 1: wanted a name, found '('"},
      {"1c", "'1c': character 1: wanted a name, found '1'"},
      {"größe", "'größe': character 3: unexpected 'ö' after the end"},
      {"c(a=1", "'c(a=1': character 2: '(' is never closed"},
      {"c(a=1,", "'c(a=1,': character 7: wanted an option's name, found the end"},
      {"c(a=1))", "'c(a=1))': character 7: unexpected ')' after the end"},
      {"c(a=1,)", "'c(a=1,)': character 7: wanted an option's name, found ')'"},
      {"c(a=1 b=2)", "'c(a=1 b=2)': character 7: wanted ',' or ')', found 'b'"},
      {"c(a)", "'c(a)': character 4: option 'a' has no value; write a=..."},
      {"c(a=)", "'c(a=)': character 5: option 'a' has no value; text with spaces or signs goes in quotes"},
      {"c(a=1, b=2, a=3)", "'c(a=1, b=2, a=3)': character 13: option 'a' is given twice"},
      {"c(a=d(b=1, b=2))", "'c(a=d(b=1, b=2))': character 12: option 'b' is given twice"},
      {"c(a=d(b=1)", "'c(a=d(b=1)': character 2: '(' is never closed"},
      {"c(a=\"x)", "'c(a=\"x)': character 5: the quote is never closed"},
      {"c(a=\"\\", "'c(a=\"\\': character 5: the quote is never closed"},
      {"c(a='ä' b=1)", "'c(a='ä' b=1)': character 9: wanted ',' or ')', found 'b'"},
      {"c d", "'c d': character 3: unexpected 'd' after the end"},
      {"c(a=1\n,,)", "'c(a=1\\n,,)': character 8: wanted an option's name, found ','"},
      {"c(a=\xff)", "'c(a=\\xff)': character 5: not UTF-8"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(ErrorOf(text), wanted) << text;
}

TEST(SpecTest, HostileTextIsRefusedCheaply) {
  std::string deep;
  for (int i = 0; i < 10000; ++i) deep += "c(a=";
  EXPECT_NE(ErrorOf(deep).find("specs nest more than 8 deep"), std::string::npos);
  EXPECT_EQ(ErrorOf(std::string(1 << 20, 'c')), "a spec of 1048576 bytes; 65536 are the most");
  EXPECT_NE(ErrorOf(std::string(65, 'c')).find("a name of more than 64 characters"), std::string::npos);
  std::string many = "c(a=1";
  for (int i = 0; i < 300; ++i) absl::StrAppend(&many, ",a", i, "=1");
  EXPECT_NE(ErrorOf(many + ")").find("more than 256 options"), std::string::npos);
  EXPECT_NE(ErrorOf(absl::string_view("c(a=\"\0\")", 8)).find("a zero byte"), std::string::npos);
  // A long value is shown by its ends.
  const std::string error = ErrorOf("c(count=" + std::string(5000, '9') + ")");
  EXPECT_LT(error.size(), 200u);
  EXPECT_NE(error.find("999...999"), std::string::npos);
}

TEST(SpecTest, ToStringReadsBackTheSame) {
  for (const char* text :
       {"c", "c(rate=1e-3, flag=false)", "c(text=\"a b\")", "c(text=\"x(\")", "c(text='q\"\\\\ \\n')", "c(text=d(e=1))",
        "c(text=\" d(e=1)\")", "c(text=\"\")", "c(text=\"ä\")"}) {
    absl::StatusOr<Spec> spec = Spec::Parse(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto options = Read(*spec);
    ASSERT_TRUE(options.ok()) << options.status();
    absl::StatusOr<Spec> again = Spec::Parse(spec->ToString());
    ASSERT_TRUE(again.ok()) << again.status();
    const auto options_again = Read(*again);
    ASSERT_TRUE(options_again.ok()) << options_again.status();
    EXPECT_EQ(options_again->text, options->text);
    EXPECT_EQ(options_again->rate, options->rate);
    EXPECT_EQ(options_again->flag, options->flag);
    EXPECT_EQ(again->ToString(), spec->ToString());
  }
  absl::StatusOr<Spec> spec = Spec::Parse("c(count=5)");
  ASSERT_TRUE(Read(*spec).ok());
  EXPECT_EQ(spec->ToString(), "c(flag=true, count=5, rate=0.2, text=\"\", choice=mean)");
  EXPECT_EQ(Spec::Parse("c")->ToString(), "c");
}

TEST(DidYouMeanTest, NearNamesOnly) {
  const std::vector<std::string> names = {"grpo", "dr_grpo", "rloo"};
  EXPECT_EQ(DidYouMean("gpro", names), "; did you mean 'grpo'?");       // one swap
  EXPECT_EQ(DidYouMean("GRPO", names), "; did you mean 'grpo'?");       // case is no edit
  EXPECT_EQ(DidYouMean("drgrpo", names), "; did you mean 'dr_grpo'?");  // one letter left out
  EXPECT_EQ(DidYouMean("ppo", names), "");                              // two edits in three letters
  EXPECT_EQ(DidYouMean("", names), "");
  EXPECT_EQ(DidYouMean("grpo", {}), "");
  EXPECT_EQ(DidYouMean(std::string(1 << 20, 'g'), names), "");
}

}  // namespace
}  // namespace hone
