// What the math verifier takes for the same, for different, and for the final answer of a text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "rewards/math/equivalence.h"
#include "rewards/math/extract.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

using ::testing::HasSubstr;

struct Pair {
  const char* gold;
  const char* answer;
};

constexpr Pair kEqual[] = {
    {R"(\frac{1}{2})", "0.5"},
    {R"(\frac12)", "1/2"},
    {R"(\dfrac{3}{4})", ".75"},
    {R"(\sqrt{8})", R"(2\sqrt2)"},
    {R"(\sqrt{8})", "2√2"},
    {"(1,3)", "1<x<3"},
    {"[1,3)", R"(1\le x<3)"},
    {"3", "x=3"},
    {"x=3", "3"},
    {"1,2", "x=1, x=2"},
    {R"(\{1,2\})", R"(x = 2 \text{ or } x = 1)"},
    {"1, 2", "2, 1"},
    {"y=2x+1", "2x - y + 1 = 0"},
    {"x<3", "3>x"},
    {"x<3", "2x<6"},
    {R"(1\pm\sqrt{2})", R"(1+\sqrt2, 1-\sqrt2)"},
    {R"(\infty)", R"(+\infty)"},
    {R"(\text{Yes})", "yes"},
    {"Yes", R"(\text{Yes.})"},
    {R"(\text{(B)})", "B"},
    {"B", "(B)"},
    {"(x+1)^2", "x^2+2x+1"},
    {R"(\frac{1}{\sqrt2})", R"(\frac{\sqrt2}{2})"},
    {"x^2-y^2", "(x-y)(x+y)"},
    {"2^{n+1}", R"(2 \cdot 2^n)"},
    {R"(\sin^2 x + \cos^2 x)", "1"},
    {R"(\ln 8)", R"(3\ln 2)"},
    {R"(\log_2 8)", "3"},
    {"1{,}234", "1234"},
    {"1,234", "1234"},
    {R"(\$1,234.50)", "1234.5"},
    {R"(50\%)", R"(\frac12)"},
    {R"(50\%)", "50"},
    {"50", R"(50\%)"},
    {R"(3\frac{1}{2})", "7/2"},
    {"3 1/2", "3.5"},
    {R"(90^\circ)", "90"},
    {"90", "90 degrees"},
    {"5", R"(5\text{ cm})"},
    {R"(5\text{ cm}^2)", "5"},
    {"5", "5 m/s"},
    {"5", "5 apples"},
    {"5", R"(5\ \mathrm{m})"},
    {R"(\frac{\pi}{3})", "π/3"},
    {R"(\frac{1}{3})", "0.333333"},
    {R"(\pi)", "3.14159265"},
    {R"(\begin{pmatrix}1&2\\3&4\end{pmatrix})", R"(\begin{bmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{bmatrix})"},
    {R"(\begin{pmatrix}1\\2\end{pmatrix})", "(1,2)"},
    {R"(\begin{pmatrix}1/2&1\\3/2&2\end{pmatrix})", R"(\frac{1}{2}\begin{pmatrix}1&2\\3&4\end{pmatrix})"},
    {R"((-\infty,1)\cup(2,\infty))", R"(x<1 \text{ or } x>2)"},
    {R"((-\infty, 0)\cup(0,\infty))", R"(\mathbb{R}\setminus\{0\})"},
    {R"(x \neq 0)", R"((-\infty,0)\cup(0,\infty))"},
    {R"(\mathbb{R})", R"((-\infty,\infty))"},
    {R"(x \in (1,3))", "(1,3)"},
    {"(1,3)", R"(x\in(1,3))"},
    {R"(1.5\times 10^{-7})", "1.5e-7"},
    {"1.5e-7", "0.00000015"},
    {"12345678901234567890123", "12345678901234567890123"},
    {"2^{100}", "1267650600228229401496703205376"},
    {"100!", R"(100 \cdot 99!)"},
    {R"(\binom{10}{3})", "120"},
    {R"(0.\overline{3})", "1/3"},
    {R"(0.1\overline{6})", R"(\frac16)"},
    {R"(\sqrt[3]{16})", R"(2\sqrt[3]{2})"},
    {R"(\sqrt[3]{-8})", "-2"},
    {R"(\sqrt{-4})", "2i"},
    {"(1+i)^2", "2i"},
    {R"(\frac{1}{1+i})", R"(\frac{1-i}{2})"},
    {R"(e^{i\pi})", "-1"},
    {R"(\sqrt{2+\sqrt3})", R"(\frac{\sqrt6+\sqrt2}{2})"},
    {R"(\frac{1}{\sqrt{3}-\sqrt{2}})", R"(\sqrt3+\sqrt2)"},
    {R"(\sqrt{1009}\sqrt{1013})", R"(\sqrt{1022117})"},
    {R"(2\cos 60^\circ)", "1"},
    {R"(\tan(\pi/4))", "1"},
    {"|{-3}|", "3"},
    {R"(\lfloor 3.7 \rfloor)", "3"},
    {R"(\sqrt{x}\sqrt{x})", "x"},
    {R"(\log x^2)", R"(2\log x)"},
    {"x_1", "x_{1}"},
    {"1011_2", "1011_{2}"},
    {"1011_2", "1011"},
    {R"(\text{no solution})", "No solution"},
    {R"(\emptyset)", R"(\{\})"},
    {"(x,y)=(1,2)", "(1,2)"},
    {"(1,2)", "(x,y)=(1,2)"},
    {"x=1,y=2", "y=2, x=1"},
    {"f(x)=x^2+1", "x^2+1"},
    {"3:4", R"(\frac34)"},
    {R"(-\frac{1}{2})", R"(\frac{-1}{2})"},
    {R"(-\frac{1}{2})", "−½"},
    {R"(2\sqrt{3} + 4)", R"(4+2\sqrt{3})"},
    {R"(10\sqrt{3}\text{ cm})", "10√3 cm"},
    {R"(\frac{3\sqrt{3}}{2}\pi)", R"(\frac{3\pi\sqrt3}{2})"},
    {R"(\left(\frac{1}{2}, \frac{3}{4}\right))", "(0.5, .75)"},
    {R"(\frac{x+2}{7})", "(x+2)/7"},
    {R"(\text{June 20})", "June 20"},
    {R"(\sqrt{2})", R"(\sqrt{2} \approx 1.414)"},
    {"12", R"(3 \cdot 4 = 12)"},
    {R"(\{x | 1 < x < 3\})", "(1,3)"},
    {"1 < x < 3", "3 > x > 1"},
    {"a^{10}", "a^10"},
    {"e^{2x}", "(e^x)^2"},
    {R"(\frac{a}{b}+\frac{c}{d})", R"(\frac{ad+bc}{bd})"},
    {"14", "14.0"},
    {"0.5", R"(50\%)"},
    {"2x+3y=6", "4x+6y-12=0"},
    {"10:30", R"(10:30\text{ p.m.})"},
    {"1,2,3", "3, 2, 1"},
    {"100,200,300", "100, 200, 300"},
    {R"(\boxed{5})", "5"},
    {R"((3, \frac{\pi}{2}))", R"((3, \pi/2))"},
    {R"(\sqrt{3}/3)", R"(1/\sqrt{3})"},
    {"-2, 3", R"(\{3, -2\})"},
    {R"(1 \frac{4}{5})", "9/5"},
    {R"(11\sqrt2)", R"(\sqrt{242})"},
    {"3^{10^9}", R"(9^{5\cdot 10^8})"},
    {"(a+b+c)^{100}", "(a+b+c)^{50}(a+b+c)^{50}"},
    {R"(\frac{x^2-1}{x-1})", "x+1"},
    {"y = 3x - 5", "y=3x-5"},
    {R"(\text{east})", "east"},
    {R"(12,\!345)", "12345"},
    {R"(7 \text{ hours})", "7"},
    {R"(\frac{9}{10})", ".9"},
    {"x^2+x+1", "1+x+x^2"},
    {"10^{-3}", "0.001"},
    {"4.5", "$4.50"},
    {"18", R"(\$18.00)"},
    {"3x^2", "3x²"},
    {"6 - 5i", "-5i+6"},
    {R"(\cot x)", R"(\frac{1}{\tan x})"},
    {R"(2000\text{ square feet})", "2000"},
    {R"(\theta = \frac{\pi}{4})", "π/4"},
    {"[-2, 7]", R"(x \in [-2,7])"},
    {R"(5\sqrt[4]{2})", R"(5 \cdot 2^{1/4})"},
    {"x>5", R"((5,\infty))"},
    {R"(k\le 3)", R"((-\infty, 3])"},
    {R"(\frac{5}{2}, -1)", R"(x=-1, x=\frac{5}{2})"},
    {"5 m", "5"},
    {"5", "5m"},
    {"20 m/s", "20"},
    {"20", R"(20\text{ m/s}^2)"},
    {"1000.99", "1000,99"},
    {"2,74", "2.74"},
    {R"(\begin{pmatrix}1&2\\3&4\end{pmatrix})",
     R"(\begin{pmatrix}1&1\\1&1\end{pmatrix}+\begin{pmatrix}0&1\\2&3\end{pmatrix})"},
    {R"(\begin{pmatrix}7\\15\end{pmatrix})", R"(\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{pmatrix}1\\3\end{pmatrix})"},
    {R"(\frac{NO}{BO}=\frac12)", "1/2"},
    {"S_{ABC}:S=7:32", "7:32"},
    {"0<f(x)<1", "(0,1)"},
    {"|AB|=1", "1"},
};

