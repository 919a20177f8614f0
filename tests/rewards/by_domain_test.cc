#include <gmock/gmock.h>

#include "recipes/build.h"
#include "tests/rewards/verifying.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& spec) { return std::string(BuildVerifier(spec).status().message()); }

Verdict Verify(const std::string& spec, const std::string& metadata, const std::string& completion) {
  return BuildVerifier(spec).value()->Verify(Question("a", metadata), completion);
}

TEST(ByDomainVerifier, GoesWhereTheMetadataSays) {
  const std::string spec = "by_domain(words=length(max=2), \"lab/game one\"=countdown, exact=exact(ignore_case=true))";
  Verdict verdict = Verify(spec, R"({"data_source": "words"})", "x y z");
  EXPECT_EQ(verdict.score, 0.0);
  EXPECT_EQ(verdict.reason, "3 words, wanted at most 2");
  EXPECT_EQ(PartsText(verdict), "words=0 words/length=3");
  verdict = Verify(spec, R"({"data_source": "lab/game one", "numbers": [3, 5], "target": 8})", "3+5");
  EXPECT_EQ(verdict.score, 1.0);
  EXPECT_EQ(PartsText(verdict), "lab/game one=1 lab/game one/format=1 lab/game one/numbers=1");
  verdict = Verify(spec, R"({"data_source": "exact"})", "A");
  EXPECT_EQ(verdict.score, 1.0);
  EXPECT_EQ(PartsText(verdict), "exact=1");
}

TEST(ByDomainVerifier, OtherKeysAndDefault) {
  const std::string spec = "by_domain(key=\"my key\", words=length(max=2), default=exact)";
  EXPECT_EQ(PartsText(Verify(spec, R"({"my key": "words"})", "x")), "words=1 words/length=1");
  EXPECT_EQ(PartsText(Verify(spec, R"({"my key": "elsewhere"})", "a")), "default=1");
}

TEST(ByDomainVerifier, HasNoVerdictWhereNobodyIsResponsible) {
  const std::string spec = "by_domain(words=length(max=2), \"a/b\"=exact)";
  const std::pair<std::string, const char*> kCases[] = {
      {R"({"data_source": "word"})", "no verifier for data_source 'word'; have: words, a/b; or give a default=..."},
      {R"({"data_source": "length"})", "no verifier for data_source 'length'"},
      {R"({"data_source": "line\nend"})", "no verifier for data_source 'line\\nend'"},
      {"", "metadata is not a JSON object with \"data_source\""},
      {"[1]", "metadata is not a JSON object with \"data_source\""},
      {"{", "metadata is not a JSON object with \"data_source\""},
      {"{}", "metadata needs \"data_source\", the name of the prompt's domain"},
      {R"({"data_source": 5})", "metadata needs \"data_source\""},
      {"{\"data_source\": " + std::string(100000, '['), "metadata nests more than 100 deep"},
  };
  for (const auto& [metadata, reason] : kCases) {
    const Verdict verdict = Verify(spec, metadata, "a");
    EXPECT_FALSE(verdict.score.has_value()) << metadata;
    EXPECT_THAT(verdict.reason, HasSubstr(reason)) << metadata;
    EXPECT_TRUE(verdict.parts.empty());
  }
  // A default is for domains, not for prompts without one.
  EXPECT_FALSE(Verify("by_domain(words=length(max=2), default=exact)", "{}", "a").score.has_value());
  // And the verifier that is responsible may have none.
  const Verdict verdict = Verify("by_domain(game=countdown)", R"({"data_source": "game"})", "a");
  EXPECT_FALSE(verdict.score.has_value());
  EXPECT_THAT(verdict.reason, HasSubstr("game: metadata needs \"numbers\""));
}

TEST(ByDomainVerifier, SaysWhichDomainIsWrong) {
  EXPECT_EQ(
      ErrorOf("by_domain"),
      "by_domain: needs domains and their verifiers, like by_domain(key=data_source, gsm8k=gsm8k, default=exact)");
  EXPECT_EQ(ErrorOf("by_domain(default=exact)").substr(0, 25), "by_domain: needs domains ");
  EXPECT_EQ(ErrorOf("by_domain(\"a/b\"=exact(x=1))").substr(0, 43), "by_domain: a/b: exact: unknown option 'x'; ");
  EXPECT_EQ(ErrorOf("by_domain(exact=exact(x=1))").substr(0, 38), "by_domain: exact: unknown option 'x'; ");
  EXPECT_THAT(ErrorOf("by_domain(a=exact, default=exct)"), HasSubstr("by_domain: default: no verifier 'exct'"));
  EXPECT_THAT(ErrorOf("by_domain(a=1)"), HasSubstr("by_domain: a: '1': character 1: wanted a name"));
}

TEST(ByDomainVerifier, PrintsVerifiersWithAllTheirOptions) {
  std::string resolved, again;
  ASSERT_TRUE(BuildVerifier("by_domain(\"a/b\"=sum(exact=1), c=countdown, default=length(max=3))", &resolved).ok());
  EXPECT_EQ(resolved,
            "by_domain(key=data_source, default=length(unit=words, max=3, target=3, min=0), "
            "\"a/b\"=sum(exact=exact(strip=true, ignore_case=false, after=\"\", weight=1)), c=countdown(after=\"\"))");
  ASSERT_TRUE(BuildVerifier(resolved, &again).ok());
  EXPECT_EQ(again, resolved);
}

TEST(ByDomainVerifier, WithstandsHostileCompletions) {
  ExpectWithstandsHostileCompletions(*BuildVerifier("by_domain(a=format)").value(),
                                     Question("a", R"({"data_source": "a"})"), 0, 0);
}

}  // namespace
}  // namespace hone
