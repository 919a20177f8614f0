// The math verifier on hostile and on random input, and its arithmetic beside a second opinion.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "rewards/math/equivalence.h"
#include "rewards/math/exact.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

Verdict Verify(const std::string& gold, const std::string& completion) {
  Spec spec = Spec::Parse("math").value();
  Prompt prompt;
  prompt.answer = gold;
  return NewMathVerifier(spec).value()->Verify(prompt, completion);
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int time = 0; time < times; ++time) all += text;
  return all;
}

TEST(MathVerifier, HostileAnswersAreWrongAnswers) {
  const std::string kAnswers[] = {
      Repeat("(", 1000000),
      Repeat("{", 2000),
      Repeat("-", 3000) + "1" + Repeat("!", 900),
      Repeat("\\frac{1}{", 400) + "2" + Repeat("}", 400),
      Repeat("((1<2)<", 30) + "3" + Repeat(")", 30),
      Repeat("\\boxed{", 100000),
      Repeat("the answer is ", 100000),
      Repeat("\\sqrt", 900) + "2",
      Repeat("2^", 900) + "2",
      Repeat("|", 2000),
      Repeat("1,", 2000) + "1",
      Repeat("1000! + ", 400) + "1",
      Repeat("\\binom{10^9}{1000} + ", 100) + "1",
      Repeat("\\begin{pmatrix}", 100),
      Repeat("\\text{\\text{", 200) + "1",
      Repeat("$", 100000),
      Repeat("\\( ", 20000),
      Repeat("1 ", 100000) + "2",
      Repeat("9", 4000),
      "1e999999",
      "10^{10^{10^{10}}}",
      "9!!!!",
      "(a+b+c)^{1000000000000}",
      "(10^{9})!",
      "0^0",
      "\\frac{0}{0}",
      "\\log_1 5",
      "\\tan 90^\\circ",
      "x_{",
      "\\begin{",
      "\\end{x}",
      "\\sqrt[0]{5}",
      "\\left",
      "\\",
      "^",
      "_",
      "^{",
      "1_",
      "1_{2",
      "\\frac",
      "\\frac1",
      "\\binom{1}",
      "\\sin",
      "\\log_",
      std::string("5\0", 2),
      "\xff\xfe",
      "\xe2\x88",
      "\\text",
      "\\{",
      "\\{1|",
      "5%%%%",
      "\\overline{3}",
      "1.2.3.4",
      "1,,,2",
      "<",
      "x<",
      "<x",
      "(,)",
  };
  for (const std::string& answer : kAnswers) {
    for (const std::string& completion : {answer, "\\boxed{" + answer + "}", "The answer is $" + answer + "$."}) {
      const Verdict verdict = Verify("7", completion);
      EXPECT_EQ(verdict.score, 0.0) << completion.substr(0, 60) << ": " << verdict.reason;
      EXPECT_LT(verdict.reason.size(), 400u);
      EXPECT_EQ(verdict.reason.find('\n'), std::string::npos);
    }
    const Verdict as_gold = Verify(answer, "\\boxed{7}");  // neither crashes nor accepts
    EXPECT_NE(as_gold.score, 1.0) << answer.substr(0, 60) << ": " << as_gold.reason;
  }
}

TEST(MathVerifier, LimitsAreNamed) {
  EXPECT_THAT(math::Compare("7", Repeat("(", 100) + "7" + Repeat(")", 100)).how, HasSubstr("nested more than 40 deep"));
  EXPECT_THAT(math::Compare("7", std::string(5000, '7')).how, HasSubstr("more than the 4096 that are read"));
  EXPECT_THAT(math::Compare("7", Repeat("1+", 1500) + "1").how, HasSubstr("more than 2048"));
  EXPECT_THAT(math::Compare("7", Repeat("1, ", 200) + "1").how, HasSubstr("more than 128 elements"));
}

// Tokens at random: whatever they say, it takes no exception and no undefined behaviour, and the same twice.
TEST(MathVerifier, TakesAnyTokens) {
  const char* kPieces[] = {"1",
                           "2.5",
                           "x",
                           "y",
                           "+",
                           "-",
                           "*",
                           "/",
                           "^",
                           "_",
                           "(",
                           ")",
                           "[",
                           "]",
                           "{",
                           "}",
                           "\\{",
                           "\\}",
                           "|",
                           "!",
                           "%",
                           ",",
                           ";",
                           "=",
                           "<",
                           "\\le ",
                           "\\frac",
                           "\\sqrt",
                           "\\sqrt[3]",
                           "\\sin ",
                           "\\log",
                           "\\pi ",
                           "\\infty ",
                           "\\cup ",
                           "\\setminus ",
                           "\\pm ",
                           "\\mp ",
                           "\\text{cm}",
                           "\\begin{pmatrix}",
                           "\\end{pmatrix}",
                           "&",
                           "\\\\",
                           "\\binom",
                           "\\lfloor ",
                           "\\rfloor ",
                           "^\\circ",
                           "e",
                           "i",
                           " ",
                           ":",
                           "\\in ",
                           "\\mathbb{R}",
                           "1,000",
                           "\\overline{3}",
                           "½",
                           "√",
                           "²",
                           "π",
                           "\\neq "};
  RandomSequence random(11, RandomStream::kTask, 0);
  int equal = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string texts[2];
    for (std::string& text : texts) {
      for (uint32_t piece = 1 + random.Below(12); piece > 0; --piece) text += kPieces[random.Below(std::size(kPieces))];
    }
    const math::Comparison comparison = math::Compare(texts[0], texts[1]);
    ASSERT_EQ(comparison.equal, math::Compare(texts[0], texts[1]).equal) << texts[0] << " and " << texts[1];
    equal += comparison.equal;
  }
  EXPECT_LT(equal, 3000);
}