constexpr Pair kDifferent[] = {
    {"(1,3)", R"(1\le x<3)"},
    {"x=3", "y=3"},
    {"(1,2)", "(2,1)"},
    {"x<3", "x>3"},
    {"x<3", R"(x\le 3)"},
    {"x<3", "-x<-3"},
    {R"(\infty)", R"(-\infty)"},
    {"B", "C"},
    {"x^2+y^2", "(x-y)(x+y)"},
    {"50", "0.5"},
    {R"(\frac{\pi}{3})", "1.05"},
    {R"(\frac{1}{3})", "0.33"},
    {"3.14", R"(\pi)"},
    {R"(\begin{pmatrix}1&2\\3&4\end{pmatrix})", R"(\begin{pmatrix}1&3\\2&4\end{pmatrix})"},
    {"12345678901234567890123", "12345678901234567890124"},
    {R"(\sqrt{2})", R"(-\sqrt2)"},
    {R"(\sqrt{2})", R"(\sqrt3)"},
    {"|x|", "x"},
    {R"(\sqrt{x^2})", "x"},
    {"x_1", "x_2"},
    {"1011_2", "1011_3"},
    {"x=1,y=2", "y=1, x=2"},
    {"2x+3y=6", "2x+3y=7"},
    {"-2, 3", R"(\{3, 2\})"},
    {"9!!!", "5"},
    {"(a+b+c)^{100}", "(a+b+c)^{99}"},
    {"1/0", "2/0"},
    {"5x", "5y"},
    {"5x", "5"},
    {"3R^2", "3r^2"},
    {"5m", "5"},
    {"1,5", "5"},
    {"2x+z=1", "1"},
};

