// SLOT: checks an answer. A verifier says "score" or "no verdict, because ..."; it never turns its own trouble into a 0.
#pragma once

#include <memory>
#include <string>

#include "engine/base/spec.h"
#include "engine/base/types.h"

namespace hone {

class Verifier {
 public:
  virtual ~Verifier() = default;
  // `completion` is the decoded answer without special tokens. Thread-safe; bounded work on any input. May block for another
  // process, never past a deadline of its own.
  virtual Verdict Verify(const Prompt& prompt, const std::string& completion) const = 0;
  // Calls of Verify at a time that this verifier has use for; 0 where it only computes, and more calls than processors gain nothing.
  virtual int Concurrency() const { return 0; }
};

// Factories, one per file in rewards/verifier/; recipes/components.def is the menu.
absl::StatusOr<std::unique_ptr<Verifier>> NewCountdownVerifier(Spec& spec);
absl::StatusOr<std::unique_ptr<Verifier>> NewCodeVerifier(Spec& spec);

}  // namespace hone
