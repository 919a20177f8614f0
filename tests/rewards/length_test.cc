#include "tests/rewards/verifying.h"

namespace hone {
namespace {

std::unique_ptr<Verifier> Length(const std::string& spec) { return BuildWith(NewLengthVerifier, spec).value(); }
std::string ErrorOf(const std::string& spec) {
  return std::string(BuildWith(NewLengthVerifier, spec).status().message());
}

TEST(LengthVerifier, FallsInALineFromTargetToMax) {
  const auto verifier = Length("length(target=80, max=100)");
  const struct {
    size_t words;
    double score;
    const char* reason;
  } kCases[] = {
      {0, 1, "0 words"},
      {80, 1, "80 words"},
      {85, 0.75, "85 words, wanted at most 80"},  // (100 - 85) / 20
      {99, 0.05, "99 words, wanted at most 80"},
      {100, 0, "100 words, wanted at most 80"},
      {1000, 0, "1000 words, wanted at most 80"},
  };
  for (const auto& [words, score, reason] : kCases) {
    const Verdict verdict = verifier->Verify(Prompt(), Repeated("word ", words));
    EXPECT_DOUBLE_EQ(verdict.score.value(), score) << words;
    EXPECT_EQ(verdict.reason, reason);
    EXPECT_EQ(PartsText(verdict), absl::StrCat("length=", words));
  }
}

TEST(LengthVerifier, RisesInALineToMin) {
  const auto verifier = Length("length(unit=bytes, min=10, target=20, max=30)");
  for (const auto& [bytes, score] : {std::pair(0, 0.0), {4, 0.4}, {10, 1.0}, {20, 1.0}, {25, 0.5}, {30, 0.0}}) {
    EXPECT_DOUBLE_EQ(verifier->Verify(Prompt(), std::string(bytes, 'x')).score.value(), score) << bytes;
  }
  EXPECT_EQ(verifier->Verify(Prompt(), "x").reason, "1 bytes, wanted at least 10");
}

TEST(LengthVerifier, WithoutTargetMaxIsTheFirstLengthThatFails) {
  const auto verifier = Length("length(max=3)");
  EXPECT_EQ(verifier->Verify(Prompt(), "a b c").score, 1.0);
  EXPECT_EQ(verifier->Verify(Prompt(), "a b c d").score, 0.0);
}

TEST(LengthVerifier, CountsInThreeUnits) {
  const std::string text = " \xc3\xa4hm,\n1 \xf0\x9f\x98\x80\t";  // " ähm,\n1 😀\t"
  EXPECT_EQ(PartsText(Length("length(max=99)")->Verify(Prompt(), text)), "length=3");
  EXPECT_EQ(PartsText(Length("length(max=99, unit=characters)")->Verify(Prompt(), text)), "length=10");
  EXPECT_EQ(PartsText(Length("length(max=99, unit=bytes)")->Verify(Prompt(), text)), "length=14");
  // A cut character and a wrong byte: one each.
  EXPECT_EQ(PartsText(Length("length(max=99, unit=characters)")->Verify(Prompt(), "\xff\xf0\x9f\x98")), "length=2");
}

TEST(LengthVerifier, RefusesBoundsOutOfOrder) {
  EXPECT_EQ(ErrorOf("length"), "length: needs an option max=... of at least 1: the length that scores 0");
  EXPECT_EQ(ErrorOf("length(target=5)"), "length: needs an option max=... of at least 1: the length that scores 0");
  EXPECT_EQ(ErrorOf("length(target=5, max=4)"), "length: option 'target' is '5', wanted a whole number in 0 .. 4");
  EXPECT_EQ(ErrorOf("length(min=5, target=4, max=6)"), "length: option 'min' is '5', wanted a whole number in 0 .. 4");
  EXPECT_EQ(ErrorOf("length(max=4, unit=tokens)"),
            "length: option 'unit' is 'tokens', wanted one of words, characters, bytes");
}

TEST(LengthVerifier, WithstandsHostileCompletions) {
  for (const char* unit : {"words", "characters", "bytes"}) {
    ExpectWithstandsHostileCompletions(*Length(absl::StrCat("length(min=1, target=2, max=100, unit=", unit, ")")),
                                       Prompt(), 0, 1);
  }
}

}  // namespace
}  // namespace hone