Verdict Verify(const std::string& gold, const std::string& completion) {
  Spec spec = Spec::Parse("math").value();
  Prompt prompt;
  prompt.answer = gold;
  return NewMathVerifier(spec).value()->Verify(prompt, completion);
}

TEST(MathVerifier, KnowsWhatMeansTheSame) {
  for (const Pair& pair : kEqual) {
    const math::Comparison comparison = math::Compare(pair.gold, pair.answer);
    EXPECT_TRUE(comparison.equal) << pair.gold << " and " << pair.answer << ": " << comparison.how;
    EXPECT_THAT(comparison.how, HasSubstr("equal")) << pair.gold;
    // A box around it changes nothing, and every answer means what it says itself.
    EXPECT_EQ(Verify(pair.gold, absl::StrCat("So it is $\\boxed{", pair.answer, "}$.")).score, 1.0)
        << pair.gold << " and " << pair.answer;
    EXPECT_TRUE(math::Compare(pair.answer, pair.answer).equal) << pair.answer;
  }
}

TEST(MathVerifier, KnowsWhatDiffers) {
  for (const Pair& pair : kDifferent) {
    const math::Comparison comparison = math::Compare(pair.gold, pair.answer);
    EXPECT_FALSE(comparison.equal) << pair.gold << " and " << pair.answer << ": " << comparison.how;
    EXPECT_THAT(comparison.how, HasSubstr("not equal"));
  }
}

TEST(MathVerifier, SaysWhatDecided) {
  EXPECT_EQ(math::Compare("Yes", "yes").how, "equal as text");
  EXPECT_EQ(math::Compare("1/2", "0.5").how, "equal in exact arithmetic");
  EXPECT_EQ(math::Compare("(x+1)^2", "x^2+2x+1").how, "equal in exact arithmetic");
  EXPECT_EQ(math::Compare(R"(\sin 30^\circ)", "1/2").how, "equal in floating point");
  EXPECT_EQ(math::Compare(R"(\sin(2x))", R"(2\sin x\cos x)").how, "equal at 8 random points");
  EXPECT_EQ(math::Compare("1/3", "0.333333").how, "equal to the digits given");
  // A list is as certain as its least certain element.
  EXPECT_EQ(math::Compare("1/3, 1/2", "0.5, 0.333333").how, "equal to the digits given");
  EXPECT_EQ(math::Compare("1", "2").how, "not equal");
  EXPECT_EQ(Verify("12", "\\boxed{13}").reason, "not equal: the last box says '13', wanted '12'");
  EXPECT_EQ(Verify("12", "\\boxed{12}").reason, "equal in exact arithmetic (the last box)");
  EXPECT_THAT(math::Compare("12", "(12").how, HasSubstr("the answer cannot be read: a bracket is never closed"));
  EXPECT_THAT(math::Compare("(12", "12").how, HasSubstr("the gold answer cannot be read"));
}

