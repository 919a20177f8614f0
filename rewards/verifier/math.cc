// Mathematical answers: the final answer is found in the text and compared with the gold one by meaning, not by spelling: numbers,
// fractions, radicals, intervals, sets, tuples, matrices, equations, inequalities and formulas in several variables.
//
// The questions are those of the package math-verify, https://github.com/huggingface/Math-Verify, whose conventions hold where they are
// a matter of taste (a decimal counts from six decimals on, 50% is 1/2 and 50). The arithmetic differs: rewards/math/exact.h.
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/text.h"
#include "rewards/math/equivalence.h"
#include "rewards/math/extract.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kQuoted = 60;  // bytes of an answer in a reason

class MathVerifier : public Verifier {
 public:
  // Parts: "extracted", an answer was found.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const std::string gold = math::ExtractGold(prompt.answer);
    if (gold.empty()) return {std::nullopt, "the prompt has no answer to compare with", {}};
    const auto found = math::ExtractAnswer(completion);
    if (!found) return {0.0, "no answer found", {{"extracted", 0}}};
    math::Comparison comparison = math::Compare(gold, found->text);
    const std::string* answer = &found->text;
    if (!comparison.equal && !found->number.empty()) {
      const math::Comparison of_number = math::Compare(gold, found->number);
      if (of_number.equal) {
        comparison = of_number;
        answer = &found->number;
      }
    }
    if (comparison.equal) return {1.0, absl::StrCat(comparison.how, " (", found->where, ")"), {{"extracted", 1}}};
    return {0.0,
            absl::StrCat(comparison.how, ": ", found->where, " says '", Visible(*answer, kQuoted), "', wanted '",
                         Visible(gold, kQuoted), "'"),
            {{"extracted", 1}}};
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewMathVerifier(Spec& spec) {
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<MathVerifier>();
}

}  // namespace hone
