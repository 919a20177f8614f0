#include <gmock/gmock.h>

#include "recipes/build.h"
#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

constexpr char kProblem[] = R"({"numbers":[3,5],"target":8})";

std::string ErrorOf(const std::string& spec) { return std::string(BuildVerifier(spec).status().message()); }

Verdict Verify(const std::string& spec, const Prompt& prompt, const std::string& completion) {
  return BuildVerifier(spec).value()->Verify(prompt, completion);
}

TEST(SumVerifier, AddsWeightedScores) {
  const Verdict right =
      Verify("sum(countdown=1, style=regex(pattern=\"^3\", weight=0.25))", Question("", kProblem), "3+5");
  EXPECT_EQ(right.score, 1.25);  // 1 * 1 + 0.25 * 1
  EXPECT_EQ(PartsText(right), "countdown=1 countdown/format=1 countdown/numbers=1 style=1");
  EXPECT_EQ(right.reason, "countdown: correct; style: matches");
  const Verdict half =
      Verify("sum(countdown=1, style=regex(pattern=\"^3\", weight=0.25))", Question("", kProblem), "3-5");
  EXPECT_EQ(half.score, 0.25);
  EXPECT_EQ(PartsText(half), "countdown=0 countdown/format=1 countdown/numbers=1 style=1");
  EXPECT_EQ(half.reason, "countdown: value -2, wanted 8; style: matches");
}

TEST(SumVerifier, WeightsMayBeNegativeOrZero) {
  const Prompt prompt = Question("a");
  EXPECT_EQ(Verify("sum(exact=2, long=length(max=1, weight=-0.5))", prompt, "a").score, 1.5);  // 2 * 1 - 0.5 * 1
  const Verdict watched = Verify("sum(exact=1, repetition=0)", prompt, "a");
  EXPECT_EQ(watched.score, 1.0);
  EXPECT_EQ(PartsText(watched), "exact=1 repetition=1");
  // Without a weight it is 1.
  EXPECT_EQ(Verify("sum(a=exact, b=exact(after=\"=\"))", prompt, "=a").score, 1.0);
}

TEST(SumVerifier, SumsNest) {
  const Verdict verdict =
      Verify("sum(inner=sum(exact=1, repetition=1, weight=0.5), length=length(max=2))", Question("a"), "a");
  EXPECT_EQ(verdict.score, 2.0);  // 0.5 * (1 + 1) + 1
  EXPECT_EQ(PartsText(verdict), "inner=2 inner/exact=1 inner/repetition=1 length=1 length/length=1");
}

TEST(SumVerifier, HasNoVerdictWhereAPartHasNone) {
  const Verdict verdict = Verify("sum(format=1, exact=0)", Question(""), "a");
  EXPECT_FALSE(verdict.score.has_value());
  EXPECT_EQ(verdict.reason, "exact: the prompt has no answer to compare with");
  EXPECT_TRUE(verdict.parts.empty());
}

TEST(SumVerifier, SaysWhichPartIsWrong) {
  EXPECT_EQ(ErrorOf("sum"), "sum: needs verifiers and their weights, like sum(countdown=1, format=0.1)");
  EXPECT_EQ(ErrorOf("sum(format=format(tgas=a))"),
            "sum: format: unknown option 'tgas'; known: tags, prefilled; did you mean 'tags'?");
  EXPECT_EQ(ErrorOf("sum(style=format(tgas=a))"),
            "sum: style: format: unknown option 'tgas'; known: tags, prefilled; did you mean 'tags'?");
  EXPECT_THAT(ErrorOf("sum(formt=1)"), HasSubstr("sum: no verifier 'formt'; have: "));
  EXPECT_THAT(ErrorOf("sum(formt=1)"), HasSubstr("did you mean 'format'?"));
  EXPECT_THAT(ErrorOf("sum(style=formt)"), HasSubstr("sum: style: no verifier 'formt'; have: "));
  EXPECT_THAT(ErrorOf("sum(format=nan)"), HasSubstr("sum: format: option 'weight' is 'nan', wanted a number in"));
  EXPECT_THAT(ErrorOf("sum(a=format(weight=x))"), HasSubstr("sum: a: format: option 'weight' is 'x'"));
  EXPECT_THAT(ErrorOf("sum(\"a/b\"=1)"), HasSubstr("sum: 'a/b(weight=1)': character 2"));
  EXPECT_THAT(ErrorOf("sum(a=\"not a spec\")"), HasSubstr("sum: a: 'not a spec': character 5"));
  std::string deep = "exact";
  for (int i = 0; i < 20; ++i) deep = "sum(a=" + deep + ")";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("specs nest more than 8 deep"));
}

TEST(SumVerifier, PrintsPartsWithAllTheirOptions) {
  std::string resolved, again;
  ASSERT_TRUE(
      BuildVerifier("sum(countdown=1, style=format(tags=\"a,b\", weight=1e-1), s=sum(exact=exact))", &resolved).ok());
  EXPECT_EQ(resolved,
            "sum(countdown=countdown(after=\"\", weight=1), style=format(tags=\"a,b\", prefilled=\"\", weight=1e-1), "
            "s=sum(exact=exact(strip=true, ignore_case=false, after=\"\", weight=1), weight=1))");
  ASSERT_TRUE(BuildVerifier(resolved, &again).ok());
  EXPECT_EQ(again, resolved);
}

// Blocks on something outside, as far as the sum can see.
class WaitingVerifier : public Verifier {
 public:
  explicit WaitingVerifier(int concurrency) : concurrency_(concurrency) {}
  Verdict Verify(const Prompt&, const std::string&) const override { return {1.0, "waited", {}}; }
  int Concurrency() const override { return concurrency_; }

 private:
  const int concurrency_;
};

TEST(SumVerifier, HasUseForAsManyCallsAsItsBusiestPart) {
  const VerifierBuilder build = [](absl::string_view spec, std::string*) -> absl::StatusOr<std::unique_ptr<Verifier>> {
    return std::make_unique<WaitingVerifier>(spec == "a" ? 3 : spec == "b" ? 7 : 0);
  };
  Spec sum = Spec::Parse("sum(a=1, b=1, c=1)").value(), none = Spec::Parse("sum(c=1)").value();
  EXPECT_EQ(NewSumVerifier(sum, build).value()->Concurrency(), 7);
  EXPECT_EQ(NewSumVerifier(none, build).value()->Concurrency(), 0);
  Spec domains = Spec::Parse("by_domain(x=a, y=c, default=b)").value();
  EXPECT_EQ(NewByDomainVerifier(domains, build).value()->Concurrency(), 7);
}

TEST(SumVerifier, WithstandsHostileCompletions) {
  ExpectWithstandsHostileCompletions(*BuildVerifier("sum(countdown=1, format=0.1, repetition=1)").value(),
                                     Question("", kProblem), 0, 1.1);
}

}  // namespace
}  // namespace hone