TEST(MathVerifier, FindsTheFinalAnswer) {
  const struct {
    const char* completion;
    const char* answer;
  } kCases[] = {
      {"First \\boxed{3}. No: \\boxed{\\frac{1}{\\sqrt{2}}}.", "\\frac{1}{\\sqrt{2}}"},
      {"\\fbox{7}", "7"},
      {"\\boxed 5 it is", "5"},
      {"$x=\\boxed{1}$ and $x=\\boxed{2}$", "1, 2"},
      {"\\boxed{1}, \\boxed{2}", "1, 2"},
      {"Step 1 gives \\boxed{1}. After a long computation that goes on for a while we then get \\boxed{2}", "2"},
      {"\\boxed{\\boxed{4}}", "4"},
      {"\\boxed{3} and then \\boxed{4", "3"},  // cut off
      {"We add.\n#### 1,234", "1,234"},
      {"The answer is 5.", "5"},
      {"The answer is: **5**", "5"},
      {"**Answer:** $\\frac{1}{2}$", "\\frac{1}{2}"},
      {"**Final Answer**\n\\[ x = 3 \\]", " x = 3 "},
      {"the final answer is $(1, 2)$. I hope it is correct.", "(1, 2)"},
      {"The answer is $1$ and $2$.", "1, 2"},
      {"The answer is $5, not $6.", "$5, not $6"},  // prices
      {"The answer is 3.5 because 7/2 is that.", "3.5"},
      {"Final Answer: The area of $ABC$ is 120. I hope so.", "120"},
      {"answer: 5\nAnswer: 6", "6"},
      {"Hence we have $y = 7$ and that is all there is to say about it, as was to be shown in this long sentence, "
       "which proves nothing at all.",
       "y = 7"},
      {"Hence we have $y = 7$, but then we multiply all of that by two, as the question wants it, and so the total for "
       "the two of them is 14",
       "14"},
      {"x^2 + 1", "x^2 + 1"},
      {"<think>It is \\boxed{3}, surely.</think>The answer is 4.", "4"},
      {"<think>It is \\boxed{3}.</think>", "3"},
  };
  for (const auto& c : kCases) {
    const auto found = math::ExtractAnswer(c.completion);
    ASSERT_TRUE(found.has_value()) << c.completion;
    EXPECT_EQ(found->text, c.answer) << c.completion;
  }
  // A number inside words is tried when the words are not the answer.
  EXPECT_EQ(Verify("18", "Janet makes $18 per day.").score, 1.0);
  EXPECT_EQ(Verify("18", "The answer is that she has 18 eggs left").score, 1.0);
  EXPECT_EQ(Verify("red", "The answer is red").score, 1.0);
  for (const char* nothing : {"", " \n", "\\boxed{"}) {
    const Verdict verdict = Verify("1", nothing);
    EXPECT_EQ(verdict.score, 0.0) << nothing;
    EXPECT_EQ(verdict.parts[0].first, "extracted");
  }
  EXPECT_EQ(Verify("1", "").parts[0].second, 0.0);
  EXPECT_EQ(Verify("1", "2").parts[0].second, 1.0);
}

TEST(MathVerifier, ReadsGoldsThatAreSolutions) {
  EXPECT_EQ(Verify("She has 3 + 4 = <<3+4=7>>7 eggs.\n#### 7", "7").score, 1.0);
  EXPECT_EQ(Verify("We factor, so that the roots are $\\boxed{1, 2}$.", "$x=2$ or $x=1$").score, 1.0);
  EXPECT_EQ(Verify("$\\frac{1}{2}$", "0.5").score, 1.0);
  for (const char* none : {"", "  ", "#### "}) {
    const Verdict verdict = Verify(none, "\\boxed{1}");
    EXPECT_FALSE(verdict.score.has_value()) << none;
    EXPECT_THAT(verdict.reason, HasSubstr("no answer")) << none;
  }
}

}  // namespace
}  // namespace hone
