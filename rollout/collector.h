// Turns prompts into groups: generates the samples and verifies each as soon as it ends, while the others go on.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/generator.h"
#include "engine/tokenizer.h"
#include "rewards/verifier.h"
#include "rewards/verify_pool.h"

namespace hone {

// Fills sample.text: the decoded tokens without special ones, up to the first stop text.
absl::Status DecodeSample(const Tokenizer& tokenizer, const std::vector<std::string>& stop, Sample& sample);

// Groups in the order of the prompts, and where the time went.
struct Rollout {
  std::vector<Group> groups;
  double generate_s = 0;
  double verify_s = 0;  // from the end of generation to the last verdict
  int64_t tokens = 0;   // sampled, those of greedy answers included
  GenerationStats generation;
  VerifierCounters verifier;  // troubles inside it
};

// Adds times, tokens and counts, and what happened in verifiers; groups are left alone.
void AddTotals(const Rollout& more, Rollout& sum);

// `count` samples that share the first `at` tokens of a sample, at least one less than it has, and go on by themselves.
struct Branch {
  int32_t sample;
  int32_t at;
  int32_t count;
};

enum class GreedyAnswer { kNone, kOneAPrompt };

class Collector {
 public:
  // All outlive the collector. `verifier` may be null: samples then have no verdict.
  Collector(const Tokenizer* tokenizer, const Verifier* verifier, Generator* generator)
      : tokenizer_(tokenizer), verifier_(verifier), generator_(generator) {}

  // `samples_per_prompt` samples for each prompt, and Group::greedy if wanted, generated and verified beside them; all prompts have
  // tokens. Cancelled when cancelled() is true, during generation or verification.
  absl::StatusOr<Rollout> Collect(std::vector<Prompt> prompts, int32_t samples_per_prompt,
                                  const GenerationOptions& options, const std::function<bool()>& cancelled = nullptr,
                                  GreedyAnswer greedy = GreedyAnswer::kNone) const;

  // `more[i]` further samples for group i, numbered on, each as if it had been asked for at once.
  absl::Status CollectMore(std::span<const int32_t> more, const GenerationOptions& options, Rollout& rollout) const;
  // Continuations of samples, behind those that each group has: branches[i] of group i.
  absl::Status CollectBranches(const std::vector<std::vector<Branch>>& branches, const GenerationOptions& options,
                               Rollout& rollout) const;

 private:
  // Generates and verifies; a request's samples go where `place` says.
  using Place = std::function<Sample&(size_t request, Sample sample)>;
  absl::Status Run(std::span<const GenerationRequest> requests, const GenerationOptions& options,
                   const std::function<bool()>& cancelled, const Place& place, Rollout& rollout) const;

  const Tokenizer* tokenizer_;
  const Verifier* verifier_;
  Generator* generator_;
};

}  // namespace hone
