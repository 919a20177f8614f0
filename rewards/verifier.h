// SLOT: checks an answer. A verifier says "score" or "no verdict, because ..."; it never turns its own trouble into a 0.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

// What happened inside a verifier since it was made, by name: {"restarts", 2}, {"time_outs", 1}. Each is a metric.
using VerifierCounters = std::vector<std::pair<std::string, double>>;

class Verifier {
 public:
  virtual ~Verifier() = default;
  // `completion` is the decoded answer without special tokens. Thread-safe; bounded work on any input. May block for another
  // process, never past a deadline of its own.
  virtual Verdict Verify(const Prompt& prompt, const std::string& completion) const = 0;
  // Calls of Verify at a time that this verifier has use for; 0 where it only computes, and more calls than processors gain nothing.
  virtual int Concurrency() const { return 0; }
  // Troubles that a verdict alone does not tell. A verifier made of others gives the sums of theirs. Thread-safe.
  virtual VerifierCounters Counters() const { return {}; }
};

// Adds counters by name, for verifiers that are made of others.
inline void AddCounters(const VerifierCounters& more, VerifierCounters& sum) {
  for (const auto& [name, count] : more) {
    auto known = sum.begin();
    while (known != sum.end() && known->first != name) ++known;
    if (known == sum.end()) known = sum.insert(known, {name, 0});
    known->second += count;
  }
}

// Makes a verifier from its spec's text; `resolved` becomes that text with every default. Verifiers that hold others are given it,
// because only recipes/ knows the menu.
using VerifierBuilder =
    std::function<absl::StatusOr<std::unique_ptr<Verifier>>(absl::string_view spec, std::string* resolved)>;

// Factories, one per file in rewards/verifier/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Verifier>> NewCountdownVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewExactVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewRegexVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewSudokuVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewJsonSchemaVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewFormatVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewLengthVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewRepetitionVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewSumVerifier(Spec& spec, const VerifierBuilder& build);
absl::StatusOr<std::unique_ptr<Verifier>> NewByDomainVerifier(Spec& spec, const VerifierBuilder& build);
absl::StatusOr<std::unique_ptr<Verifier>> NewBatchVerifier(Spec& spec, const VerifierBuilder& build);
absl::StatusOr<std::unique_ptr<Verifier>> NewGsm8kVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewMathVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewMultipleChoiceVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewPluginVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewProcessVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewCodeVerifier(Spec& spec);

}  // namespace hone
