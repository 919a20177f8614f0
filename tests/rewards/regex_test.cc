#include <gmock/gmock.h>

#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Verifier> Regex(const std::string& spec) { return BuildWith(NewRegexVerifier, spec).value(); }
std::string ErrorOf(const std::string& spec) {
  return std::string(BuildWith(NewRegexVerifier, spec).status().message());
}

TEST(RegexVerifier, ScoresAMatch) {
  const struct {
    const char *spec, *completion;
    double score;
  } kCases[] = {
      {"regex(pattern=\"[0-9]+\")", "the answer is 42.", 1},
      {"regex(pattern=\"[0-9]+\")", "no number", 0},
      {"regex(pattern=\"[0-9]+\", full=true)", "42", 1},
      {"regex(pattern=\"[0-9]+\", full=true)", "42.", 0},
      {"regex(pattern=\"^a$\")", "a\nb", 0},
      {"regex(pattern=\"(?m)^a$\")", "a\nb", 1},
      {"regex(pattern=\"a.b\")", "a\nb", 0},
      {"regex(pattern=\"(?s)a.b\")", "a\nb", 1},
      {"regex(pattern=\"a.b\")",
       "a\xc3\xa4"
       "b",
       1},
  };
  for (const auto& [spec, completion, score] : kCases) {
    const Verdict verdict = Regex(spec)->Verify(Prompt(), completion);
    EXPECT_EQ(verdict.score, score) << spec << ": " << completion;
    EXPECT_EQ(PartsText(verdict), "");
  }
  EXPECT_EQ(Regex("regex(pattern=\"a+\")")->Verify(Prompt(), "b").reason, "'a+' does not match");
}

TEST(RegexVerifier, ComparesAGroup) {
  const struct {
    const char *spec, *completion, *reason, *parts;
  } kCases[] = {
      {"regex(pattern=\"is ([0-9]+)\", group=1)", "it is 42.", "correct", "format=1"},
      {"regex(pattern=\"is (?P<n>[0-9]+)\", group=n)", "it is 42.", "correct", "format=1"},
      {"regex(pattern=\"[0-9]+\", group=0)", "it is 42.", "correct", "format=1"},
      {"regex(pattern=\"is([^.]*)\", group=1)", "it is 42 .", "correct", "format=1"},
      {"regex(pattern=\"is ([0-9]+)\", group=1)", "is 41, is 42", "found '41', wanted '42'", "format=1"},
      {"regex(pattern=\"(?s).*is ([0-9]+)\", group=1)", "is 41,\nis 42", "correct", "format=1"},
      {"regex(pattern=\"is ([0-9]+)\", group=1)", "42", "'is ([0-9]+)' does not match", "format=0"},
      {"regex(pattern=\"is|([0-9]+)\", group=1)", "is 42", "found '', wanted '42'", "format=1"},
  };
  for (const auto& [spec, completion, reason, parts] : kCases) {
    const Verdict verdict = Regex(spec)->Verify(Question("42"), completion);
    EXPECT_EQ(verdict.reason, reason) << spec << ": " << completion;
    EXPECT_EQ(verdict.score, std::string(reason) == "correct" ? 1.0 : 0.0);
    EXPECT_EQ(PartsText(verdict), parts);
  }
  const Verdict verdict = Regex("regex(pattern=\"(.*)\", group=1)")->Verify(Question(" "), "x");
  EXPECT_FALSE(verdict.score.has_value());
  EXPECT_EQ(verdict.reason, "the prompt has no answer to compare the group with");
}

TEST(RegexVerifier, RefusesWhatCannotBeCompiled) {
  EXPECT_EQ(ErrorOf("regex"), "regex: needs an option pattern=\"...\"");
  EXPECT_EQ(ErrorOf("regex(pattern=\"a(\")"), "regex: option 'pattern' is 'a(': missing ): a(; the syntax is RE2's");
  EXPECT_THAT(ErrorOf("regex(pattern=\"(a)\\\\1\")"), HasSubstr("invalid escape sequence: \\1"));
  EXPECT_THAT(ErrorOf("regex(pattern=\"(((a{99}){99}){99}){99}\")"), HasSubstr("regex: option 'pattern' is"));
  EXPECT_THAT(ErrorOf("regex(pattern=\"" + Repeated("[a-z\xc3\xa4]{999}", 40) + "\")"), HasSubstr("too large"));
  EXPECT_EQ(ErrorOf("regex(pattern=\"(a)\", group=2)"),
            "regex: option 'group' is 2, but the pattern has groups 0 .. 1");
  EXPECT_EQ(ErrorOf("regex(pattern=\"(a)\", group=-1)"),
            "regex: option 'group' is -1, but the pattern has groups 0 .. 1");
  EXPECT_EQ(ErrorOf("regex(pattern=\"(?P<number>a)\", group=numbr)"),
            "regex: option 'group' is 'numbr', but the pattern's groups have number; did you mean 'number'?");
  EXPECT_THAT(ErrorOf("regex(pattern=\"(a)\", group=x)"), HasSubstr("no names"));
}

TEST(RegexVerifier, WithstandsHostileCompletions) {
  // What takes a backtracking matcher exponential time.
  ExpectWithstandsHostileCompletions(*Regex("regex(pattern=\"^(a|a)*(a*)*(a+)+$\", full=true)"), Prompt(), 0, 1);
  ExpectWithstandsHostileCompletions(*Regex("regex(pattern=\"(a*)*(a+)+(.*.*.*=.*)$\", group=1)"), Question("b"), 0, 0);
  // Memory for automata runs out, and the slower way takes over.
  ExpectWithstandsHostileCompletions(*Regex("regex(pattern=\"[a-q][^u-z]{13}x.{40}y\")"), Prompt(), 0, 0);
  const auto large = Regex("regex(pattern=a)");
  EXPECT_EQ(large->Verify(Prompt(), std::string((1 << 20) + 1, 'a')).reason,
            "completion has 1048577 bytes, at most 1048576 are read");
  EXPECT_EQ(large->Verify(Prompt(), std::string(1 << 20, 'a')).score, 1.0);
}

}  // namespace
}  // namespace hone
