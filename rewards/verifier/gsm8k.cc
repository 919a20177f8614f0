// GSM8K (https://arxiv.org/abs/2110.14168): a solution ends in "#### 1,234", and the number behind the last #### counts. With
// flexible=true an answer without #### is its last number, as in verl's two methods. Numbers are compared as decimals of any length.
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr size_t kMaxDigits = 1000;
constexpr absl::string_view kMark = "####";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The number that `text` begins with, behind a sign or a currency sign, in its shortest form: "-1,234.50" gives "-1234.5".
// nullopt: none, or it is part of a fraction or a date.
std::optional<std::string> ReadNumber(absl::string_view text) {
  bool negative = false;
  for (bool more = true; more;) {
    more = absl::ConsumePrefix(&text, "\\$") || absl::ConsumePrefix(&text, "$") || absl::ConsumePrefix(&text, " ") ||
           absl::ConsumePrefix(&text, "+");
    if (absl::ConsumePrefix(&text, "-")) negative = more = true;
  }
  std::string whole, fraction;
  size_t at = 0;
  const auto next_is_digit = [&] { return at + 1 < text.size() && IsDigit(text[at + 1]); };
  for (; at < text.size() && (IsDigit(text[at]) || (text[at] == ',' && at > 0 && next_is_digit())); ++at)
    if (text[at] != ',') whole += text[at];
  if (at < text.size() && text[at] == '.' && next_is_digit())
    for (++at; at < text.size() && IsDigit(text[at]); ++at) fraction += text[at];
  if ((whole.empty() && fraction.empty()) || whole.size() + fraction.size() > kMaxDigits) return std::nullopt;
  if (at + 1 < text.size() && (text[at] == '/' || text[at] == ':') && next_is_digit()) return std::nullopt;
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (whole.empty()) whole = "0";
  if (fraction.empty()) return negative && whole != "0" ? absl::StrCat("-", whole) : whole;
  return absl::StrCat(negative ? "-" : "", whole, ".", fraction);
}

std::optional<std::string> BehindMark(absl::string_view text) {
  const size_t mark = text.rfind(kMark);
  if (mark == absl::string_view::npos) return std::nullopt;
  return ReadNumber(text.substr(mark + kMark.size()));
}

std::optional<std::string> LastNumber(absl::string_view text) {
  size_t end = text.size();
  while (end > 0 && !IsDigit(text[end - 1])) --end;
  if (end == 0) return std::nullopt;
  size_t begin = end;
  while (begin > 0 && (IsDigit(text[begin - 1]) || text[begin - 1] == ',' || text[begin - 1] == '.')) --begin;
  while (text[begin] == ',' || (text[begin] == '.' && !IsDigit(text[begin + 1]))) ++begin;
  // A minus between digits subtracts.
  if (begin > 0 && text[begin - 1] == '$') --begin;
  if (begin > 0 && text[begin - 1] == '-' &&
      (begin == 1 || !absl::ascii_isalnum(static_cast<unsigned char>(text[begin - 2]))))
    --begin;
  return ReadNumber(text.substr(begin, end - begin));
}

class Gsm8kVerifier : public Verifier {
 public:
  explicit Gsm8kVerifier(bool flexible) : flexible_(flexible) {}

  // Parts: "extracted", a number was found; "format", it stands behind ####.
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    const absl::string_view answer = absl::StripAsciiWhitespace(prompt.answer);
    if (answer.empty()) return {std::nullopt, "the prompt has no answer to compare with", {}};
    const auto gold = answer.find(kMark) == absl::string_view::npos ? ReadNumber(answer) : BehindMark(answer);
    if (!gold) {
      return {std::nullopt,
              absl::StrCat("the prompt's answer is no number, nor has it one behind ####: '", Visible(answer, 60), "'"),
              {}};
    }
    auto found = BehindMark(completion);
    const double format = found ? 1 : 0;
    if (!found && flexible_) found = LastNumber(completion);
    if (!found) return {0.0, flexible_ ? "no number" : "no number behind ####", {{"extracted", 0}, {"format", 0}}};
    if (*found == *gold) return {1.0, "correct", {{"extracted", 1}, {"format", format}}};
    return {0.0,
            absl::StrCat("answer ", Visible(*found, 40), ", wanted ", Visible(*gold, 40)),
            {{"extracted", 1}, {"format", format}}};
  }

 private:
  const bool flexible_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewGsm8kVerifier(Spec& spec) {
  const bool flexible = spec.Bool("flexible", false);
  HONE_RETURN_IF_ERROR(spec.Finish());
  return std::make_unique<Gsm8kVerifier>(flexible);
}

}  // namespace hone
