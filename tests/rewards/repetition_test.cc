#include "tests/rewards/verifying.h"

namespace hone {
namespace {

std::unique_ptr<Verifier> Repetition(const std::string& spec) { return BuildWith(NewRepetitionVerifier, spec).value(); }

TEST(RepetitionVerifier, IsTheShareOfNewRuns) {
  const struct {
    const char *spec, *completion;
    double score;
    const char* reason;
  } kCases[] = {
      {"repetition", "a b c d e", 1, "0 of 3 runs of 3 words repeat an earlier one"},
      // abc bca cab abc bca cab abc: 3 of 7 are new.
      {"repetition", "a b c a b c a b c", 3.0 / 7, "4 of 7 runs of 3 words repeat an earlier one"},
      {"repetition", "A b  C\na B c", 0.75, "1 of 4 runs of 3 words repeat an earlier one"},
      {"repetition", "a a a a a a", 0.25, "3 of 4 runs of 3 words repeat an earlier one"},
      {"repetition", "ab c abc", 1, "0 of 1 runs of 3 words repeat an earlier one"},
      {"repetition", "a b", 1, "only 2 words"},
      {"repetition", "", 1, "only 0 words"},
      {"repetition(n=1)", "a a b", 2.0 / 3, "1 of 3 runs of 1 words repeat an earlier one"},
      {"repetition(n=2)", "a b a b", 2.0 / 3, "1 of 3 runs of 2 words repeat an earlier one"},
      // abc bca cab abc
      {"repetition(unit=characters)", "abcabc", 0.75, "1 of 4 runs of 3 characters repeat an earlier one"},
      {"repetition(unit=characters, n=1)", "\xc3\xa4\xc3\xb6", 1, "0 of 2 runs of 1 characters repeat an earlier one"},
  };
  for (const auto& [spec, completion, score, reason] : kCases) {
    const Verdict verdict = Repetition(spec)->Verify(Prompt(), completion);
    EXPECT_DOUBLE_EQ(verdict.score.value(), score) << spec << ": " << completion;
    EXPECT_EQ(verdict.reason, reason) << completion;
    EXPECT_TRUE(verdict.parts.empty());
  }
}

TEST(RepetitionVerifier, RefusesRunsWithoutLength) {
  EXPECT_EQ(BuildWith(NewRepetitionVerifier, "repetition(n=0)").status().message(),
            "repetition: option 'n' is '0', wanted a whole number in 1 .. 64");
}

TEST(RepetitionVerifier, WithstandsHostileCompletions) {
  ExpectWithstandsHostileCompletions(*Repetition("repetition"), Prompt(), 0, 1);
  ExpectWithstandsHostileCompletions(*Repetition("repetition(n=64, unit=characters)"), Prompt(), 0, 1);
  EXPECT_LT(Repetition("repetition")->Verify(Prompt(), Repeated("a b ", 1 << 20)).score.value(), 1e-4);
}

}  // namespace
}  // namespace hone
