#include "tests/rewards/verifying.h"

namespace hone {
namespace {

std::unique_ptr<Verifier> Exact(const std::string& spec) { return BuildWith(NewExactVerifier, spec).value(); }

Verdict Verify(const std::string& spec, const std::string& answer, const std::string& completion) {
  return Exact(spec)->Verify(Question(answer), completion);
}

TEST(ExactVerifier, ComparesTheWholeCompletion) {
  const struct {
    const char *spec, *answer, *completion;
    double score;
    const char* reason;
  } kCases[] = {
      {"exact", "Paris", "Paris", 1, "correct"},
      {"exact", "Paris", " Paris\n", 1, "correct"},
      {"exact", "\tParis ", "Paris", 1, "correct"},
      {"exact", "Paris", "paris", 0, "found 'paris', wanted 'Paris'"},
      {"exact", "Paris", "Paris!", 0, "found 'Paris!', wanted 'Paris'"},
      {"exact", "Paris", "", 0, "found '', wanted 'Paris'"},
      {"exact(strip=false)", "Paris", "Paris\n", 0, "found 'Paris\\n', wanted 'Paris'"},
      {"exact(strip=false)", "Paris\n", "Paris\n", 1, "correct"},
      {"exact(ignore_case=true)", "Paris", "pARIS", 1, "correct"},
      {"exact(ignore_case=true)",
       "Stra\xc3\x9f"
       "e",
       "STRA\xc3\x9f"
       "E",
       1, "correct"},
  };
  for (const auto& [spec, answer, completion, score, reason] : kCases) {
    const Verdict verdict = Verify(spec, answer, completion);
    EXPECT_EQ(verdict.score, score) << completion;
    EXPECT_EQ(verdict.reason, reason);
    EXPECT_EQ(PartsText(verdict), "");
  }
}

TEST(ExactVerifier, ReadsBehindTheLastOccurrence) {
  const std::string spec = "exact(after=\"####\")";
  Verdict verdict = Verify(spec, "7", "3 + 4 is #### 8, no:\n#### 7");
  EXPECT_EQ(verdict.score, 1.0) << verdict.reason;
  EXPECT_EQ(PartsText(verdict), "format=1");
  verdict = Verify(spec, "7", "#### 7 #### 8");
  EXPECT_EQ(verdict.score, 0.0);
  EXPECT_EQ(PartsText(verdict), "format=1");
  EXPECT_EQ(verdict.reason, "found '8', wanted '7'");
  verdict = Verify(spec, "7", "7");
  EXPECT_EQ(verdict.score, 0.0);
  EXPECT_EQ(PartsText(verdict), "format=0");
  EXPECT_EQ(verdict.reason, "no '####' in the completion");
}

TEST(ExactVerifier, HasNoVerdictWithoutAnswer) {
  for (const char* answer : {"", " \n"}) {
    const Verdict verdict = Verify("exact", answer, "");
    EXPECT_FALSE(verdict.score.has_value());
    EXPECT_EQ(verdict.reason, "the prompt has no answer to compare with");
  }
  EXPECT_TRUE(Verify("exact(strip=false)", " ", " ").score.has_value());
}

TEST(ExactVerifier, WithstandsHostileCompletions) {
  ExpectWithstandsHostileCompletions(*Exact("exact"), Question("a"), 0, 0);
  ExpectWithstandsHostileCompletions(*Exact("exact(ignore_case=true, after=\"<\")"), Question("a"), 0, 0);
  // Bytes are compared, whatever they are.
  EXPECT_EQ(Verify("exact", std::string("a\0b", 3), std::string("a\0b", 3)).score, 1.0);
  EXPECT_EQ(Verify("exact", std::string("a\0b", 3), std::string("a\0c", 3)).score, 0.0);
  EXPECT_EQ(Verify("exact", "\xff", "\xff").score, 1.0);
}

TEST(ExactVerifier, RefusesUnknownOptions) {
  EXPECT_EQ(BuildWith(NewExactVerifier, "exact(afer=x)").status().message(),
            "exact: unknown option 'afer'; known: strip, ignore_case, after; did you mean 'after'?");
}

}  // namespace
}  // namespace hone