// p / q with small numbers, as a second opinion on the exact arithmetic.
struct Fraction {
  int64_t p = 0;
  int64_t q = 1;
};

// A random expression in LaTeX and its value; nullopt when it divides by zero.
std::optional<Fraction> RandomExpression(RandomSequence& random, int depth, std::string& text) {
  if (depth == 0) {
    const int64_t n = 1 + random.Below(9);
    text += absl::StrCat(n);
    return Fraction{n, 1};
  }
  std::string left_text, right_text;
  const auto left = RandomExpression(random, depth - 1, left_text),
             right = RandomExpression(random, depth - 1, right_text);
  if (!left || !right) return std::nullopt;
  switch (random.Below(4)) {
    case 0:
      text += absl::StrCat("(", left_text, "+", right_text, ")");
      return Fraction{left->p * right->q + right->p * left->q, left->q * right->q};
    case 1:
      text += absl::StrCat("(", left_text, "-", right_text, ")");
      return Fraction{left->p * right->q - right->p * left->q, left->q * right->q};
    case 2:
      text += absl::StrCat(left_text, " \\cdot ", right_text);
      return Fraction{left->p * right->p, left->q * right->q};
    default:
      if (right->p == 0) return std::nullopt;
      text += absl::StrCat("\\frac{", left_text, "}{", right_text, "}");
      return Fraction{left->p * right->q, left->q * right->p};
  }
}

TEST(MathVerifier, AgreesWithASecondOpinion) {
  RandomSequence random(12, RandomStream::kTask, 0);
  int checked = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const auto value = RandomExpression(random, 1 + static_cast<int>(random.Below(3)), text);
    if (!value) continue;
    ++checked;
    const std::string right = absl::StrCat("\\frac{", value->p, "}{", value->q, "}");
    const std::string wrong = absl::StrCat("\\frac{", value->p + 1, "}{", value->q, "}");
    ASSERT_TRUE(math::Compare(right, text).equal) << text << " is " << right;
    ASSERT_FALSE(math::Compare(wrong, text).equal) << text << " is not " << wrong;
    // x - value is x - text up to the names of things.
    ASSERT_TRUE(math::Compare(absl::StrCat("y = ", text, "x"), absl::StrCat("2y - 2x \\cdot ", right, " = 0")).equal)
        << text;
  }
  EXPECT_GT(checked, 10000);
}

// What rewards/math/exact.h says about its primes.
TEST(MathExact, PrimesHaveTheirProperties) {
  const auto power = [](uint64_t base, uint64_t exponent, uint64_t p) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base = static_cast<uint64_t>(static_cast<unsigned __int128>(base) * base % p))
      if (exponent & 1) result = static_cast<uint64_t>(static_cast<unsigned __int128>(result) * base % p);
    return result;
  };
  for (const uint64_t p : math::kPrimes) {
    EXPECT_EQ(p % 8, 7u);
    EXPECT_EQ(p % 3, 2u);
    EXPECT_EQ(p % 5, 4u);
    for (const uint64_t witness : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37}) EXPECT_EQ(power(witness, p - 1, p), 1u);
    for (const uint64_t q :
         {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97})
      EXPECT_EQ(power(q, (p - 1) / 2, p), 1u) << q;  // Euler: a square
  }
}

TEST(MathExact, RootsMultiplyAsRootsDo) {
  // Products of roots of any two numbers, squares modulo the primes or not.
  for (int64_t a = 2; a < 40; ++a) {
    for (const int64_t b : {2, 3, 101, 103, 1009, 7919}) {
      const std::string product = absl::StrCat("\\sqrt{", a, "}\\sqrt{", b, "}");
      EXPECT_TRUE(math::Compare(product, absl::StrCat("\\sqrt{", a * b, "}")).equal) << product;
      EXPECT_FALSE(math::Compare(product, absl::StrCat("\\sqrt{", a * b + 1, "}")).equal) << product;
      EXPECT_FALSE(math::Compare(product, absl::StrCat("-\\sqrt{", a * b, "}")).equal) << product;
      EXPECT_TRUE(math::Compare(absl::StrCat("\\sqrt{-", a, "}"), absl::StrCat("i\\sqrt{", a, "}")).equal) << a;
      EXPECT_TRUE(math::Compare(absl::StrCat("\\sqrt{\\frac{", a, "}{", b, "}}"),
                                absl::StrCat("\\frac{\\sqrt{", a * b, "}}{", b, "}"))
                      .equal)
          << product;
    }
  }
}

}  // namespace
}  // namespace hone
