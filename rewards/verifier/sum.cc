// A weighted sum of verifiers: sum(countdown=1, format=0.1) is the verdict of `countdown` plus a tenth of that of `format`, as DeepSeek-R1
// adds accuracy and format rewards (https://arxiv.org/abs/2501.12948, section 2.2.2). A part with options of its own has its weight among them, and any
// name: sum(math=1, style=regex(pattern="^Answer:", weight=0.2)). The weights are not normalised; one of 0 only makes a metric.
//
// A part without verdict leaves the whole without: half a sum would be a wrong score.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "engine/base/text.h"
#include "rewards/verifier.h"

namespace hone {
namespace {

constexpr double kMaxWeight = 1e6;
constexpr size_t kShownBytes = 60;

struct Part {
  std::string name;
  double weight = 1;
  std::unique_ptr<Verifier> verifier;
};

class SumVerifier : public Verifier {
 public:
  explicit SumVerifier(std::vector<Part> parts) : parts_(std::move(parts)) {}

  // Parts: each part's raw score under its name, followed by its own parts as "name/part".
  Verdict Verify(const Prompt& prompt, const std::string& completion) const override {
    Verdict sum{0.0, "", {}};
    for (const Part& part : parts_) {
      Verdict verdict = part.verifier->Verify(prompt, completion);
      if (!verdict.score) return {std::nullopt, absl::StrCat(part.name, ": ", verdict.reason), {}};
      *sum.score += part.weight * *verdict.score;
      absl::StrAppend(&sum.reason, sum.reason.empty() ? "" : "; ", part.name, ": ", verdict.reason);
      sum.parts.emplace_back(part.name, *verdict.score);
      for (auto& [name, value] : verdict.parts) sum.parts.emplace_back(absl::StrCat(part.name, "/", name), value);
    }
    return sum;
  }

  int Concurrency() const override {
    int most = 0;
    for (const Part& part : parts_) most = std::max(most, part.verifier->Concurrency());
    return most;
  }

  VerifierCounters Counters() const override {
    VerifierCounters sum;
    for (const Part& part : parts_) AddCounters(part.verifier->Counters(), sum);
    return sum;
  }

 private:
  const std::vector<Part> parts_;
};

bool IsWeight(const std::string& value) {
  double weight = 0;
  return absl::SimpleAtod(value, &weight);
}

// One option of the sum: name=weight, or name=verifier(..., weight=...). `resolved` becomes its value with all defaults.
absl::StatusOr<Part> BuildPart(const std::string& name, const std::string& value, const VerifierBuilder& build,
                               std::string& resolved) {
  const std::string text = IsWeight(value) ? absl::StrCat(name, "(weight=", value, ")") : value;
  HONE_ASSIGN_OR_RETURN(Spec inner, Spec::Parse(text));
  Part part{name, inner.Double("weight", 1, -kMaxWeight, kMaxWeight), nullptr};
  const std::string weight = inner.Text("weight", "1");
  HONE_ASSIGN_OR_RETURN(const std::string rest, inner.TakeRest());
  std::string rest_resolved;
  HONE_ASSIGN_OR_RETURN(part.verifier, build(rest, &rest_resolved));
  // "a" -> "a(weight=1)", "a(b=2)" -> "a(b=2, weight=1)"
  absl::string_view open = rest_resolved;
  const bool has_options = absl::ConsumeSuffix(&open, ")");
  resolved = absl::StrCat(open, has_options ? ", " : "(", "weight=", weight, ")");
  return part;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Verifier>> NewSumVerifier(Spec& spec, const VerifierBuilder& build) {
  std::vector<Part> parts;
  for (const std::string& name : spec.Unread()) {
    std::string resolved;
    const std::string value = spec.Text(name, "");
    absl::StatusOr<Part> part = BuildPart(name, value, build, resolved);
    if (!part.ok()) {
      const absl::string_view message = part.status().message();
      const bool says_name = IsWeight(value) || absl::StartsWith(message, name + ":");
      return InputError("sum: ", says_name ? "" : Visible(name, kShownBytes) + ": ", message);
    }
    spec.Resolve(name, resolved);
    parts.push_back(*std::move(part));
  }
  HONE_RETURN_IF_ERROR(spec.Finish());
  if (parts.empty()) return InputError("sum: needs verifiers and their weights, like sum(countdown=1, format=0.1)");
  return std::make_unique<SumVerifier>(std::move(parts));
}

}  // namespace hone
